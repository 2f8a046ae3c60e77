"""The numbers that are not stored, and the ledgers and claims that must account for them."""

from collections import Counter
from typing import TypeAlias

from buffer.header import ClockState, Header, LedgerEntry
from collector.receiving import boots
from collector.receiving.chain import Stream
from collector.tables.database import Sql
from collector.verify.report import Fault, Report

Entry: TypeAlias = tuple[int | None, int | None, str, int | None]
"""From and to (UTC in ms), reason, samples."""


class Account:
    """What headers say of one another, beside what the tables `gaps` and `replaced` say."""

    def __init__(self, db: Sql, at: Stream, report: Report) -> None:
        self._db = db
        self._at = at
        self._report = report
        self._holes: list[tuple[int, int]] = []
        self._before: dict[int, str] = {}  # number that is not stored -> the hash that the next one names
        self._claims: dict[tuple[int, int, int], str] = {}  # first, last, by which batch -> hash of the last
        self._own: dict[int, tuple[LedgerEntry, ...]] = {}
        self._retold: list[LedgerEntry] = []

    @property
    def last_claimed(self) -> int:
        """The highest number that another takes the place of."""
        return max((last for _, last, _ in self._claims), default=0)

    def arrived(self, number: int, before: tuple[int, str]) -> None:
        """A number is stored, the one stored before it being `before`."""
        if number > before[0] + 1:
            self._holes.append((before[0] + 1, number - 1))

    def learn(self, header: Header) -> None:
        """What a verified header says of others."""
        self._before[header.number - 1] = header.previous.hex()
        for claim in header.replaces:
            self._claims[claim.first, claim.last, header.number] = claim.hash.hex()
        if header.replaces:
            self._retold += header.ledger
        elif header.ledger:
            self._own[header.number] = header.ledger

    def accounts_for(self, number: int) -> bool:
        """Whether a number is stored or claimed."""
        return not any(first <= number <= last for first, last in self._report.missing)

    def claims(self, number: int) -> bool:
        """Whether another batch takes the place of this one."""
        return any(first <= number <= last for first, last, _ in self._claims)

    def others_answer(self, number: int) -> bool:
        """Whether what this batch takes the place of is stored, or claimed by another one."""
        own = [claim for claim in self._claims if claim[2] == number]
        others = [claim for claim in self._claims if claim[2] != number]
        return bool(own) and all(
            not any(begin <= last and first <= end for begin, end in self._holes)
            or any(begin <= first and last <= end for begin, end, _ in others)
            for first, last, _ in own
        )

    def finish(self, last: int) -> None:
        """Judge the holes, once every header is known."""
        if self.last_claimed > last:
            self._holes.append((last + 1, self.last_claimed))
        for first, end in self._holes:
            self._judge(first, end)
        self._joints()
        self._check_pending()
        self._check_ledger()

    def _judge(self, first: int, end: int) -> None:
        """Take the claims off a hole; what is left has not arrived, or is gone."""
        at = first
        for begin, last, _ in sorted(self._claims):
            if last < at or begin > end:
                continue
            if begin > at:
                self._report.missing.append((at, begin - 1))
            self._report.replaced += min(last, end) - max(begin, at) + 1
            at = last + 1
        if at <= end:
            self._report.missing.append((at, end))

    def _joints(self) -> None:
        for (_, last, _), digest in self._claims.items():
            named = self._before.get(last)
            if named is not None and named != digest:
                self._report.fault(Fault.CHAIN, f"its claim says {digest}, the next one names {named}", last)

    def _check_pending(self) -> None:
        rows = self._db.execute(
            "SELECT first, last FROM gaps WHERE gateway = ? AND stream = ? AND state = 'pending' ORDER BY first",
            (self._at.gateway, self._at.stream),
        ).fetchall()
        known = {number for first, last in rows for number in (first, last)}
        for first, last in self._report.missing:
            if not any(begin <= first and last <= end for begin, end in rows):
                self._report.fault(Fault.REMOVED, f"numbers {first} to {last} were stored and are not", first)
            known -= {first, last}
        for number in sorted(known):
            self._report.fault(Fault.GAPS, "the table gaps says that it is missing", number)

    def _check_ledger(self) -> None:
        """Every ledgered gap in the table must be signed, and what no other batch retells must be in the table."""
        rows: Counter[Entry] = Counter(
            self._db.execute(
                "SELECT from_ms, to_ms, reason, samples FROM gaps"
                " WHERE gateway = ? AND stream = ? AND state = 'ledgered'",
                (self._at.gateway, self._at.stream),
            ).fetchall()
        )
        self._report.ledgered = rows.total()
        needed: Counter[Entry] = Counter()
        spare = list(self._retold)
        for number, entries in self._own.items():
            if self.claims(number):
                spare += entries
            else:
                needed.update(self._entry(entry) for entry in entries)
        for entry in (needed - rows).elements():
            self._report.fault(Fault.LEDGER, f"a signed loss is not in the table gaps: {entry}")
        allowed = [self._entry(entry) for entry in spare]
        for row in (rows - needed).elements():
            match = next((one for one in allowed if one[:3] == row[:3] and _within(row[3], one[3])), None)
            if match is None:
                self._report.fault(Fault.LEDGER, f"nobody signed the loss in the table gaps: {row}")
            else:
                allowed.remove(match)

    def _entry(self, entry: LedgerEntry) -> Entry:
        offset: int | None = entry.clock_ms
        if entry.clock_state is ClockState.UNSET:
            offset = boots.synchronized_offset(self._db, self._at.gateway, entry.boot.hex())
        if offset is None:
            return None, None, entry.reason, entry.samples
        return (
            entry.from_ms + offset,
            None if entry.to_ms is None else entry.to_ms + offset,
            entry.reason,
            entry.samples,
        )


def _within(samples: int | None, signed: int | None) -> bool:
    """A loss that was claimed counts as far as nobody else answered for it."""
    return samples == signed or (samples is not None and signed is not None and samples <= signed)
