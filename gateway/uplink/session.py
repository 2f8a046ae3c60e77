"""Which batch to send next: live first, the backlog behind, whatever is in doubt again. No sockets, no clock."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum

from gateway.uplink.runs import Runs

WINDOW = 16
"""Batches in flight: 16 of at most 64 kB fill a link of 8 Mbit/s with a round trip of a second."""
TURNS = 4
"""While critical and live data wait, one send in four goes to the backlog and one at least to what is live."""
RESEND_FIRST_MS = 15_000
RESEND_MAX_MS = 600_000


class Rank(IntEnum):
    """What a batch carries, as far as it decides when it goes."""

    COMMON = 0
    CRITICAL = 1
    CATALOGUE = 2


class Place(Enum):
    """Where a number is: waiting in one of four queues, under way, or not here."""

    GONE = "gone"
    FIRST = "first"
    """Catalogues, and what the platform asks for: before everything, oldest first."""
    URGENT = "urgent"
    """Critical batches, newest first."""
    LIVE = "live"
    """What was sealed while the link was up, and the newest of all: newest first."""
    BACKLOG = "backlog"
    """The rest, oldest first."""
    FLYING = "flying"


class Event(Enum):
    """What happens to a number."""

    SEALED = "sealed"
    ALARMED = "alarmed"
    """It is critical, and new or to be sent again."""
    WANTED = "wanted"
    """It is a catalogue, or the platform asks for it."""
    NEWEST = "newest"
    """A link is up, and it is the newest of all."""
    SENT = "sent"
    SILENT = "silent"
    """No acknowledgement came in time."""
    CUT = "cut"
    """The link is another one: whatever was under way is in doubt."""
    DONE = "done"
    """Acknowledged, or set aside as refused."""


_WAITING = (Place.FIRST, Place.URGENT, Place.LIVE, Place.BACKLOG)
TABLE: dict[tuple[Place, Event], Place] = {
    (Place.GONE, Event.SEALED): Place.LIVE,
    (Place.GONE, Event.ALARMED): Place.URGENT,
    (Place.GONE, Event.WANTED): Place.FIRST,
    (Place.LIVE, Event.CUT): Place.BACKLOG,
    (Place.BACKLOG, Event.ALARMED): Place.URGENT,
    (Place.BACKLOG, Event.NEWEST): Place.LIVE,
    (Place.FLYING, Event.SILENT): Place.BACKLOG,
    (Place.FLYING, Event.ALARMED): Place.URGENT,
    (Place.FLYING, Event.CUT): Place.BACKLOG,
    **{(place, Event.WANTED): Place.FIRST for place in (Place.URGENT, Place.LIVE, Place.BACKLOG, Place.FLYING)},
    **{(place, Event.SENT): Place.FLYING for place in _WAITING},
    **{(place, Event.DONE): Place.GONE for place in (*_WAITING, Place.FLYING)},
}
"""Where a number goes by what happens to it; what is not in the table changes nothing."""

_ORDERS = (
    (Place.BACKLOG, Place.LIVE, Place.URGENT),
    (Place.LIVE, Place.URGENT, Place.BACKLOG),
    (Place.URGENT, Place.LIVE, Place.BACKLOG),
    (Place.URGENT, Place.LIVE, Place.BACKLOG),
)
"""Which queue is asked first at each turn, when none of `Place.FIRST` waits."""
_AGAIN = {Rank.COMMON: Event.SILENT, Rank.CRITICAL: Event.ALARMED, Rank.CATALOGUE: Event.WANTED}
_NEW = {Rank.COMMON: Event.SEALED, Rank.CRITICAL: Event.ALARMED, Rank.CATALOGUE: Event.WANTED}


@dataclass(slots=True)
class _Flight:
    sent_at: int
    due: int
    tries: int


class Session:
    """Keeps where each held number is. Times are boot ms, given by the caller.

    Without an acknowledgement a batch is sent again after 15 s, then at doubled intervals, and all of them after a
    reconnection. What has been in flight for longer than the first 15 s does not fill the window: a platform that
    answers nothing must not keep new batches from the broker.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._at: dict[Place, Runs] = {place: Runs() for place in (*_WAITING, Place.FLYING)}
        self._ranks: dict[int, Rank] = {}  # of those that are not common
        self._strangers: set[int] = set()  # wanted, and not held: sent once
        self._doubtful = Runs()
        self._flights: dict[int, _Flight] = {}
        self._young: dict[int, int] = {}  # number -> when it was sent, in that order
        self._dues: list[tuple[int, int]] = []
        self._tries: dict[int, int] = {}
        self._first_sent: dict[int, int] = {}
        self._turn = 0
        self._newest = 0
        self._connected = False

    @property
    def held(self) -> int:
        """Numbers not acknowledged."""
        return sum(map(len, self._at.values())) - len(self._strangers)

    @property
    def in_flight(self) -> int:
        """Numbers sent and not acknowledged."""
        return len(self._flights)

    @property
    def flying(self) -> frozenset[int]:
        """Which they are."""
        return frozenset(self._flights)

    def place(self, number: int) -> Place:
        """Where a number is."""
        return next((place for place, numbers in self._at.items() if number in numbers), Place.GONE)

    def rank(self, number: int) -> Rank:
        """What it carries, as far as it is held."""
        return self._ranks.get(number, Rank.COMMON)

    def unanswered_since(self) -> int | None:
        """When the batch was sent first, over this link, that waits longest for its acknowledgement."""
        return min(self._first_sent.values(), default=None)

    def connected(self) -> None:
        """A link is up: everything held is in doubt."""
        self._connected = True
        self._turn = 0  # the first turn is that of what is live
        for number in self._tries:
            self._doubtful.add(number)
        self.release(tuple(self._strangers))  # asked for again by who still lacks them
        self._land()
        self._tries.clear()
        for place in (Place.LIVE, Place.FLYING):
            self._at[TABLE[place, Event.CUT]].take_all(self._at[place])
        for number, rank in self._ranks.items():
            self._happens(number, _AGAIN[rank])
        newest = self._at[Place.BACKLOG].highest
        if newest is not None:
            self._happens(newest, Event.NEWEST)

    def disconnected(self) -> None:
        """The link is down: nothing is sent until the next `connected`."""
        self._connected = False
        self.release(tuple(self._strangers))
        for number in self._flights:
            self._happens(number, Event.CUT)
            self._again_if_ranked(number)
        self._land()

    def hold(self, numbers: Iterable[tuple[int, Rank]], *, doubtful: bool = False) -> None:
        """Batches that are sealed; `doubtful` ones may have been sent in another life."""
        for number, rank in numbers:
            if number <= self._newest and self.place(number) is not Place.GONE:
                self._strangers.discard(number)
                continue
            self._newest = max(self._newest, number)
            if rank is not Rank.COMMON:
                self._ranks[number] = rank
            if doubtful:
                self._doubtful.add(number)
            self._at[TABLE[Place.GONE, _NEW[rank]]].add(number)

    def release(self, numbers: Iterable[int]) -> None:
        """Batches that are delivered or set aside: never sent again."""
        for number in numbers:
            self._happens(number, Event.DONE)
            self._forget(number)

    def again(self, number: int) -> None:
        """The platform asks for a batch that it lacks, delivered before or not: sent once, ahead of everything."""
        if self.place(number) is Place.GONE:
            self._strangers.add(number)
        self._drop_flight(number)
        self._happens(number, Event.WANTED)

    def next(self, now: int, *, critical_only: bool = False) -> int | None:
        """The number to send now, which is in flight from then on; None when nothing is due or the window is full."""
        if not self._connected:
            return None
        self._expire(now)
        if len(self._young) >= self._window:
            return None
        number = self._pick(critical_only=critical_only)
        if number is not None:
            self._happens(number, Event.SENT)
            self._fly(number, now)
        return number

    def next_due(self) -> int | None:
        """When the first batch in flight is to be sent again."""
        self._tidy()
        return self._dues[0][0] if self._dues else None

    def sent_at(self, number: int) -> int | None:
        """When the batch in flight was sent; None if it may have been sent before: an answer may then be an old one."""
        flight = self._flights.get(number)
        once = flight is not None and flight.tries == 1 and number not in self._doubtful
        return flight.sent_at if flight is not None and once else None

    def _happens(self, number: int, event: Event) -> None:
        place = self.place(number)
        to = TABLE.get((place, event))
        if to is None:
            return
        if place is not Place.GONE:
            self._at[place].discard(number)
        if to is not Place.GONE:
            self._at[to].add(number)

    def _again_if_ranked(self, number: int) -> None:
        rank = self.rank(number)
        if rank is not Rank.COMMON:
            self._happens(number, _AGAIN[rank])

    def _fly(self, number: int, now: int) -> None:
        tries = self._tries.get(number, 0) + 1
        self._tries[number] = tries
        self._first_sent.setdefault(number, now)
        due = now + min(RESEND_FIRST_MS << min(tries - 1, 10), RESEND_MAX_MS)
        self._flights[number] = _Flight(now, due, tries)
        self._young.pop(number, None)
        self._young[number] = now
        heapq.heappush(self._dues, (due, number))

    def _land(self) -> None:
        self._flights.clear()
        self._young.clear()
        self._dues.clear()
        self._first_sent.clear()

    def _drop_flight(self, number: int) -> None:
        self._flights.pop(number, None)
        self._young.pop(number, None)

    def _forget(self, number: int) -> None:
        self._drop_flight(number)
        self._ranks.pop(number, None)
        self._tries.pop(number, None)
        self._first_sent.pop(number, None)
        self._doubtful.discard(number)
        self._strangers.discard(number)

    def _tidy(self) -> None:
        """Drop the dues of flights that ended otherwise."""
        while self._dues:
            due, number = self._dues[0]
            flight = self._flights.get(number)
            if flight is not None and flight.due == due:
                return
            heapq.heappop(self._dues)

    def _expire(self, now: int) -> None:
        while self._young:
            number, sent_at = next(iter(self._young.items()))
            if now - sent_at < RESEND_FIRST_MS:
                break
            del self._young[number]
        while (due := self.next_due()) is not None and due <= now:
            _, number = heapq.heappop(self._dues)
            self._drop_flight(number)
            if number in self._strangers:
                self.release([number])
            else:
                self._happens(number, _AGAIN[self.rank(number)])

    def _pick(self, *, critical_only: bool) -> int | None:
        number = self._at[Place.FIRST].lowest
        if number is not None:
            return number
        if critical_only:
            return self._at[Place.URGENT].highest
        self._turn = (self._turn + 1) % TURNS
        for place in _ORDERS[self._turn]:
            numbers = self._at[place]
            number = numbers.lowest if place is Place.BACKLOG else numbers.highest
            if number is not None:
                return number
        return None
