"""Which broker is next and by which protocol, and when to go back to the better one. No sockets, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass

from config import Broker

RETURN_MS = 900_000
"""A link to a broker that is not the first, or by the older protocol on a suspicion, is given up after a quarter of an
hour for a try of the better ..."""
RETURN_MAX_MS = 86_400_000
"""... after twice as long each time that the try fails, and never more seldom than daily."""


@dataclass(slots=True)
class _Older:
    """A broker is spoken to by MQTT 3.1.1: it refused the newer by name, or (`suspected`) did not answer it."""

    suspected: bool


class Choice:
    """The configured brokers in their order. Times are boot ms, given by the caller."""

    def __init__(self, brokers: Sequence[Broker], version: str) -> None:
        self._brokers = brokers
        self._version = version
        self._turn = 0
        self._older: dict[str, _Older] = {}
        self._up_at: int | None = None
        self._wait_ms = RETURN_MS

    @property
    def broker(self) -> Broker:
        """The one whose turn it is."""
        return self._brokers[self._turn]

    @property
    def five(self) -> bool:
        """Whether it is spoken to by MQTT 5."""
        return self._version == "5" or (self._version == "auto" and self.broker.url not in self._older)

    def up(self, now: int) -> None:
        """There is a link to it."""
        self._up_at = now
        if self._turn == 0 and not self._suspected:
            self._wait_ms = RETURN_MS

    def failed(self, *, refused: bool, reached: bool) -> None:
        """No link: next the older protocol, if it was reached and did not take the newer; else the next broker."""
        url = self.broker.url
        if self._version == "auto" and (refused or reached) and url not in self._older:
            self._older[url] = _Older(suspected=not refused)
            return
        self._older.pop(url, None)
        self._turn = (self._turn + 1) % len(self._brokers)

    def due(self, now: int) -> Broker | None:
        """The broker to try in place of the link that is up, once that has lasted long enough; mostly None."""
        if self._up_at is None or now - self._up_at < self._wait_ms:
            return None
        if self._turn:
            return self._brokers[0]
        return self.broker if self._suspected else None

    def stay(self, now: int) -> None:
        """The better one is not there: ask again after twice the time."""
        self._up_at = now
        self._wait_ms = min(2 * self._wait_ms, RETURN_MAX_MS)

    def go_back(self, now: int) -> None:
        """Begin with the first broker and the newest protocol again."""
        self.stay(now)
        self._older = {url: older for url, older in self._older.items() if not older.suspected}
        self._turn = 0

    @property
    def _suspected(self) -> bool:
        older = self._older.get(self.broker.url)
        return older is not None and older.suspected
