"""What a batch says of others: samples that were lost, and batches whose place it takes."""

from dataclasses import replace
from typing import TypeAlias

from buffer import cbor, cose
from buffer import header as headers
from buffer.header import ClockState, Header, LedgerEntry, Replaced
from collector.receiving import boots, chain
from collector.receiving.chain import Stream
from collector.tables.database import Sql

WHOLE = -1  # the `start` of a claim on whole batches

_Claim: TypeAlias = tuple[int, int, int, int]
"""First and last number, start, samples."""

_COUNTING = (
    "SELECT number, bytes FROM batches b WHERE gateway = ? AND stream = ? AND number BETWEEN ? AND ?"
    " AND b.rowid < ?"
    " AND NOT EXISTS (SELECT 1 FROM waiting w WHERE w.gateway = b.gateway AND w.stream = b.stream"
    " AND w.number = b.number AND w.state = 'superseded')"
)
"""The batches that arrived before a row and answer for themselves."""


class Conflict(Exception):
    """A batch replaces another one than the one that is stored under that number."""


def enter(db: Sql, at: Stream, header: Header) -> bool:
    """Enter a header's ledger entries and claims; say whether its samples count. Raises Conflict.

    Who answers for a sample first does so for good: a batch as it was committed, or a claim on it. Of later claims only
    what nobody has answered for yet counts, and of a claimed loss only that many samples are lost. What a batch tells
    beside is repeated by the one that takes its place.
    """
    if replacement_of(db, at, header.number) is not None:
        return False
    if not header.replaces:
        for entry in header.ledger:
            _enter_loss(db, at, entry)
        return True
    row = _row_of(db, at, header.number)
    settled = [_settle(db, at, header.number, row, claim) for claim in header.replaces]
    new = sum(count for count, _ in settled)
    counts = new > 0 if header.claimed else not all(stored for _, stored in settled)
    told = header.ledger[1:] if header.lost else header.ledger
    if header.lost and new:
        _enter_loss(db, at, replace(header.ledger[0], samples=new))
    for entry in told if counts else ():
        _enter_loss(db, at, entry)
    return counts


def date(db: Sql, gateway: str, boot: str, offset_ms: int) -> None:
    """Date the ledgered gaps of a boot that had no clock."""
    db.execute(
        "UPDATE gaps SET from_ms = u.from_boot_ms + ?, to_ms = u.to_boot_ms + ? FROM undated_gaps u"
        " WHERE u.gap = gaps.id AND u.gateway = ? AND u.boot = ?",
        (offset_ms, offset_ms, gateway, boot),
    )


def thinned_members(db: Sql, at: Stream, header: Header) -> list[list[bytes]]:
    """Return the blocks of the thinned batches that this one replaces which were stored before it and count."""
    row = _row_of(db, at, header.number)
    found = []
    for claim in header.replaces:
        for _, message in db.execute(_COUNTING, _span(at, claim, row)):
            member, *blocks = _payload(message)
            if member.window_ms:
                found.append(blocks)
    return found


def replacement_of(db: Sql, at: Stream, number: int) -> int | None:
    """Return the number of a batch that replaces this one."""
    row = db.execute(
        "SELECT replacement, first FROM replaced WHERE gateway = ? AND stream = ? AND last >= ? ORDER BY last LIMIT 1",
        (at.gateway, at.stream, number),
    ).fetchone()
    return row[0] if row and row[1] <= number else None


def _enter_loss(db: Sql, at: Stream, entry: LedgerEntry) -> None:
    key = at.gateway, entry.boot.hex()
    unset = entry.clock_state is ClockState.UNSET
    offset = boots.synchronized_offset(db, *key) if unset else entry.clock_ms
    (gap,) = db.execute(
        "INSERT INTO gaps (gateway, stream, from_ms, to_ms, samples, reason, state)"
        " VALUES (?, ?, ?, ?, ?, ?, 'ledgered') RETURNING id",
        (
            at.gateway,
            at.stream,
            _dated(entry.from_ms, offset),
            _dated(entry.to_ms, offset),
            entry.samples,
            entry.reason,
        ),
    ).fetchone()
    if unset:
        db.execute("INSERT INTO undated_gaps VALUES (?, ?, ?, ?, ?)", (gap, *key, entry.from_ms, entry.to_ms))


