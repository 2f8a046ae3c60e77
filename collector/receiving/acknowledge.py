"""What an acknowledgement says, read from the committed tables."""

from dataclasses import dataclass, field

from buffer.ack import MAX_RANGES, MAX_REFUSED, MAX_WANT, Ack, Range
from buffer.header import MAX_REASON, NO_HASH
from collector.receiving import chain
from collector.receiving.chain import Stream
from collector.tables.database import Sql


@dataclass(slots=True)
class Touched:
    """What one group of messages did to a stream; `answers` is the number that came last.

    `head` is the newest number and its hash when every number up to it is filled and nothing is waited for.
    """

    site: str
    answers: int = 0
    numbers: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)
    head: tuple[int, bytes] | None = None


def build(db: Sql, at: Stream, touched: Touched, now_ms: int) -> Ack | None:
    """Return the acknowledgement for a stream, or None for a forked one."""
    if touched.head is not None:
        return _of_head(at, touched, touched.head, now_ms)
    if is_forked(db, at):
        return None
    cumulative, digest = _named(db, at, chain.cumulative(db, at))
    return Ack(
        gateway=at.gateway,
        stream=bytes.fromhex(at.stream),
        cumulative=cumulative,
        hash=digest,
        ranges=_ranges(db, at, touched),
        want=_want(db, at),
        refused=_refused(touched),
        time=now_ms,
        answers=touched.answers,
    )


def _of_head(at: Stream, touched: Touched, head: tuple[int, bytes], now_ms: int) -> Ack:
    """Without another look: it was committed a moment ago, and can only have grown."""
    stream = bytes.fromhex(at.stream)
    return Ack(at.gateway, stream, *head, (), (), _refused(touched), now_ms, touched.answers)


def _refused(touched: Touched) -> tuple[tuple[int, str], ...]:
    return tuple((number, text[:MAX_REASON]) for number, text in sorted(touched.refused.items())[:MAX_REFUSED])


def is_forked(db: Sql, at: Stream) -> bool:
    """Say whether the stream waits for an operator's word."""
    row = db.execute(
        "SELECT forked_at FROM streams WHERE gateway = ? AND stream = ?", (at.gateway, at.stream)
    ).fetchone()
    return row is not None and row[0] is not None


def _ranges(db: Sql, at: Stream, touched: Touched) -> tuple[Range, ...]:
    """The runs that were touched first of all, then the newest others."""
    found = {run for number in touched.numbers if (run := chain.run_around(db, at, number)) and run[0] > 1}
    chosen = sorted(found)[-MAX_RANGES:]
    others = [run for run in chain.runs(db, at, 1, MAX_RANGES) if run not in found]
    room = MAX_RANGES - len(chosen)
    runs = sorted([*chosen, *(others[-room:] if room else [])])
    named = [(first, *_named(db, at, last, first)) for first, last in runs]
    return tuple((first, last, digest) for first, last, digest in named if last >= first)


def _named(db: Sql, at: Stream, number: int, first: int = 1) -> tuple[int, bytes]:
    """The highest number from `first` to this one whose hash is known, and that; below `first` when there is none.

    Within a claim on many numbers only the last one's is; a run ends there only where the chain is broken.
    """
    while number >= first:
        if digest := chain.link_of(db, at, number).hash:
            return number, bytes.fromhex(digest)
        number -= 1
    return first - 1, NO_HASH


def _want(db: Sql, at: Stream) -> tuple[bytes, ...]:
    rows = db.execute(
        "SELECT DISTINCT catalogue FROM waiting WHERE gateway = ? AND stream = ? AND state = 'catalogue'"
        " ORDER BY catalogue LIMIT ?",
        (at.gateway, at.stream, MAX_WANT),
    )
    return tuple(bytes.fromhex(row[0]) for row in rows)
