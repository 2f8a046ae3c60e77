"""What the platform asks to be sent once more from the history: when nothing else waits. No sockets, no clock."""

from collections import deque
from collections.abc import Iterable, Sequence

from buffer.ack import Ack
from buffer.resend import Resend

FLYING = 4
"""Batches of the history under way: enough for a slow link, and little beside the session's window."""
PAGE = 64
"""Numbers looked up at once."""
PATIENCE_MS = 15_000
"""Without an acknowledgement a batch is sent again after this, as live ones are."""
TRIES = 5
"""A platform that does not say that it has a batch by then asks again."""
MAX_SPANS = 1024
"""Ranges that wait: four full requests."""


class Refill:
    """Which numbers to send, in their order. Times are boot ms, given by the caller."""

    def __init__(self) -> None:
        self._spans: deque[tuple[int, int]] = deque()
        self._queue: deque[int] = deque()
        self._flying: dict[int, int] = {}  # number -> when it was sent
        self._tries: dict[int, int] = {}
        self._newest_ms = 0
        self._stream = b""

    def ask(self, request: Resend) -> bool:
        """Take a verified request; False for one that is not newer than the newest taken (a repetition)."""
        if request.issued_ms <= self._newest_ms:
            return False
        self._newest_ms, self._stream = request.issued_ms, request.stream
        for span in request.ranges:
            if span not in self._spans and len(self._spans) < MAX_SPANS:
                self._spans.append(span)
        return True

    @property
    def span(self) -> tuple[int, int] | None:
        """A range of which the kept numbers must be looked up now."""
        return self._spans[0] if self._spans and not self._queue else None

    def found(self, span: tuple[int, int], numbers: Sequence[int]) -> None:
        """The first `PAGE` kept numbers of a range; fewer mean that there are no more."""
        self._spans.popleft()
        if len(numbers) >= PAGE and numbers[-1] < span[1]:
            self._spans.appendleft((numbers[-1] + 1, span[1]))
        self._queue.extend(number for number in numbers if number not in self._tries)

    def next(self, now: int) -> int | None:
        """The number to send now; None when nothing waits or enough is under way."""
        self._expire(now)
        if not self._queue or len(self._flying) >= FLYING:
            return None
        number = self._queue.popleft()
        self._tries[number] = self._tries.get(number, 0) + 1
        self._flying[number] = now
        return number

    def answered(self, ack: Ack) -> None:
        """The platform has what an acknowledgement names, or does not want it."""
        if ack.stream != self._stream:
            return
        refused = {number for number, _ in ack.refused}
        self._done(
            number
            for number in (*self._flying, *self._tries)
            if number <= ack.cumulative
            or number in refused
            or any(first <= number <= last for first, last, _ in ack.ranges)
        )

    def cut(self) -> None:
        """The link is down: what was under way goes again over the next one."""
        self._queue.extendleft(sorted(self._flying, reverse=True))
        self._flying.clear()

    def _expire(self, now: int) -> None:
        for number in [n for n, sent_at in self._flying.items() if now - sent_at >= PATIENCE_MS]:
            del self._flying[number]
            if self._tries[number] < TRIES:
                self._queue.append(number)
            else:
                del self._tries[number]

    def _done(self, numbers: Iterable[int]) -> None:
        for number in set(numbers):
            self._flying.pop(number, None)
            self._tries.pop(number, None)
            if number in self._queue:
                self._queue.remove(number)
