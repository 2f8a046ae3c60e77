"""The source of a keyring: a TOML file that people edit, review and keep under version control; it has no secret."""

import datetime as dt
import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from buffer import keyring
from buffer.errors import BufferFault
from buffer.keyring import FOREVER, RingKey, parse_scope
from buffer.keys import PublicKey
from collector.errors import KeyringFault
from collector.files import read_bounded, write_whole

MAX_SOURCE_BYTES = 256 << 10  # MAX_KEYS with all their scopes, and as much again of comments
FIELDS = {"name", "role", "public_key", "scopes", "until"}
NEVER = "never"

HEAD = """\
# The keyring: whom the gateways believe, for what, where and until when. Signed by the authority:
#   lamppost-collector keyring sign {name} --key authority.pem
#
# [[key]]
# name = "anna"                   for people
# role = "command"                acknowledge, command, configure or update
# public_key = "..."              what `lamppost-collector key show` prints
# scopes = ["nord/gw-17/lamp7"]   SITE[/GATEWAY[/DEVICE[/POINT]]], each an id or *
# until = 2027-12-31              the last day, UTC; or a time with its zone; or "never"
"""


def load(path: Path) -> tuple[RingKey, ...]:
    """The keys in a file; raises KeyringFault with the file's name."""
    try:
        return parse(read_bounded(path, MAX_SOURCE_BYTES).decode())
    except (UnicodeError, KeyringFault) as error:
        raise KeyringFault(f"{path}: {error}") from error


def parse(text: str) -> tuple[RingKey, ...]:
    """The keys of a source; raises KeyringFault."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise KeyringFault(str(error)) from error
    if unknown := set(table) - {"key"}:
        raise KeyringFault(f"unknown: {', '.join(sorted(unknown))}; a source has nothing but [[key]] tables")
    rows = table.get("key", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise KeyringFault("keys are written as [[key]] tables")
    if len(rows) > keyring.MAX_KEYS:
        raise KeyringFault(f"a keyring has at most {keyring.MAX_KEYS} keys, not {len(rows)}")
    keys = tuple(_key(row) for row in rows)
    for what in ({(key.name, key.role) for key in keys}, {(key.raw, key.role) for key in keys}):
        if len(what) != len(keys):
            raise KeyringFault("a name or a key stands twice with one role")
    return keys


def parse_until(value: object) -> int:
    """The end in ms since the epoch: a date counts as a whole (UTC), a time needs its zone; raises KeyringFault."""
    if value == NEVER:
        return FOREVER
    if isinstance(value, str):
        try:
            value = dt.date.fromisoformat(value) if len(value) == 10 else dt.datetime.fromisoformat(value)
        except ValueError as error:
            raise KeyringFault(f'until is 2027-12-31, a time with its zone, or "never", not {value!r}') from error
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise KeyringFault(f"until = {value.isoformat()} needs its zone, as in 2027-12-31T18:00:00Z")
        return _ms(value)
    if isinstance(value, dt.date):
        return _ms(dt.datetime.combine(value, dt.time(), dt.UTC)) + 86_400_000
    raise KeyringFault(f'until is 2027-12-31, a time with its zone, or "never", not {value!r}')


def create(path: Path) -> None:
    """Begin a source with nothing but an explanation; never overwrites; raises KeyringFault."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(HEAD.format(name=path.name))
    except OSError as error:
        raise KeyringFault(f"{path}: {error.strerror}") from error


def add(path: Path, name: str, key: PublicKey, scopes: Iterable[str], until: str) -> RingKey:
    """Write a key at the end of a source; what stands there stays as it is; raises KeyringFault."""
    row = {
        "name": name, "role": key.role, "public_key": key.raw.hex(), "scopes": list(scopes), "until": until,
    }  # fmt: skip
    added = _key(row)
    before = load(path)
    text = read_bounded(path, MAX_SOURCE_BYTES).decode()
    lines = [
        "" if not text or text.endswith("\n") else "\n",
        "\n[[key]]\n",
        f"name = {json.dumps(name, ensure_ascii=False)}\n",
        f'role = "{key.role}"\n',
        f'public_key = "{key.raw.hex()}"\n',
        f"scopes = {json.dumps(row['scopes'])}\n",
        f"until = {_until_toml(until)}\n",
    ]
    _replace(path, text + "".join(lines), (*before, added))
    return added


def remove(path: Path, name: str, role: str | None = None) -> tuple[RingKey, ...]:
    """Take the keys of a name out of a source, leaving every other line; return them; raises KeyringFault."""
    keys = load(path)
    gone = [at for at, key in enumerate(keys) if key.name == name and role in (None, key.role)]
    if not gone:
        raise KeyringFault(f"{path}: no key of {name!r}{f' with the role {role}' if role else ''}")
    head, *tables = re.split(r"(?m)^(?=[ \t]*\[\[[ \t]*key[ \t]*\]\])", read_bounded(path, MAX_SOURCE_BYTES).decode())
    kept = [_tail(table) if at in gone else table for at, table in enumerate(tables)]
    _replace(path, head + "".join(kept), tuple(key for at, key in enumerate(keys) if at not in gone))
    return tuple(keys[at] for at in gone)


def _tail(table: str) -> str:
    """The comments and empty lines at a table's end: they speak of the next one."""
    found = re.search(r"(?:^[ \t]*(?:#[^\n]*)?\n)*\Z", table, re.MULTILINE)
    return "" if found is None else found[0]


def _replace(path: Path, text: str, wanted: tuple[RingKey, ...]) -> None:
    """Write a source whose keys are those wanted, or nothing at all."""
    try:
        found = parse(text)
    except KeyringFault as error:
        raise KeyringFault(f"{path}: {error}; nothing was changed") from error
    if found != wanted:
        raise KeyringFault(f"{path}: cannot be changed by program; edit it by hand")
    write_whole(path, text.encode())


def _key(row: dict[str, Any]) -> RingKey:
    name = row.get("name")
    if missing := FIELDS - set(row):
        raise KeyringFault(f"key {name!r} lacks {', '.join(sorted(missing))}")
    if unknown := set(row) - FIELDS:
        raise KeyringFault(f"key {name!r} has unknown fields: {', '.join(sorted(unknown))}")
    scopes = row["scopes"]
    if not isinstance(row["name"], str) or not isinstance(row["role"], str) or not _texts(scopes):
        raise KeyringFault(f"key {name!r}: name and role are texts, scopes an array of texts")
    if not isinstance(row["public_key"], str) or not re.fullmatch(r"[0-9a-f]{64}", row["public_key"]):
        raise KeyringFault(f"key {name!r}: public_key is 64 digits of lower-case hex")
    try:
        places = tuple(parse_scope(scope) for scope in scopes)
        return RingKey(row["name"], row["role"], bytes.fromhex(row["public_key"]), places, parse_until(row["until"]))
    except (BufferFault, KeyringFault) as error:
        raise KeyringFault(f"key {name!r}: {error}") from error


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _until_toml(until: str) -> str:
    return until if re.fullmatch(r"\d{4}-\d{2}-\d{2}", until) else json.dumps(until)


def _ms(moment: dt.datetime) -> int:
    ms = round(moment.timestamp() * 1000)
    if not 0 <= ms < FOREVER:
        raise KeyringFault(f"until = {moment.isoformat()} is out of range")
    return ms
