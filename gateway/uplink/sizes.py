"""How large a message may be for a broker that does not say so: one of MQTT 3.1.1 closes the link without a word."""

SUSPECT_AFTER = 3
"""Links that broke while a message was the largest one handed over, and none of its size arrived: it is too large."""
SPLIT_LEAST = 4096
"""Bytes that every broker takes."""
BELIEF_MS = 3_600_000
"""An hour: a link that broke for another reason must not mean small batches for ever."""


class Sizes:
    """What was handed over and not confirmed, and what that says when the link breaks. No sockets, no clock."""

    def __init__(self) -> None:
        self._handed: dict[int, int] = {}
        self._suspects: dict[int, tuple[int, int]] = {}  # number -> bytes, links that broke
        self._room: int | None = None
        self._until = 0

    def handed(self, number: int, size: int) -> None:
        """A message goes to the broker."""
        self._handed[number] = size

    def confirmed(self, number: int) -> None:
        """The broker has it: no message of its size is too large."""
        size = self._handed.pop(number, 0)
        self._suspects = {n: (held, breaks) for n, (held, breaks) in self._suspects.items() if held > size}
        if self._room is not None and size > self._room:
            self._room = None

    def too_large(self, number: int, size: int, now: int) -> int | None:
        """The bytes that the broker seems to take (`now` in boot ms), for a message that should be split to them.

        None for a message that fits, and for one that broke a link: what cannot be split is tried as it is.
        """
        if self._room is None or now >= self._until:
            self._room = None
        return self._room if self._room is not None and size > self._room and number not in self._suspects else None

    def broke(self, now: int) -> tuple[int, int, int] | None:
        """The link is gone: a message that must be too large, its bytes, and those to try instead; mostly None."""
        handed, self._handed = self._handed, {}
        if not handed:
            return None
        number = max(handed, key=lambda one: handed[one])
        size, (_, breaks) = handed[number], self._suspects.get(number, (0, 0))
        self._suspects[number] = size, breaks + 1
        if breaks + 1 < SUSPECT_AFTER or size <= SPLIT_LEAST:
            return None
        del self._suspects[number]
        half = max(size // 2, SPLIT_LEAST)
        self._room = half if self._room is None else min(half, self._room)
        self._until = now + BELIEF_MS
        return number, size, self._room
