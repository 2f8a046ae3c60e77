"""Who is let in: one-time codes, sessions, and how often somebody may try. Sans-IO; seconds of any steady clock."""

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.web.secret import digest

IDLE_S = 1800.0
"""A phone that is lost in the street is of no use after half an hour."""
LIFE_S = 12 * 3600.0
"""A working day."""
SESSIONS_MAX = 16
TRIES = 5
"""Wrong ones in a row that one address may have at once, and then one each ..."""
TRY_S = 30.0
ALL_TRIES, ALL_TRY_S = 20, 5.0
"""The same for all addresses together: a network may have many."""
ADDRESSES_MAX = 256


@dataclass(slots=True)
class Session:
    """One login; `token` is what a request that changes something must say besides the cookie."""

    token: str
    began: float
    used: float
    ends: float


@dataclass(slots=True)
class Bucket:
    """So many tries at once, then one each `every` seconds."""

    size: int
    every: float
    level: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        """Full."""
        self.level = float(self.size)

    def wait(self, now: float) -> float:
        """Seconds until the next try; 0: now."""
        self.level = min(self.size, self.level + (now - self.at) / self.every)
        self.at = now
        return 0.0 if self.level >= 1 else (1 - self.level) * self.every


class Door:
    """Sessions are known by the hash of their cookie; a sixteenth login ends the one that was idle longest."""

    def __init__(self, now: Callable[[], float], ends: float | None = None, idle: float = IDLE_S) -> None:
        self._now = now
        self._ends = ends
        self._idle = idle
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._codes: list[bytes] = []
        self._all = Bucket(ALL_TRIES, ALL_TRY_S, at=now())
        self._tries: OrderedDict[str, Bucket] = OrderedDict()

    def code(self) -> str:
        """A one-time login, 128 random bits; the one before it is of no use any more."""
        code = secrets.token_urlsafe(16)
        self._codes = [digest(code)]
        return code

    def wait(self, address: str) -> float:
        """Seconds that `address` must wait before it may try; 0: it may, and the try counts unless `well` follows."""
        now, bucket = self._now(), self._bucket(address)
        seconds = max(bucket.wait(now), self._all.wait(now))
        if seconds == 0:
            bucket.level -= 1
            self._all.level -= 1
        return seconds

    def well(self, address: str) -> None:
        """The try was good."""
        self._tries.pop(address, None)
        self._all.level = min(ALL_TRIES, self._all.level + 1)

    def redeem(self, code: str) -> bool:
        """Whether it is the one-time login; it is used up by that."""
        wanted = digest(code)
        if any(hmac.compare_digest(wanted, one) for one in self._codes):
            self._codes = []
            return True
        return False

    def enter(self) -> tuple[str, Session]:
        """A new session: its cookie, and itself."""
        cookie, now = secrets.token_urlsafe(32), self._now()
        ends = now + LIFE_S if self._ends is None else min(now + LIFE_S, self._ends)
        session = Session(secrets.token_urlsafe(24), now, now, ends)
        while len(self._sessions) >= SESSIONS_MAX:
            self._sessions.popitem(last=False)
        self._sessions[digest(cookie)] = session
        return cookie, session

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie that has not ended; it counts as used now."""
        key, now = digest(cookie), self._now()
        session = self._sessions.get(key)
        if session is None:
            return None
        if now >= session.ends or now - session.used >= self._idle:
            del self._sessions[key]
            return None
        session.used = now
        self._sessions.move_to_end(key)
        return session

    def leave(self, cookie: str) -> None:
        """End a session."""
        self._sessions.pop(digest(cookie), None)

    def _bucket(self, address: str) -> Bucket:
        bucket = self._tries.get(address)
        if bucket is None:
            while len(self._tries) >= ADDRESSES_MAX:
                self._tries.popitem(last=False)
            bucket = self._tries[address] = Bucket(TRIES, TRY_S, at=self._now())
        return bucket
