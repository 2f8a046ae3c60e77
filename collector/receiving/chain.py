"""Which numbers of a stream are filled and chained to one another, and which are missing.

A run is a longest sequence of filled numbers each of which names the hash of the one before. The run that begins with
number 1 is what an acknowledgement calls cumulative; the others are its ranges; what lies between is a gap.
"""

from dataclasses import dataclass

from collector.tables.database import Sql

MISSING = "not received"


@dataclass(frozen=True, slots=True)
class Stream:
    """One life of a gateway's store."""

    gateway: str
    stream: str


@dataclass(frozen=True, slots=True)
class Link:
    """One filled number, or those from `first` on; `previous` is None when the batch is gone and another replaces it.

    `from_ms` and `to_ms` are the UTC times of its first and last sample, `hash` that of the last number, when known.
    """

    number: int
    hash: str | None
    previous: str | None
    from_ms: int | None = None
    to_ms: int | None = None
    first: int = 0

    @property
    def begin(self) -> int:
        """The first number."""
        return self.first or self.number


def fill(db: Sql, at: Stream, link: Link) -> None:
    """Enter a number that is not filled yet; its batch or replacement is already in the tables."""
    first, last = link.begin, link.number
    if (below := _run_ending(db, at, first - 1)) is not None:
        before = link_of(db, at, first - 1)
        if _joined(db, at, before, link):
            first = below
    if (above := _run_beginning(db, at, link.number + 1)) is not None:
        after = link_of(db, at, link.number + 1)
        if _joined(db, at, link, after):
            last = above
            db.execute("DELETE FROM runs WHERE gateway = ? AND stream = ? AND first = ?", (*_key(at), link.number + 1))
    db.execute(
        "INSERT INTO runs VALUES (?, ?, ?, ?) ON CONFLICT (gateway, stream, first) DO UPDATE SET last = excluded.last",
        (*_key(at), first, last),
    )
    _narrow_gap(db, at, link)


def fill_replaced(db: Sql, at: Stream, first: int, last: int, digest: str) -> None:
    """Enter those numbers of a claim that are not filled yet; `digest` is the last one's hash."""
    (newest,) = db.execute("SELECT newest FROM streams WHERE gateway = ? AND stream = ?", _key(at)).fetchone()
    gaps = db.execute(
        "SELECT first, last FROM gaps WHERE gateway = ? AND stream = ? AND state = 'pending'"
        " AND last >= ? AND first <= ?",
        (*_key(at), first, last),
    ).fetchall()
    missing = [(max(first, begin), min(last, end)) for begin, end in gaps]
    if last > newest:
        missing.append((max(first, newest + 1), last))
    for begin, end in missing:
        fill(db, at, Link(end, digest if end == last else None, None, first=begin))


def link_of(db: Sql, at: Stream, number: int) -> Link:
    """Return what a filled number's hash is and what it names as the one before; LookupError when it is not filled."""
    row = db.execute(
        "SELECT hash, previous FROM batches WHERE gateway = ? AND stream = ? AND number = ?", (*_key(at), number)
    ).fetchone()
    row = (
        row
        or db.execute(
            "SELECT CASE WHEN last = ?3 THEN hash END, NULL FROM replaced"
            " WHERE gateway = ?1 AND stream = ?2 AND last >= ?3 AND first <= ?3 ORDER BY last LIMIT 1",
            (*_key(at), number),
        ).fetchone()
    )
    if row is None:
        raise LookupError(f"{at.gateway} {at.stream} {number} is not filled")
    return Link(number, row[0], row[1])


def cumulative(db: Sql, at: Stream) -> int:
    """Return the highest number up to which every number is filled and chained; 0 when the first is missing."""
    row = db.execute("SELECT last FROM runs WHERE gateway = ? AND stream = ? AND first = 1", _key(at)).fetchone()
    return row[0] if row else 0


