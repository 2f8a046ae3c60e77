"""What a metered link may carry now: a budget that accrues evenly, quiet hours, longer batches when it is short."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from buffer.usage import Usage
from config import Budget, Span

BURST = 20
"""One part in so many of a budget may be spent ahead of its time: a day's is an hour and a quarter early."""
LONGEST_MS = 3_600_000
"""Batches are sealed once an hour at the rarest."""
JUDGED_MS = 60_000
"""How often, at most, it is judged whether the pace can be kept up."""
EASY = 0.4
"""A pace below this part of what would do lets the interval become shorter: halved, it may use up to twice as much."""
KEEP_PART = 100
"""What the store does not know yet of a budget is at most so small a part of it."""
DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS


@dataclass(frozen=True, slots=True)
class Account:
    """One budget: what it is, what of it is used, and the part of its time that is over (0 to 1)."""

    limit: int
    used: int
    elapsed: float
    length_ms: int

    @property
    def spent(self) -> bool:
        """Whether all that has accrued is used."""
        return self.used >= min(self.limit, self.limit * self.elapsed + self.limit / BURST)

    @property
    def pace(self) -> float:
        """Bytes a ms that would last to its end."""
        return max(self.limit - self.used, 0) / max((1 - self.elapsed) * self.length_ms, 1.0)


class Meter:
    """Counts what goes over the link and says what may. Times: `now` in boot ms, `utc_ms` None while nobody knows it.

    Without a clock no day ends: what accrues since then is spent as if a budget had begun, so that a box that learns
    the time from the platform alone can ask for it.
    """

    def __init__(self, budget: Budget | None, quiet: Sequence[Span], zone: str) -> None:
        self._budget = budget
        self._quiet = quiet
        self._zone = ZoneInfo(zone)
        self.usage = Usage()
        self._kept = self.usage
        self._timeless: tuple[int, int] | None = None  # since when (boot ms) there is no clock, bytes since then
        self._factor = 1
        self._judged_at: int | None = None
        self._since_judged = 0
        self._held_back = False

    @property
    def metered(self) -> bool:
        """Whether there is anything to keep to."""
        return self._budget is not None or bool(self._quiet)

    @property
    def unkept(self) -> bool:
        """Whether the store should be told of `usage`."""
        if self._budget is None:
            return False
        least = min(limit for limit in (self._budget.day, self._budget.month) if limit is not None)
        new = self.usage.month != self._kept.month or self.usage.day != self._kept.day
        return new or (self.usage.month_bytes - self._kept.month_bytes) * KEEP_PART >= least

    def begin(self, usage: Usage) -> None:
        """What was kept by an earlier life of the agent."""
        self.usage = self._kept = usage

    def kept(self, usage: Usage) -> None:
        """The store has it."""
        self._kept = usage

    def add(self, count: int, now: int, utc_ms: int | None) -> None:
        """So many bytes went over the link."""
        self._since_judged += count
        if utc_ms is None:
            since, used = self._timeless or (now, 0)
            self._timeless = since, used + count
        else:
            self._timeless = None
            self._turn_page(self._local(utc_ms))
        usage = self.usage
        self.usage = replace(usage, day_bytes=usage.day_bytes + count, month_bytes=usage.month_bytes + count)

    def only_critical(self, now: int, utc_ms: int | None) -> bool:
        """Whether nothing but critical batches goes."""
        closed = self.quiet(utc_ms) or any(account.spent for account in self.accounts(now, utc_ms))
        self._held_back |= closed
        return closed

    def quiet(self, utc_ms: int | None) -> bool:
        """Whether these are quiet hours; not as long as nobody knows what time it is."""
        if utc_ms is None or not self._quiet:
            return False
        local = self._local(utc_ms)
        return any(span.holds(60 * local.hour + local.minute) for span in self._quiet)

    def accounts(self, now: int, utc_ms: int | None) -> list[Account]:
        """That of the day and that of the month, as far as there are such budgets."""
        if self._budget is None:
            return []
        day, month = self._budget.day, self._budget.month
        if utc_ms is None:
            since, used = self._timeless or (now, 0)
            spans = [(day, DAY_MS), (month, MONTH_MS)]
            return [_timeless(limit, used, now - since, length) for limit, length in spans if limit is not None]
        local = self._local(utc_ms)
        self._turn_page(local)
        made = []
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        if day is not None:
            made.append(_account(day, self.usage.day_bytes, midnight, midnight + timedelta(days=1), local))
        if month is not None:
            first = midnight.replace(day=1)
            made.append(_account(month, self.usage.month_bytes, first, _next_month(first), local))
        return made

    def interval(self, batch_ms: int, now: int, utc_ms: int | None) -> int:
        """How long the next batch is, in ms: `batch_ms`, or longer while the pace is more than the budget bears."""
        if self._judged_at is None:
            self._judged_at = now
        passed = now - self._judged_at
        if self._budget is None or passed < max(JUDGED_MS, 2 * self._length(batch_ms)):
            return self._length(batch_ms)
        pace, bearable = self._since_judged / passed, min(one.pace for one in self.accounts(now, utc_ms))
        if (self._held_back and not self.quiet(utc_ms)) or pace > bearable:
            if self._length(batch_ms) < LONGEST_MS:
                self._factor *= 2
        elif pace < EASY * bearable:
            self._factor = max(self._factor // 2, 1)
        self._judged_at, self._since_judged, self._held_back = now, 0, False
        return self._length(batch_ms)

    def _length(self, batch_ms: int) -> int:
        return batch_ms if self._factor == 1 else min(max(batch_ms, 1000) * self._factor, LONGEST_MS)

    def _local(self, utc_ms: int) -> datetime:
        return datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone(self._zone)

    def _turn_page(self, local: datetime) -> None:
        day, month = local.strftime("%Y-%m-%d"), local.strftime("%Y-%m")
        usage = self.usage
        if usage.month != month:
            usage = replace(usage, month=month, month_bytes=0 if usage.month else usage.month_bytes)
        if usage.day != day:
            usage = replace(usage, day=day, day_bytes=0 if usage.day else usage.day_bytes)
        self.usage = usage


def _timeless(limit: int, used: int, over_ms: int, length: int) -> Account:
    whole, rest = divmod(over_ms, length)
    return Account(limit, max(used - whole * limit, 0), rest / length, length)


def _account(limit: int, used: int, begin: datetime, end: datetime, now: datetime) -> Account:
    length, over = end.timestamp() - begin.timestamp(), now.timestamp() - begin.timestamp()
    return Account(limit, used, min(max(over / length, 0.0), 1.0), round(length * 1000))


def _next_month(first: datetime) -> datetime:
    return first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
