"""What a batch says of others: samples that were lost, and batches whose place it takes."""

import sqlite3

from buffer.header import ClockState, Header, LedgerEntry, Replaced
from collector import boots, chain
from collector.chain import Link, Stream


class Conflict(Exception):
    """A batch replaces another one than the one that is stored under that number."""


def enter(db: sqlite3.Connection, at: Stream, header: Header) -> None:
    """Enter a header's ledger entries and replacements; raises Conflict."""
    for entry in header.ledger:
        _enter_loss(db, at, entry)
    for original in header.replaces:
        _enter_replaced(db, at, header.number, original)


def date(db: sqlite3.Connection, gateway: str, boot: str, offset_ms: int) -> None:
    """Date the ledgered gaps of a boot that had no clock."""
    db.execute(
        "UPDATE gaps SET from_ms = u.from_boot_ms + ?, to_ms = u.to_boot_ms + ? FROM undated_gaps u"
        " WHERE u.gap = gaps.id AND u.gateway = ? AND u.boot = ?",
        (offset_ms, offset_ms, gateway, boot),
    )


def held_originals(db: sqlite3.Connection, at: Stream, header: Header) -> list[int]:
    """Return those numbers that a batch replaces whose originals are stored and count."""
    return [
        original.number
        for original in header.replaces
        if db.execute(
            "SELECT 1 FROM batches b WHERE gateway = ? AND stream = ? AND number = ?"
            " AND NOT EXISTS (SELECT 1 FROM waiting w WHERE w.gateway = b.gateway AND w.stream = b.stream"
            " AND w.number = b.number AND w.state = 'superseded')",
            (at.gateway, at.stream, original.number),
        ).fetchone()
    ]


def replacement_of(db: sqlite3.Connection, at: Stream, number: int) -> tuple[int, str] | None:
    """Return (number of the replacement, hash of the original) when a number was replaced."""
    row = db.execute(
        "SELECT replacement, hash FROM replaced WHERE gateway = ? AND stream = ? AND number = ?",
        (at.gateway, at.stream, number),
    ).fetchone()
    return (row[0], row[1]) if row else None


def _enter_loss(db: sqlite3.Connection, at: Stream, entry: LedgerEntry) -> None:
    key = at.gateway, entry.boot.hex()
    unset = entry.clock_state is ClockState.UNSET
    offset = boots.synchronized_offset(db, *key) if unset else entry.clock_ms
    gap = db.execute(
        "INSERT INTO gaps (gateway, stream, from_ms, to_ms, samples, reason, state)"
        " VALUES (?, ?, ?, ?, ?, ?, 'ledgered')",
        (
            at.gateway,
            at.stream,
            _dated(entry.from_ms, offset),
            _dated(entry.to_ms, offset),
            entry.samples,
            entry.reason,
        ),
    ).lastrowid
    if unset:
        db.execute("INSERT INTO undated_gaps VALUES (?, ?, ?, ?, ?)", (gap, *key, entry.from_ms, entry.to_ms))


def _dated(boot_ms: int | None, offset_ms: int | None) -> int | None:
    return None if boot_ms is None or offset_ms is None else boot_ms + offset_ms


def _enter_replaced(db: sqlite3.Connection, at: Stream, by: int, original: Replaced) -> None:
    known = replacement_of(db, at, original.number)
    stored = db.execute(
        "SELECT hash FROM batches WHERE gateway = ? AND stream = ? AND number = ?",
        (at.gateway, at.stream, original.number),
    ).fetchone()
    digest = stored[0] if stored else known[1] if known else original.hash.hex()
    if digest != original.hash.hex():
        raise Conflict(f"it replaces number {original.number} of hash {original.hash.hex()}, known is {digest}")
    if stored or known:
        return
    db.execute(
        "INSERT INTO replaced VALUES (?, ?, ?, ?, ?, ?)",
        (at.gateway, at.stream, original.number, digest, original.samples, by),
    )
    chain.fill(db, at, Link(original.number, digest, None))
