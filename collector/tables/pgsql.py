"""SQL as sqlite3 takes it, run by psycopg."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.pq import Escaping

NUL, SHOWN_NUL = "\0", "\u2400"  # PostgreSQL's texts hold every character but the first

_PLACEHOLDER = re.compile(r"('(?:[^']|'')*'|::)|(\?\d*|:[a-z_]+)")


@lru_cache(maxsize=512)
def parts_of(sql: str) -> tuple[tuple[str, ...], tuple[str | int, ...]]:
    """What stands between the placeholders, and which value goes to each: a name, or a place from 0 on."""
    texts, values, begin, seen = [""], list[str | int](), 0, 0
    for match in _PLACEHOLDER.finditer(sql):
        placeholder = match[2]
        if not placeholder:
            continue
        texts[-1] += sql[begin : match.start()]
        begin = match.end()
        texts.append("")
        if placeholder[0] == ":":
            values.append(placeholder[1:])
        else:
            values.append(int(placeholder[1:]) - 1 if placeholder[1:] else seen)
            seen += 1
    texts[-1] += sql[begin:]
    return tuple(texts), tuple(values)


class Statements:
    """`execute` as sqlite3 has it, of a psycopg connection.

    Values go into the statement as literals (libpq escapes them): the server then takes each for what the place of it
    wants, as SQLite does, where a parameter would have to be given a type.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.raw = connection

    def execute(self, sql: str, arguments: Sequence[Any] | Mapping[str, Any] = (), /) -> psycopg.Cursor[Any]:
        """Run one statement."""
        texts, values = parts_of(sql)
        pieces = [texts[0].encode()]
        for value, text in zip(values, texts[1:], strict=True):
            pieces += (self._literal(arguments[value]), text.encode())  # type: ignore[index]
        return self.raw.cursor().execute(b"".join(pieces))

    def executemany(self, sql: str, arguments: Sequence[Sequence[Any]], /) -> None:
        """Run it for each."""
        for each in arguments:
            self.execute(sql, each)

    def _literal(self, value: object) -> bytes:
        """A value as SQL; a minus is kept apart from what stands before it."""
        value = plain(value)
        if value is None:
            return b"NULL"
        if isinstance(value, int):
            return b" %d" % value
        if isinstance(value, float):
            return b"'%s'::float8" % repr(value).encode()
        if isinstance(value, bytes):
            return b"'\\x%s'::bytea" % value.hex().encode()
        if isinstance(value, list):
            return b"ARRAY[%s]" % b",".join(self._literal(one) for one in value)
        return Escaping(self.raw.pgconn).escape_literal(str(value).encode())


def plain(value: object) -> object:
    """What a column takes: booleans are 0 and 1 in our tables; raises OverflowError for what is over 64 bits."""
    if isinstance(value, str):
        return str(value).replace(NUL, SHOWN_NUL)
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise OverflowError(f"{value} takes more than 64 bits")
    return int(value) if isinstance(value, bool) else value


def shown(url: str) -> str:
    """A URL without its password."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", url)
