"""What a Debian package says of itself (deb(5)), read without dpkg: updates are signed on any machine."""

import io
import lzma
import tarfile
import zlib
from pathlib import Path
from typing import BinaryIO

from collector.errors import FileFault

MAGIC = b"!<arch>\n"  # ar(5)
HEAD_BYTES = 60
NAME, SIZE = slice(0, 16), slice(48, 58)
MAX_CONTROL = 4 << 20  # bytes of the compressed part with scripts and check sums; ours has 80 kB
MAX_TEXT = 65536
FIELDS = ("Package", "Version", "Architecture")


def fields(path: Path) -> dict[str, str]:
    """Package, Version and Architecture; raises FileFault."""
    try:
        with path.open("rb") as file:
            text = _control(file, path)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, KeyError, ValueError) as error:
        raise FileFault(f"{path}: no Debian package: {error}") from error
    except FileFault:
        raise
    except OSError as error:
        raise FileFault(f"{path}: {error.strerror or error}") from error
    found = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line and not line.startswith(" "))
    if missing := [name for name in FIELDS if name not in found]:
        raise FileFault(f"{path}: its control file lacks {', '.join(missing)}")
    return {name: found[name].strip() for name in FIELDS}


def _control(file: BinaryIO, path: Path) -> str:
    if file.read(len(MAGIC)) != MAGIC:
        raise FileFault(f"{path}: no Debian package")
    while len(head := file.read(HEAD_BYTES)) == HEAD_BYTES:
        name, size = head[NAME].decode("ascii").strip().rstrip("/"), int(head[SIZE])
        if name.startswith("control.tar"):
            if size > MAX_CONTROL:
                raise FileFault(f"{path}: a control part of {size} bytes; {MAX_CONTROL} at most are read")
            with tarfile.open(fileobj=io.BytesIO(file.read(size))) as archive:
                member = archive.extractfile("./control")
                return "" if member is None else member.read(MAX_TEXT).decode()
        file.seek(size + size % 2, io.SEEK_CUR)
    raise FileFault(f"{path}: a Debian package without a control part")
