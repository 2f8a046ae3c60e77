"""What is wrong with a configuration, told so that a technician can mend it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.models import Config

SHOWN_CHARACTERS = 100  # of a value found: enough to recognise it, short enough for one line
PATH_CHARACTERS = 240  # of a key path: the longest honest one is about 120
SHOWN_ITEMS = 8  # of a list or table found; the rest is told as "..."
SHOWN_DEPTH = 3  # of nested lists and tables
SHOWN_INTEGER_BITS = 128  # longer integers are told by their length; CPython refuses to print very long ones
HIDDEN = "(hidden)"
SECRETS = ("password", "passwd", "secret", "token", "passphrase")


class ConfigError(Exception):
    """The configuration is not usable."""

    exit_code = 78  # EX_CONFIG of sysexits.h


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: `path` is the key path ("" for the whole file), `found` None where nothing stood there.

    Passwords in `found` are hidden.
    """

    file: str
    path: str
    message: str
    found: object = None

    def __post_init__(self) -> None:
        """Hide passwords before anybody can show them."""
        object.__setattr__(self, "found", hide(self.found, self.path.rpartition(".")[2]))

    @property
    def shown(self) -> str:
        """The value found as bounded printable text; "" where nothing stood there."""
        return "" if self.found is None else show(self.found)

    def __str__(self) -> str:
        place = f"{printable(self.file)}: {self.path}: " if self.path else f"{printable(self.file)}: "
        return f"{place}{printable(self.message)}" + (f" (found {self.shown})" if self.found is not None else "")


class ConfigErrors(ConfigError, ValueError):
    """All problems of a configuration at once, one a line.

    `partial` is the part that is sound, with a stand-in where the gateway is not: good only to look for more problems.
    """

    def __init__(self, problems: Sequence[Problem], partial: "Config | None" = None) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
        self.partial = partial


def printable(text: str) -> str:
    """`text` with everything that a terminal could obey escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show(value: object, depth: int = 0) -> str:
    """`value` as TOML would write it, printable and at most `SHOWN_CHARACTERS` long."""
    text = _show(value, depth)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def _show(value: object, depth: int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value == HIDDEN:
        return HIDDEN
    if isinstance(value, Decimal):
        return "nan" if value.is_nan() else str(value).lower().replace("infinity", "inf")
    if isinstance(value, str):
        quoted = value[: SHOWN_CHARACTERS + 1].replace("\\", "\\\\").replace('"', '\\"')
        return '"' + printable(quoted) + '"'
    if isinstance(value, Mapping):
        return _show_table(value, depth)
    if isinstance(value, list | tuple):
        return _show_list(value, depth)
    if isinstance(value, int | float | Decimal | datetime | date | time):
        return str(value)
    return f"a {type(value).__name__}"


def _show_table(table: Mapping[str, object], depth: int) -> str:
    if depth >= SHOWN_DEPTH:
        return "{...}"
    items = [f"{quote_key(str(key))} = {show(item, depth + 1)}" for key, item in list(table.items())[:SHOWN_ITEMS]]
    return "{ " + ", ".join(items + ["..."] * (len(table) > SHOWN_ITEMS)) + " }" if items else "{}"


def _show_list(values: Sequence[object], depth: int) -> str:
    if depth >= SHOWN_DEPTH:
        return "[...]"
    items = [show(item, depth + 1) for item in values[:SHOWN_ITEMS]]
    return "[" + ", ".join(items + ["..."] * (len(values) > SHOWN_ITEMS)) + "]"


def hide(value: object, key: str = "") -> object:
    """`value`, found at `key`, with whatever may be a password replaced, and integers that CPython refuses to print."""
    if value is not None and secret(key, value):
        return HIDDEN
    if isinstance(value, int) and value.bit_length() > SHOWN_INTEGER_BITS:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, Mapping):
        return {name: hide(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [hide(item) for item in value]
    return value


def secret(key: str, value: object) -> bool:
    """Whether a value is, or may hold, a password: by the name of its key, or a URL with one in it."""
    named = any(word in key.lower() for word in SECRETS) and not key.endswith("_file")
    return named or (isinstance(value, str) and "://" in value and "@" in value)


def quote_key(key: str) -> str:
    """One part of a key path: as it is when TOML allows it bare, else quoted; printable and bounded."""
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    short = key if len(key) <= SHOWN_CHARACTERS else key[: SHOWN_CHARACTERS - 3] + "..."
    return short if bare else '"' + printable(short.replace('"', '\\"')) + '"'


def key_path(*parts: str | int) -> str:
    """A key path such as `devices.lamp7.location[1]`; "" parts are left out."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part:
            text += ("." if text else "") + quote_key(part)
    return text if len(text) <= PATH_CHARACTERS else text[: PATH_CHARACTERS - 3] + "..."
