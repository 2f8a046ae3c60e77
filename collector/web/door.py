"""Sessions, and how often somebody may try to get one. Sans-IO: seconds of any steady clock."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from collector.web.users import User

IDLE_S = 3600.0
LIFE_S = 12 * 3600.0
"""A shift."""
SESSIONS_MAX = 256
"""The one that was idle longest goes first."""
TRIES, TRY_S = 5, 30.0
"""Wrong passwords at once for one name from one address, and then one each so many seconds."""
ALL_TRIES, ALL_TRY_S = 60, 1.0
"""The same for everybody together: each costs scrypt's 32 MB."""
PAIRS_MAX = 1024


@dataclass(slots=True)
class Session:
    """One login of `name`, who was `user` then; `token` must be said by whatever changes something.

    `vouched`: by the proxy, which must go on vouching for the same name.
    """

    name: str
    user: User
    token: str
    vouched: bool
    began: float
    used: float


class Tries:
    """So many at once, then one each `every` seconds."""

    def __init__(self, size: int, every: float, now: float) -> None:
        self._size, self._every = size, every
        self._left, self._at = float(size), now

    def wait(self, now: float) -> float:
        """Seconds until the next one; 0: now."""
        self._left = min(self._size, self._left + (now - self._at) / self._every)
        self._at = now
        return max(0.0, (1 - self._left) * self._every)

    def add(self, number: int) -> None:
        """Take one (-1), or give one back."""
        self._left = min(self._size, self._left + number)


class Door:
    """Sessions are kept by the hash of their cookie."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._all = Tries(ALL_TRIES, ALL_TRY_S, now())
        self._pairs: OrderedDict[tuple[str, str], Tries] = OrderedDict()

    def knock(self, address: str, name: str) -> float:
        """Seconds to wait before trying; 0: try now, and it counts as wrong unless `right` follows."""
        now = self._now()
        pair = self._pairs.get((address, name))
        if pair is None:
            while len(self._pairs) >= PAIRS_MAX:
                self._pairs.popitem(last=False)
            pair = self._pairs[address, name] = Tries(TRIES, TRY_S, now)
        wait = max(pair.wait(now), self._all.wait(now))
        if not wait:
            pair.add(-1)
            self._all.add(-1)
        return wait

    def right(self, address: str, name: str) -> None:
        """The try was good."""
        self._pairs.pop((address, name), None)
        self._all.add(1)

    def enter(self, name: str, user: User, *, vouched: bool = False) -> tuple[str, Session]:
        """A new session: its cookie, and itself."""
        cookie, now = secrets.token_urlsafe(32), self._now()
        while len(self._sessions) >= SESSIONS_MAX:
            self._sessions.popitem(last=False)
        session = Session(name, user, secrets.token_urlsafe(24), vouched, now, now)
        self._sessions[_key(cookie)] = session
        return cookie, session

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie that has not ended; it counts as used now."""
        key, now = _key(cookie), self._now()
        session = self._sessions.get(key)
        if session is None:
            return None
        if now - session.began >= LIFE_S or now - session.used >= IDLE_S:
            del self._sessions[key]
            return None
        session.used = now
        self._sessions.move_to_end(key)
        return session

    def leave(self, cookie: str) -> None:
        """End a session."""
        self._sessions.pop(_key(cookie), None)


def _key(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()
