"""Series numbers and the catalogue that batches name, in the caller's transaction."""

import errno
import sqlite3
from collections.abc import Sequence

from buffer import catalogue, sealing
from buffer.block import CATALOGUE_PART
from buffer.catalogue import SeriesDefinition
from buffer.database import REMEDY
from buffer.errors import StoreCorrupt
from buffer.header import Clock
from buffer.memory import Memory
from buffer.sealing import Sealer


def assign(
    connection: sqlite3.Connection,
    sealer: Sealer,
    memory: Memory,
    clock: Clock,
    definitions: Sequence[SeriesDefinition],
) -> list[int]:
    """The series numbers of `definitions`; another set than the newest catalogue's is sealed as a new one."""
    known = {data: number for number, data in connection.execute("SELECT number, definition FROM series")}
    entries = [one.numbered(known.get(one.key()) or number_of(connection, memory, one)) for one in definitions]
    block = catalogue.encode(entries)
    if block != _newest_catalogue(connection, memory):
        sealer.seal_all(memory)
        sealer.seal_catalogue(memory, clock, block)
    return [entry.number for entry in entries]


def numbers(connection: sqlite3.Connection, memory: Memory, definitions: Sequence[SeriesDefinition]) -> list[int]:
    """The series numbers of `definitions`; raises `BatchFormatError` when they make no catalogue."""
    found = [number_of(connection, memory, one) for one in definitions]
    catalogue.encode([one.numbered(number) for one, number in zip(definitions, found, strict=True)])
    return found


def number_of(connection: sqlite3.Connection, memory: Memory, definition: SeriesDefinition) -> int:
    """The number of a series, a new one if it has none; never one that another has."""
    key = definition.key()
    row = connection.execute("SELECT number FROM series WHERE definition = ?", (key,)).fetchone()
    if row is not None:
        return int(row[0])
    number = memory.next_series
    memory.next_series += 1
    connection.execute("INSERT INTO series VALUES (?, ?)", (number, key))
    connection.execute("UPDATE state SET next_series = ?", (memory.next_series,))
    return number


def _newest_catalogue(connection: sqlite3.Connection, memory: Memory) -> bytes | None:
    query = "SELECT first_block, last_block FROM batches WHERE number = ?"
    row = connection.execute(query, (memory.catalogue,)).fetchone()
    if row is None:
        return None
    if not (blocks := sealing.read_blocks(connection, CATALOGUE_PART, *row)):
        raise StoreCorrupt(errno.EIO, f"the catalogue has no block; {REMEDY}")
    return blocks[0]
