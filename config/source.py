"""Read TOML files, none of them trusted to be small, flat or TOML."""

import hashlib
import stat
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from config.errors import Problem, key_path
from config.scalars import MAX_RAW, MIN_RAW

MAX_FILE_BYTES = 4 * 2**20  # forty thousand points written out; the parser takes seconds for it on a small board
MAX_LINE_BYTES = 16 * 2**10  # the parser is quadratic in the parts of a dotted key, and no honest line comes near
MAX_FILES = 256  # of conf.d; a gateway serves some hundred devices, and files hold many
MAX_DEPTH = 12  # nested tables and lists; a point's rule lies at 5


class _UnusableError(ValueError):
    """A bound of ours is passed."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file that was read."""

    file: Path
    table: dict[str, Any]
    digest: str = ""
    """SHA-256 of its bytes, hex."""


def read(file: Path, problems: list[Problem]) -> Source | None:
    """The tables of a file; None after adding to `problems` what keeps it from being read."""
    return _parsed(file, lambda: _content(file), problems)


def parse(file: Path, data: bytes, problems: list[Problem]) -> Source | None:
    """The tables of a text that is not in a file, told of as `file`; None as `read`."""
    return _parsed(file, lambda: _bounded(data), problems)


def _parsed(file: Path, content: Callable[[], bytes], problems: list[Problem]) -> Source | None:
    data = b""
    try:
        data = content()
        table = tomllib.loads(data.decode(), parse_float=_decimal)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.append(Problem(str(file), "", f"is not UTF-8 text: line {line} has a byte {data[error.start]:#04x}"))
    except tomllib.TOMLDecodeError as error:
        problems.append(Problem(str(file), "", f"is not valid TOML: {_lower(str(error))}"))
    except OSError as error:
        problems.append(Problem(str(file), "", f"cannot be read: {_lower(error.strerror or str(error))}"))
    except RecursionError:
        problems.append(Problem(str(file), "", "is not usable: lists or tables are nested too deeply"))
    except _UnusableError as error:
        problems.append(Problem(str(file), "", f"is not usable: {error}"))
    except ValueError:  # CPython converts no decimal integer of more than 4300 digits
        problems.append(Problem(str(file), "", "is not usable: a number has thousands of digits"))
    else:
        found = list(strange(str(file), table))
        problems.extend(found)
        return None if found else Source(file, table, hashlib.sha256(data).hexdigest())
    return None


def conf_d_files(folder: Path, problems: list[Problem]) -> list[Path]:
    """The `*.toml` files of a folder by name, hidden ones left out."""
    try:
        names = sorted(entry for entry in folder.iterdir() if entry.suffix == ".toml" and entry.name[0] != ".")
    except OSError as error:
        problems.append(Problem(str(folder), "", f"cannot be read: {_lower(error.strerror or str(error))}"))
        return []
    if len(names) > MAX_FILES:
        problems.append(Problem(str(folder), "", f"holds more than {MAX_FILES} files; only those are read", len(names)))
    return names[:MAX_FILES]


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder that can be seen."""
    return _mode(path, stat.S_ISDIR)


def is_file(path: Path) -> bool:
    """Whether `path` is a regular file that can be seen."""
    return _mode(path, stat.S_ISREG)


def strange(file: str, table: dict[str, Any]) -> Iterator[Problem]:
    """What TOML allows and no honest file holds: nesting without end, integers beyond 64 bits."""
    rest: list[tuple[tuple[str | int, ...], object]] = [((), table)]
    while rest:
        path, value = rest.pop()
        if isinstance(value, int) and not MIN_RAW <= value <= MAX_RAW:
            yield Problem(file, key_path(*path), "must fit into 64 bits", value)
        elif isinstance(value, dict | list) and len(path) > MAX_DEPTH:
            yield Problem(file, key_path(*path), f"is nested more than {MAX_DEPTH} deep")
        elif isinstance(value, dict):
            rest.extend(((*path, str(key)), item) for key, item in value.items())
        elif isinstance(value, list):
            rest.extend(((*path, index), item) for index, item in enumerate(value))


def _mode(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(path.stat().st_mode)
    except OSError:
        return False


def _content(file: Path) -> bytes:
    if not stat.S_ISREG(file.stat().st_mode):
        raise _UnusableError("it is not a regular file")
    with file.open("rb") as stream:
        return _bounded(stream.read(MAX_FILE_BYTES + 1))


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_FILE_BYTES:
        raise _UnusableError(f"it is larger than {MAX_FILE_BYTES} bytes")
    for number, line in enumerate(data.split(b"\n"), 1):
        if len(line) > MAX_LINE_BYTES:
            raise _UnusableError(f"line {number} is longer than {MAX_LINE_BYTES} bytes")
    return data


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise _UnusableError(f"the number {text[:40]} has an exponent beyond all reason") from error


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