def _dated(boot_ms: int | None, offset_ms: int | None) -> int | None:
    return None if boot_ms is None or offset_ms is None else boot_ms + offset_ms


def _settle(db: Sql, at: Stream, by: int, row: int, claim: Replaced) -> tuple[int, bool]:
    """Enter a claim; return how many of its samples nobody answered for yet, and if a stored batch does for all."""
    _check_hash(db, at, claim)
    stored = dict(db.execute(_COUNTING, _span(at, claim, row)).fetchall())
    if claim.first == claim.last and stored:
        return 0, True
    rows = db.execute(
        "SELECT first, last, start, samples FROM replaced"
        " WHERE gateway = ? AND stream = ? AND last >= ? AND first <= ?",
        (at.gateway, at.stream, claim.first, claim.last),
    ).fetchall()
    if any(_covers(found, _row(claim)) for found in rows):
        return 0, False
    entered = _row(claim)
    if claim.start is not None:
        entered, inside, known = _joined(entered, [found for found in rows if found[2] != WHOLE])
    else:
        inside = [found for found in rows if _covers(entered, found)]
        known = sum(samples for *_, samples in inside)
        known += sum(
            _own_samples(message)
            for number, message in stored.items()
            if not any(first <= number <= last for first, last, _, _ in inside)
        )
    db.executemany(
        "DELETE FROM replaced WHERE gateway = ? AND stream = ? AND last = ? AND start = ?",
        [(at.gateway, at.stream, last, start) for _, last, start, _ in inside],
    )
    db.execute(
        "INSERT INTO replaced VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (at.gateway, at.stream, *entered, claim.hash.hex(), by),
    )
    chain.fill_replaced(db, at, claim.first, claim.last, claim.hash.hex())
    return max(claim.samples - known, 0), False


def _check_hash(db: Sql, at: Stream, claim: Replaced) -> None:
    row = db.execute(
        "SELECT hash FROM batches WHERE gateway = ?1 AND stream = ?2 AND number = ?3"
        " UNION SELECT hash FROM replaced WHERE gateway = ?1 AND stream = ?2 AND last = ?3",
        (at.gateway, at.stream, claim.last),
    ).fetchone()
    if row is not None and row[0] != claim.hash.hex():
        raise Conflict(f"it replaces number {claim.last} of hash {claim.hash.hex()}, known is {row[0]}")


def _row(claim: Replaced) -> _Claim:
    return claim.first, claim.last, WHOLE if claim.start is None else claim.start, claim.samples


def _covers(outer: _Claim, inner: _Claim) -> bool:
    if outer[2] == WHOLE:
        return outer[0] <= inner[0] and inner[1] <= outer[1]
    return outer[0] == inner[0] and outer[2] <= inner[2] and inner[2] + inner[3] <= outer[2] + outer[3]


def _joined(piece: _Claim, others: list[_Claim]) -> tuple[_Claim, list[_Claim], int]:
    """A claim on part of a batch joined with those that it overlaps; these, and how many samples are in both."""
    first, last, start, samples = piece
    end = start + samples
    met = [other for other in others if other[2] < end and start < other[2] + other[3]]
    shared = sum(min(end, at + count) - max(start, at) for _, _, at, count in met)
    begin = min(start, *(at for _, _, at, _ in met), start)
    return (first, last, begin, max(end, *(at + count for _, _, at, count in met), end) - begin), met, shared


def _own_samples(message: bytes) -> int:
    """How many samples a stored batch answers for by itself."""
    header, *_ = _payload(message)
    return 0 if header.replaces else header.samples


def _payload(message: bytes) -> tuple[Header, *tuple[bytes, ...]]:
    """Header and blocks of a batch that was verified before it was stored."""
    first, *blocks = cbor.loads(cose.read(message).payload, "the payload")
    return headers.decode(first), *blocks


def _span(at: Stream, claim: Replaced, row: int) -> tuple[str, str, int, int, int]:
    return at.gateway, at.stream, claim.first, claim.last, row


def _row_of(db: Sql, at: Stream, number: int) -> int:
    """Where in the order of arrival a stored batch is."""
    query = "SELECT rowid FROM batches WHERE gateway = ? AND stream = ? AND number = ?"
    return int(db.execute(query, (at.gateway, at.stream, number)).fetchone()[0])
