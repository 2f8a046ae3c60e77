"""Which batch to send next: live first, the backlog behind, whatever is in doubt again. No sockets, no clock."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

WINDOW = 16
"""Batches in flight: 16 of at most 64 kB fill a link of 8 Mbit/s with a round trip of a second."""
BACKLOG_SHARE = 4
"""While live data waits, one send in four goes to the backlog."""
RESEND_FIRST_MS = 15_000
RESEND_MAX_MS = 600_000


@dataclass(slots=True)
class _Flight:
    sent_at: int
    due: int
    tries: int


class Session:
    """Keeps which numbers are held, in flight and waiting. Times are boot ms, given by the caller.

    `catalogue` batches go before everything; then the newest first, with a share for the oldest. Without an
    acknowledgement a batch is sent again after 15 s, then at doubled intervals, and all of them after a reconnection.
    What has been in flight for longer than the first 15 s does not fill the window: a platform that answers nothing
    must not keep new batches from the broker.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._held: dict[int, bool] = {}  # number -> is a catalogue
        self._first: list[int] = []
        self._live: list[int] = []
        self._backlog: list[int] = []
        self._waiting: set[int] = set()
        self._flights: dict[int, _Flight] = {}
        self._tries: dict[int, int] = {}
        self._first_sent: dict[int, int] = {}
        self._doubtful: set[int] = set()
        self._turn = 0
        self._connected = False

    @property
    def held(self) -> int:
        """Numbers not acknowledged."""
        return len(self._held)

    @property
    def in_flight(self) -> int:
        """Numbers sent and not acknowledged."""
        return len(self._flights)

    @property
    def flying(self) -> frozenset[int]:
        """Which they are."""
        return frozenset(self._flights)

    def unanswered_since(self) -> int | None:
        """When the batch was sent first, over this link, that waits longest for its acknowledgement."""
        return min(self._first_sent.values(), default=None)

    def connected(self) -> None:
        """A link is up: everything held is in doubt."""
        self._connected = True
        self._doubtful |= self._tries.keys() & self._held.keys()
        self._flights.clear()
        self._tries.clear()
        self._first_sent.clear()
        self._first, self._live, self._backlog = [], [], []
        self._waiting.clear()
        for number, catalogue in self._held.items():
            self._queue(number, catalogue, self._backlog)
        newest = max((n for n, catalogue in self._held.items() if not catalogue), default=None)
        if newest is not None:
            heapq.heappush(self._live, -newest)

    def disconnected(self) -> None:
        """The link is down: nothing is sent until the next `connected`."""
        self._connected = False
        self._flights.clear()
        self._first_sent.clear()

    def hold(self, numbers: Iterable[tuple[int, bool]], *, doubtful: bool = False) -> None:
        """Batches (number, is a catalogue) that are sealed; `doubtful` ones may have been sent in another life."""
        for number, catalogue in numbers:
            if number not in self._held:
                self._held[number] = catalogue
                if doubtful:
                    self._doubtful.add(number)
                self._queue(number, catalogue, self._live, sign=-1)

    def release(self, numbers: Iterable[int]) -> None:
        """Batches that are delivered or set aside: never sent again."""
        for number in numbers:
            self._held.pop(number, None)
            self._waiting.discard(number)
            self._flights.pop(number, None)
            self._tries.pop(number, None)
            self._first_sent.pop(number, None)
            self._doubtful.discard(number)

    def again(self, number: int) -> None:
        """The platform asks for a batch that it lacks, delivered before or not: sent once, ahead of everything."""
        if number not in self._waiting:
            self._flights.pop(number, None)
            self._queue(number, True, self._first)

    def next(self, now: int) -> int | None:
        """The number to send now, which is in flight from then on; None when nothing is due or the window is full."""
        if not self._connected:
            return None
        self._expire(now)
        if sum(now - flight.sent_at < RESEND_FIRST_MS for flight in self._flights.values()) >= self._window:
            return None
        number = self._pick()
        if number is not None:
            tries = self._tries.get(number, 0) + 1
            self._tries[number] = tries
            self._first_sent.setdefault(number, now)
            wait = min(RESEND_FIRST_MS << min(tries - 1, 10), RESEND_MAX_MS)
            self._flights[number] = _Flight(now, now + wait, tries)
        return number

    def next_due(self) -> int | None:
        """When the first batch in flight is to be sent again."""
        return min((flight.due for flight in self._flights.values()), default=None)

    def sent_at(self, number: int) -> int | None:
        """When the batch in flight was sent; None if it may have been sent before: an answer may then be an old one."""
        flight = self._flights.get(number)
        once = flight is not None and flight.tries == 1 and number not in self._doubtful
        return flight.sent_at if flight is not None and once else None

    def _expire(self, now: int) -> None:
        for number in [n for n, flight in self._flights.items() if flight.due <= now]:
            del self._flights[number]
            if number in self._held:
                self._queue(number, self._held[number], self._backlog)
            else:
                self._first_sent.pop(number, None)

    def _queue(self, number: int, catalogue: bool, queue: list[int], sign: int = 1) -> None:
        self._waiting.add(number)
        if catalogue:
            heapq.heappush(self._first, number)
        else:
            heapq.heappush(queue, sign * number)

    def _pick(self) -> int | None:
        number = self._pop(self._first, 1)
        if number is not None:
            return number
        self._turn = (self._turn + 1) % BACKLOG_SHARE
        order = ((self._backlog, 1), (self._live, -1)) if self._turn == 0 else ((self._live, -1), (self._backlog, 1))
        for queue, sign in order:
            number = self._pop(queue, sign)
            if number is not None:
                return number
        return None

    def _pop(self, queue: list[int], sign: int) -> int | None:
        while queue:
            number = sign * heapq.heappop(queue)
            if number in self._waiting:
                self._waiting.discard(number)
                return number
        return None
