"""What goes over a bus, told to whoever listens; costs next to nothing while nobody does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_SHOWN = 512  # bytes of one line: an ASCII frame of Modbus (513 characters) is the longest that is shown whole

Heard = Callable[[bool, bytes], None]
"""Told each piece of bytes as it is sent (True) or arrives (False)."""


class Tap:
    """A place on a bus where listeners may be put. Its owner looks at `listeners` before it tells anything."""

    __slots__ = ("listeners",)

    def __init__(self) -> None:
        self.listeners: tuple[Heard, ...] = ()

    def listen(self, heard: Heard) -> Callable[[], None]:
        """Tell `heard` all from now on, until the function returned is called."""
        self.listeners = (*self.listeners, heard)

        def stop() -> None:
            self.listeners = tuple(one for one in self.listeners if one is not heard)

        return stop

    def tell(self, sent: bool, data: bytes) -> None:
        """These bytes were sent, or came."""
        for heard in self.listeners:
            heard(sent, data)


@dataclass(frozen=True, slots=True)
class Shown:
    """Bytes that belong together, and what they are; without bytes, what did not come."""

    at: float
    """When the first of them was seen, by the clock of who fed the monitor."""
    sent: bool
    data: bytes
    what: str = ""
    """In words, which name no text of a device."""
    fields: dict[str, Any] = field(default_factory=dict)
    """The same for programs, as JSON."""


class Monitor:
    """Puts the pieces together that belong together: here, what goes one way without a pause."""

    def __init__(self) -> None:
        self._held = b""
        self._sent = False
        self._at = 0.0

    @property
    def holds(self) -> bool:
        """Whether `flush` would give something."""
        return bool(self._held)

    def feed(self, at: float, sent: bool, data: bytes) -> list[Shown]:
        """Take a piece; what is complete by it."""
        shown = self.flush() if self._held and sent != self._sent else []
        if not self._held:
            self._at, self._sent = at, sent
        self._held += data
        while len(self._held) >= MAX_SHOWN:
            piece, self._held = self._held[:MAX_SHOWN], self._held[MAX_SHOWN:]
            shown.append(Shown(self._at, sent, piece))
            self._at = at
        return shown

    def flush(self) -> list[Shown]:
        """Nothing has come for a while: what is held is all."""
        held, self._held = self._held, b""
        return [Shown(self._at, self._sent, held)] if held else []
