"""Acknowledged, refused, pruned: what becomes of sealed batches, in the caller's transaction."""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from buffer.ack import Ack
from buffer.block import CATALOGUE_PART, REPLACING
from buffer.cose import Kind
from buffer.errors import AckReason, AckRefused
from buffer.header import KIND_CODES, KINDS, PRIORITIES, PRIORITY_CODES, Priority
from buffer.memory import Memory

PRUNE_BATCHES = 256  # a transaction, so that the log stays small
DAMAGED = "damaged on disk"  # `refused` of a batch that was written off: its samples are in the ledger
KEPT_BLOCKS = 8  # the newest rows stay: they say until when there are samples after an unclean stop


@dataclass(frozen=True, slots=True)
class Held:
    """A sealed batch that is not acknowledged; `bytes` is the size of its message.

    `refused` is why it is set aside, `thinned_ms` the window that its samples sum up, 0 when they do not.
    """

    number: int
    kind: Kind
    priority: Priority
    samples: int
    bytes: int
    refused: str | None
    thinned_ms: int = 0


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much is not acknowledged; `refused` counts the batches that the collector does not take."""

    batches: int = 0
    samples: int = 0
    bytes: int = 0
    refused: int = 0

    def less(self, other: "Backlog") -> "Backlog":
        """Without what is in `other`."""
        return Backlog(
            self.batches - other.batches,
            self.samples - other.samples,
            self.bytes - other.bytes,
            self.refused - other.refused,
        )


def is_held(connection: sqlite3.Connection, number: int) -> bool:
    """Whether the file has the batch as not acknowledged."""
    query = "SELECT 1 FROM batches WHERE number = ? AND acked_utc_ms = 0"
    return connection.execute(query, (number,)).fetchone() is not None


def backlog(connection: sqlite3.Connection, less: Collection[int] = ()) -> Backlog:
    """What is not acknowledged, in sum, without the held numbers `less`."""
    query = (
        "SELECT count(*), coalesce(sum(samples), 0), coalesce(sum(size), 0), coalesce(sum(refused != ''), 0)"
        " FROM batches WHERE acked_utc_ms = 0"
    )
    found = Backlog(*connection.execute(query).fetchone())
    for number in less:
        one = Backlog(*connection.execute(f"{query} AND number = ?", (number,)).fetchone())
        found = found.less(one)
    return found


def held(connection: sqlite3.Connection, limit: int = -1, after: int = 0) -> list[Held]:
    """What is not acknowledged, by number, at most `limit` of it (-1: all), numbers up to `after` left out."""
    query = (
        "SELECT number, kind, part, samples, size, refused, window FROM batches"
        " WHERE acked_utc_ms = 0 AND number > ? ORDER BY number LIMIT ?"
    )
    found = []
    for number, code, part, samples, size, refused, window in connection.execute(query, (after, limit)):
        priority = priority_of(KINDS[code], part)
        found.append(Held(number, KINDS[code], priority, samples, size, refused or None, max(window, 0)))
    return found


def delivered(connection: sqlite3.Connection, first: int, last: int, limit: int) -> list[int]:
    """Acknowledged batches from `first` to `last` whose bytes are kept, by number, at most `limit`."""
    query = (
        "SELECT number FROM batches WHERE number BETWEEN ? AND ? AND signature != x'' AND acked_utc_ms > 0"
        " ORDER BY number LIMIT ?"
    )
    return [row[0] for row in connection.execute(query, (first, last, limit))]


def samples_of(connection: sqlite3.Connection, number: int) -> int:
    """How many a batch has; 0 for one that is not kept."""
    row = connection.execute("SELECT samples FROM batches WHERE number = ?", (number,)).fetchone()
    return 0 if row is None else int(row[0])


def critical(connection: sqlite3.Connection, numbers: Collection[int]) -> frozenset[int]:
    """Those of `numbers` that are critical batches."""
    part = PRIORITY_CODES[Priority.CRITICAL]
    query = "SELECT 1 FROM batches WHERE number = ? AND part IN (?, ?)"
    return frozenset(n for n in numbers if connection.execute(query, (n, part, part + REPLACING)).fetchone())


def priority_of(kind: Kind, part: int) -> Priority:
    """A catalogue goes first; a batch with nothing but ledger entries is a normal one."""
    if part == CATALOGUE_PART:
        return Priority.CRITICAL if kind is Kind.CATALOGUE else Priority.NORMAL
    return PRIORITIES[part % REPLACING]


def check_ack(connection: sqlite3.Connection, memory: Memory, gateway: str, ack: Ack) -> None:
    """Raise `AckRefused` unless every number and hash in it is this store's."""
    if ack.gateway != gateway:
        raise AckRefused(AckReason.GATEWAY, ack.gateway)
    if ack.stream != memory.stream:
        raise AckRefused(AckReason.STREAM, ack.stream.hex())
    named = [(ack.cumulative, ack.hash)] if ack.cumulative else []
    for number, digest in named + [(last, digest) for _, last, digest in ack.ranges]:
        if number > memory.last_number:
            raise AckRefused(AckReason.NEVER_SENT, f"{number}, the newest is {memory.last_number}")
        row = connection.execute("SELECT hash FROM batches WHERE number = ?", (number,)).fetchone()
        if row is not None and row[0] != digest:
            raise AckRefused(AckReason.HASH, f"batch {number} is {row[0].hex()}, not {digest.hex()}")


