"""One request and its answer, sans-IO: an echo of the level converter is taken out, other frames are passed over."""

from collections.abc import Callable, Iterable

from drivers.mbus.frames import Ack, Damage, Found, Frame, Framer

Wanted = Callable[[Ack | Frame], bool]


class Exchange:
    """Takes what arrives after `request` went out, until a frame is the wanted one."""

    def __init__(self, request: bytes, wanted: Wanted) -> None:
        self._echo = request
        self._seen = 0
        self._wanted = wanted
        self._framer = Framer()
        self.begun = False
        """Whether anything but the echo has come."""
        self.damage: Damage | None = None
        """The first damage; None when all that came was whole."""

    def feed(self, data: bytes) -> Ack | Frame | None:
        """The answer, once it is there."""
        data = self._without_echo(data)
        if not data:
            return None
        self.begun = True
        return self._first(self._framer.feed(data))

    def end(self) -> Ack | Frame | None:
        """The answer if it stood behind damage, now that no more comes."""
        held, self._seen = self._echo[: self._seen], 0
        return self._first((*self._framer.feed(held), *self._framer.end()))

    def _without_echo(self, data: bytes) -> bytes:
        """What is left of `data`; bytes that may yet turn out to be the echo are held back."""
        if not self._echo or self.begun:
            return data
        expected = self._echo[self._seen : self._seen + len(data)]
        if data[: len(expected)] != expected:
            held, self._seen = self._echo[: self._seen], 0
            self._echo = b""
            return held + data
        self._seen += len(expected)
        if self._seen == len(self._echo):
            self._echo, self._seen = b"", 0
        return data[len(expected) :]

    def _first(self, found: Iterable[Found]) -> Ack | Frame | None:
        for one in found:
            if isinstance(one, Damage):
                self.damage = self.damage or one
            elif self._wanted(one):
                return one
        return None
