"""Updates as the platform makes them: a package, and a signed manifest before it."""

import hashlib
import os
from pathlib import Path

from buffer import update
from buffer.keys import SigningKey
from buffer.update import MAX_PACKAGE, PIECE, Manifest
from collector.errors import FileFault
from collector.orders import deb

PACKAGE = "lamppost"


def sign(package: Path, key: SigningKey, target: Path, now_ms: int, floor: str | None) -> Manifest:
    """Write the update of a package to `target`; raises FileFault, then nothing is there that was not before."""
    found = deb.fields(package)
    if found["Package"] != PACKAGE:
        raise FileFault(f"{package}: the package {found['Package']}, not {PACKAGE}")
    fresh = target.with_name(f".{target.name}.new")
    try:
        with package.open("rb") as source:
            digest, size = hashlib.sha256(), 0
            while piece := source.read(PIECE):
                digest.update(piece)
                size += len(piece)
            if size > MAX_PACKAGE:
                raise FileFault(f"{package}: {size} bytes; gateways take {MAX_PACKAGE} at most")
            version = found["Version"]
            made = Manifest(version, found["Architecture"], size, digest.digest(), floor or version, now_ms)
            message = made.sign(key)
            source.seek(0)
            with fresh.open("wb") as out:
                update.write(out, message, source)
                out.flush()
                os.fsync(out.fileno())
        fresh.replace(target)
    except FileFault:
        raise
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise FileFault(f"{target}: {error.strerror}") from error
    return made