def acked_numbers(connection: sqlite3.Connection, ack: Ack) -> list[int]:
    """The held numbers that it frees: the union of the cumulative number and the ranges."""
    query = "SELECT number FROM batches WHERE number BETWEEN ? AND ? AND acked_utc_ms = 0"
    freed: set[int] = set()
    for first, last in [(1, ack.cumulative), *((first, last) for first, last, _ in ack.ranges)]:
        freed.update(row[0] for row in connection.execute(query, (first, last)))
    return sorted(freed)


def prunable(connection: sqlite3.Connection, memory: Memory, before_utc_ms: int) -> list[tuple[int, int, int, int]]:
    """(first block, last block, part, number) of delivered batches to drop, catalogues still in use left out."""
    query = (
        "SELECT first_block, last_block, part, number FROM batches AS b"
        " WHERE acked_utc_ms > 0 AND acked_utc_ms < ? AND signature != x'' AND last_block < ?"
        " AND (kind != ? OR (number != ? AND NOT EXISTS"
        "      (SELECT 1 FROM batches AS user WHERE user.catalogue = b.number AND user.signature != x'')))"
        " ORDER BY number LIMIT ?"
    )
    newest = memory.next_block - KEPT_BLOCKS
    catalogue = KIND_CODES[Kind.CATALOGUE]
    return connection.execute(query, (before_utc_ms, newest, catalogue, memory.catalogue, PRUNE_BATCHES)).fetchall()


def drop(connection: sqlite3.Connection, memory: Memory, rows: list[tuple[int, int, int, int]]) -> None:
    """Drop the bytes of batches; number and hash stay while a lower number is held, and of the newest for ever.

    Of those that took the place of others the header stays as long: it says which numbers are missing for good reason.
    """
    blocks = [(first, last, part) for first, last, part, _ in rows]
    connection.executemany("DELETE FROM blocks WHERE id BETWEEN ? AND ? AND part = ?", blocks)
    connection.executemany(
        "UPDATE batches SET signature = x'', kid = x'', header = CASE WHEN part > ? OR window != 0 THEN header"
        " ELSE x'' END WHERE number = ?",
        [(CATALOGUE_PART, number) for *_, number in rows],
    )
    connection.execute(
        "DELETE FROM batches WHERE signature = x'' AND number < ?", (min(memory.lowest_held, memory.last_number),)
    )