def runs(db: Sql, at: Stream, above: int, limit: int) -> list[tuple[int, int]]:
    """Return (first, last) of the newest runs that begin above a number, in ascending order."""
    rows = db.execute(
        "SELECT first, last FROM runs WHERE gateway = ? AND stream = ? AND first > ? ORDER BY first DESC LIMIT ?",
        (*_key(at), above, limit),
    ).fetchall()
    return rows[::-1]


def run_around(db: Sql, at: Stream, number: int) -> tuple[int, int] | None:
    """Return the run that a number lies in."""
    row = db.execute(
        "SELECT first, last FROM runs WHERE gateway = ? AND stream = ? AND first <= ? ORDER BY first DESC LIMIT 1",
        (*_key(at), number),
    ).fetchone()
    return (row[0], row[1]) if row and row[1] >= number else None


def date(db: Sql, at: Stream, number: int, from_ms: int, to_ms: int) -> None:
    """Give the gaps beside a number their times, when its batch was dated later than it was stored."""
    db.execute(
        "UPDATE gaps SET to_ms = ? WHERE gateway = ? AND stream = ? AND state = 'pending' AND last = ?",
        (from_ms, *_key(at), number - 1),
    )
    db.execute(
        "UPDATE gaps SET from_ms = ? WHERE gateway = ? AND stream = ? AND state = 'pending' AND first = ?",
        (to_ms, *_key(at), number + 1),
    )
    db.execute(
        "UPDATE streams SET newest_ms = ? WHERE gateway = ? AND stream = ? AND newest = ?", (to_ms, *_key(at), number)
    )


def _key(at: Stream) -> tuple[str, str]:
    return at.gateway, at.stream


def _run_ending(db: Sql, at: Stream, last: int) -> int | None:
    row = db.execute(
        "SELECT first FROM runs WHERE gateway = ? AND stream = ? AND last = ?", (*_key(at), last)
    ).fetchone()
    return row[0] if row else None


def _run_beginning(db: Sql, at: Stream, first: int) -> int | None:
    row = db.execute(
        "SELECT last FROM runs WHERE gateway = ? AND stream = ? AND first = ?", (*_key(at), first)
    ).fetchone()
    return row[0] if row else None


def _joined(db: Sql, at: Stream, before: Link, after: Link) -> bool:
    """Check the joint of two neighbours, and enter it as broken when the second does not name the first."""
    if after.previous is None or before.hash is None or after.previous == before.hash:
        return True
    reason = f"number {after.number} does not follow number {before.number}: it names {after.previous}"
    db.execute(
        "INSERT INTO gaps (gateway, stream, first, last, reason, state) VALUES (?, ?, ?, ?, ?, 'broken')",
        (*_key(at), before.number, after.number, reason),
    )
    return False


def _narrow_gap(db: Sql, at: Stream, link: Link) -> None:
    newest, newest_ms = db.execute(
        "SELECT newest, newest_ms FROM streams WHERE gateway = ? AND stream = ?", _key(at)
    ).fetchone()
    if link.number > newest:
        _missing(db, at, newest + 1, link.begin - 1, newest_ms, link.from_ms)
        db.execute(
            "UPDATE streams SET newest = ?, newest_ms = ? WHERE gateway = ? AND stream = ?",
            (link.number, link.to_ms, *_key(at)),
        )
        return
    row = db.execute(
        "SELECT id, first, last, from_ms, to_ms FROM gaps"
        " WHERE gateway = ? AND stream = ? AND state = 'pending' AND first <= ? ORDER BY first DESC LIMIT 1",
        (*_key(at), link.begin),
    ).fetchone()
    gap, first, last, from_ms, to_ms = row
    db.execute("DELETE FROM gaps WHERE id = ?", (gap,))
    _missing(db, at, first, link.begin - 1, from_ms, link.from_ms)
    _missing(db, at, link.number + 1, last, link.to_ms, to_ms)


def _missing(db: Sql, at: Stream, first: int, last: int, from_ms: int | None, to_ms: int | None) -> None:
    if first <= last:
        db.execute(
            "INSERT INTO gaps (gateway, stream, first, last, from_ms, to_ms, reason, state)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 'pending')",
            (*_key(at), first, last, from_ms, to_ms, MISSING),
        )
