"""Who is let in at the enrolment server: connections and requests, bounded by number, by place and in time."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Protocol

CONNECTION_S = 30.0  # for all that a connection is for: a handshake, a request and its answer, over the worst link
MAX_CLIENTS = 64  # connections at once; each costs a thread's turn of some milliseconds
MAX_EACH = 8  # of these from one place: boxes behind it that enrol at the same moment
OPENED_PER_MINUTE = 240  # connections of one place; a handshake costs a millisecond
PER_MINUTE = 20  # requests of one place; a site behind one address enrols a box every three seconds
ALL_PER_SECOND = 50  # two signatures are verified and one is made for each: a quarter of a small core
MAX_PLACES = 10_000  # that are remembered; the oldest are forgotten
V6_BITS = 64  # of an IPv6 address name the place: the other half is the guest's to choose (RFC 4291, 2.5.4)


def place(address: str) -> str:
    """What addresses of one guest have in common: an IPv4 address as it is, the first half of one of IPv6."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> V6_BITS << V6_BITS))


@dataclass(slots=True)
class _Bucket:
    """`rate` tokens a second, at most `most` saved up."""

    rate: float
    most: float
    left: float
    at: float

    def take(self, now: float) -> bool:
        self.left = min(self.most, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(slots=True)
class Rates:
    """So many a minute from each place."""

    per_minute: float
    _each: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)

    def take(self, where: str, now: float) -> bool:
        """Whether one more is heard."""
        bucket = self._each.pop(where, None) or _Bucket(self.per_minute / 60, self.per_minute, self.per_minute, now)
        self._each[where] = bucket
        if len(self._each) > MAX_PLACES:
            self._each.popitem(last=False)
        return bucket.take(now)


class Connection(Protocol):
    """What can be ended at once."""

    def abort(self) -> None:
        """End it."""


@dataclass(slots=True)
class Limits:
    """Who may come in and ask now; times are those of a monotonic clock in seconds."""

    clock: Callable[[], float] = time.monotonic
    _opened: Rates = field(default_factory=lambda: Rates(OPENED_PER_MINUTE))
    _asked: Rates = field(default_factory=lambda: Rates(PER_MINUTE))
    _all: _Bucket = field(default_factory=lambda: _Bucket(ALL_PER_SECOND, ALL_PER_SECOND, ALL_PER_SECOND, 0.0))
    _inside: dict[Connection, str] = field(default_factory=dict)

    def enter(self, connection: Connection, address: str) -> bool:
        """Whether a connection may stay. Where the house is full the oldest goes: whoever is honest is soon done."""
        where = place(address)
        if not self._opened.take(where, self.clock()):
            return False
        if sum(one == where for one in self._inside.values()) >= MAX_EACH:
            return False
        if len(self._inside) >= MAX_CLIENTS:
            oldest = next(iter(self._inside))
            del self._inside[oldest]
            oldest.abort()
        self._inside[connection] = where
        return True

    def leave(self, connection: Connection) -> bool:
        """It is gone; whether it was inside."""
        return self._inside.pop(connection, None) is not None

    def admit(self, address: str) -> bool:
        """Whether one more request of this address is heard."""
        now = self.clock()
        return self._asked.take(place(address), now) and self._all.take(now)
