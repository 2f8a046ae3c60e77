"""The account: devices' own log, agent's store and collector's database, compared by point, time and value."""

import json
import sqlite3
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from buffer.batch import decode
from buffer.catalogue import decode as decode_catalogue
from buffer.chain import verify_messages
from buffer.cose import Kind
from buffer.header import JUDGED, Clock, ClockState
from buffer.keys import PublicKey
from buffer.reader import Reader
from ext import GOOD, Value, unpack

MATCH_MS = 2_000
"""A device's log and the agent stamp the same answer within this: the platform's time reaches the agent over a link."""
OWN = "gateway/"
"""Points of the agent itself: no device says them."""
GRACE_MS = 1_000
"""What an answer may take from the device to the agent's memory before a kill."""

Key = tuple[str, int, str, int]
"""(point, utc_ms, value as exact text, quality)"""


@dataclass(frozen=True, slots=True)
class Window:
    """When the agent was down, and how long before that its answers need not have been committed. UTC ms."""

    killed_ms: int
    back_ms: int


@dataclass(slots=True)
class Account:
    """The demo's last line, and what is wrong with it."""

    sampled: int = 0
    committed: int = 0
    delivered: int = 0
    verified: int = 0
    lost: int = 0
    duplicated: int = 0
    uncommitted: int = 0
    refused: int = 0
    batches: int = 0
    kills: int = 0
    outages: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def line(self) -> dict[str, int | float]:
        """The JSON object of CONTRACTS."""
        names = (
            "sampled", "committed", "delivered", "verified", "lost", "duplicated", "uncommitted", "refused",
            "batches", "kills", "outages", "seconds",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    @property
    def balanced(self) -> bool:
        """Nothing lost, doubled, refused, invented or unproven."""
        return not (self.lost or self.duplicated or self.refused or self.faults)


def account(
    device_log: Path, store: Path, database: Path, public_key: Path, *, commit_ms: int,
    windows: Sequence[Window] = (), ended_ms: int | None = None,
) -> Account:  # fmt: skip
    """Compare the three; `windows` are the times around kills, and the devices fell silent at `ended_ms`."""
    result = Account(kills=len(windows))
    key = PublicKey.from_json(public_key.read_text())
    kept = Counter(_kept(store, key, _boots(database)))
    stored = Counter(_stored(database))
    configured = {point for point, *_ in kept}
    said = [row for row in _device_log(device_log) if row[0] in configured]
    result.sampled = len(said)
    result.committed = sum(kept.values())
    result.delivered = sum(stored.values())
    _compare(result, kept, stored)
    _match(result, said, kept, commit_ms, windows, ended_ms)
    _prove(result, database, key)
    return result


def _compare(result: Account, kept: Counter[Key], stored: Counter[Key]) -> None:
    lost, extra = kept - stored, stored - kept
    result.lost, result.duplicated = sum(lost.values()), sum(extra.values())
    for name, rows in (("lost", lost), ("stored more often than committed", extra)):
        result.faults += [
            f"{name}: {point} at {ts} = {value} ({count} x)" for (point, ts, value, _), count in list(rows.items())[:5]
        ]


def _match(
    result: Account, said: list[tuple[str, int, Decimal]], kept: Counter[Key], commit_ms: int,
    windows: Sequence[Window], ended_ms: int | None,
) -> None:  # fmt: skip
    """Find for each committed value the answer that it was, and for each answer whether it had to be committed."""
    answers, found = _by_value(said), _by_value(_good(kept))
    invented = [(*key, utc_ms) for key in found for utc_ms in _pair(found[key], answers[key])]
    result.faults += [f"no device said: {point} at {utc_ms} = {value:f}" for point, value, utc_ms in invented[:5]]
    left = [(point, utc_ms) for (point, _), times in answers.items() for utc_ms in times]
    result.uncommitted = len(left)
    missing = [(p, t) for p, t in left if not _excused(t, commit_ms, windows, ended_ms)]
    result.faults += [f"answered and never committed: {point} at {utc_ms}" for point, utc_ms in missing[:5]]


def _good(kept: Counter[Key]) -> Iterator[tuple[str, int, Decimal]]:
    for (point, utc_ms, text, quality), count in kept.items():
        if quality == GOOD and text and not point.startswith(OWN):
            yield from [(point, utc_ms, Decimal(text))] * count


def _by_value(rows: Iterable[tuple[str, int, Decimal]]) -> defaultdict[tuple[str, Decimal], list[int]]:
    """The times of each value of each point, in order."""
    times: defaultdict[tuple[str, Decimal], list[int]] = defaultdict(list)
    for point, utc_ms, value in rows:
        times[point, value].append(utc_ms)
    for found in times.values():
        found.sort()
    return times


def _pair(kept: list[int], answers: list[int]) -> list[int]:
    """Take from `answers` one within the tolerance for each of `kept`; those of `kept` that found none.

    The nearest answer each, which tells best which of several was not committed. Where that leaves one over, as it may
    with a value that comes often, in order: then as many as can be find one.
    """
    for choose in (_nearest, _first):
        rest = answers.copy()
        alone = [utc_ms for utc_ms in kept if not _take(rest, utc_ms, choose)]
        if not alone:
            break
    answers[:] = rest
    return alone


def _nearest(near: Sequence[int], utc_ms: int) -> int:
    return min(near, key=lambda time: abs(time - utc_ms))


def _first(near: Sequence[int], _: int) -> int:
    return near[0]


def _take(times: list[int], utc_ms: int, choose: Callable[[Sequence[int], int], int]) -> bool:
    """Remove the chosen one of the times within the tolerance of `utc_ms`; whether there was one."""
    near = times[bisect_left(times, utc_ms - MATCH_MS) : bisect_right(times, utc_ms + MATCH_MS)]
    if near:
        times.remove(choose(near, utc_ms))
    return bool(near)


def _excused(utc_ms: int, commit_ms: int, windows: Sequence[Window], ended_ms: int | None) -> bool:
    """An answer may be missing when the agent was killed before its commit was due, or was not there."""
    if any(w.killed_ms - commit_ms - GRACE_MS <= utc_ms <= w.back_ms + GRACE_MS for w in windows):
        return True
    return ended_ms is not None and utc_ms >= ended_ms - GRACE_MS


def _prove(result: Account, database: Path, key: PublicKey) -> None:
    """Every batch that the collector holds is signed by the gateway, and together they are one chain without a gap."""
    with closing(_open(database)) as db:
        messages = [row[0] for row in db.execute("SELECT bytes FROM batches ORDER BY number")]
        result.refused = db.execute("SELECT count(*) FROM refused").fetchone()[0]
    report = verify_messages(messages, key, lambda blocks: len(unpack(blocks)))
    bad = {finding.number for finding in report.findings if finding.number is not None}
    result.batches = len(messages)
    result.verified = report.batches - len(bad)
    result.faults += [f"batch {finding.number}: {finding.what}" for finding in report.findings]
    result.faults += [f"batches {first} to {last} are missing" for first, last in report.missing]


def _device_log(path: Path) -> Iterator[tuple[str, int, Decimal]]:
    with path.open() as lines:
        for line in lines:
            row = json.loads(line, parse_float=Decimal)
            value = int(row["value"]) if isinstance(row["value"], bool) else row["value"]
            yield row["point"], row["utc_ms"], Decimal(value)


def _boots(database: Path) -> dict[str, int]:
    """How the platform dates a boot whose clock was not set when the batch was made."""
    with closing(_open(database)) as db:
        return dict(db.execute("SELECT boot, offset_ms FROM boots WHERE offset_ms IS NOT NULL"))


def _kept(store: Path, key: PublicKey, boots: Mapping[str, int]) -> Iterator[Key]:
    """Every committed sample that the store has, sealed or not, decoded from its blocks."""
    with Reader(store) as reader:
        snapshot = reader.snapshot()
        series: dict[int, str] = {}
        for stored in reader.batches(last=snapshot.last_number):
            batch = decode(stored.message, key)
            header = batch.header
            if header.kind is Kind.CATALOGUE:
                series |= {entry.number: f"{entry.device}/{entry.point}" for entry in decode_catalogue(batch.blocks)}
            else:
                clock = Clock(header.boot, header.clock_ms, header.clock_state)
                yield from _samples(batch.blocks, series, boots, clock)
        for part in snapshot.unsealed:
            yield from _samples(part.blocks, series, boots, part.clock)


def _samples(
    blocks: Sequence[bytes], series: Mapping[int, str], boots: Mapping[str, int], clock: Clock
) -> Iterator[Key]:
    unset = clock.state is ClockState.UNSET
    offset = boots.get(clock.boot.hex(), 0) if unset else clock.clock_ms
    was, becomes = JUDGED.get(clock.state, (GOOD, GOOD))
    for number, boot_ms, value, quality in unpack(blocks):
        yield series[number], boot_ms + offset, exact_text(value), becomes if quality == was else quality


def exact_text(value: Value) -> str:
    """A value as text that tells it from every other; numbers that are equal give the same text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, int | Decimal):
        return format(Decimal(value).normalize(), "f") if value else "0"
    return value.hex() if isinstance(value, bytes) else value


def _stored(database: Path) -> Iterator[Key]:
    query = (
        "SELECT series.device, series.point, ts_ms, value, exact, text, quality"
        " FROM samples JOIN series ON series.id = samples.series"
    )
    with closing(_open(database)) as db:
        for device, point, ts_ms, value, exact, text, quality in db.execute(query):
            if text is not None:
                shown = text
            elif exact is not None:
                shown = exact_text(Decimal(exact))
            else:
                shown = exact_text(value)
            yield f"{device}/{point}", ts_ms, shown, quality


def _open(path: Path) -> "sqlite3.Connection":
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)
