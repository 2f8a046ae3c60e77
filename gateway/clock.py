"""What the box knows of the time: milliseconds since boot, and the distance of the wall clock from them."""

import ctypes
import logging
import os
import secrets
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from buffer.header import Clock, ClockState
from gateway.gnss import EARLIEST_MS, Tellings

log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIMESYNC = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches this file once the clock is set (systemd-timesyncd.service(8))."""
STEP_MS = 100
"""A change of the estimate below this is jitter of the link, not a step of the clock."""
ROUND_TRIP_MAX_MS = 10_000
"""A platform's time that took longer than this says too little about now."""
SURE_MS = 350
"""Half of a round trip: twice it (a kept estimate that agrees may err the other way), jitter and an hour's drift are
within a second of the truth. A slower answer is a rough one: held over, so that what it dates is uncertain."""
HOLDOVER_AFTER_MS = 3_600_000
"""A quartz drifts by up to 50 ppm, 180 ms in an hour: after that an estimate is held over, not synchronized."""
FLOOR_TOLERANCE_MS = 60_000
"""A platform's clock may run ahead of a time server's by so much before the box's own is called wrong."""
TIMESYNC_FRESH_S = 3 * 3600
"""timesyncd asks every 2048 s at the longest (timesyncd.conf(5)): five misses in a row are a server that is gone."""
DRIFT_PPM = 500
"""The kernel slews a clock by no more (adjtimex(2)), and a quartz drifts by a tenth: what differs more contradicts."""
CONTRADICTION_MS = 5_000
"""What a time server, the platform and a receiver may differ by without one of them being wrong: a leap second, lag."""
_LIBC = ctypes.CDLL(None)
ADJTIMEX_ERROR = 5  # TIME_ERROR of adjtimex(2): the clock is not synchronized


class Source(Protocol):
    """Where a `Clock` takes its readings from."""

    def boot_ms(self) -> int:
        """Milliseconds of CLOCK_BOOTTIME."""

    def utc_ms(self) -> int:
        """The system's wall clock, ms since the epoch, right or wrong."""

    def synchronized(self) -> bool:
        """Whether the system's wall clock follows a time server."""


class System:
    """The real clocks of this machine."""

    def boot_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def utc_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def synchronized(self) -> bool:
        try:
            fresh = time.time() - TIMESYNC.stat().st_mtime < TIMESYNC_FRESH_S
        except OSError:
            fresh = False
        return fresh or _kernel_synchronized()


def _kernel_synchronized() -> bool:
    """What the kernel says by adjtimex(2), read only; False where that is forbidden (ProtectClock=yes)."""
    buffer = ctypes.create_string_buffer(256)  # struct timex is 208 bytes on 64-bit Linux, 128 on 32-bit
    state = _LIBC.adjtimex(buffer)
    return isinstance(state, int) and 0 <= state < ADJTIMEX_ERROR


def boot_id() -> bytes:
    """The 128 bits that name this boot: the kernel's, else $LAMPPOST_BOOT_ID, else random ones for this process."""
    try:
        text = BOOT_ID.read_text()
    except OSError:  # ProcSubset=pid hides it
        text = os.environ.get("LAMPPOST_BOOT_ID", "")
    try:
        boot = bytes.fromhex(text.strip().replace("-", ""))
    except ValueError:
        boot = b""
    return boot if len(boot) == 16 else secrets.token_bytes(16)


class Origin(StrEnum):
    """Where the agent's idea of the time comes from, most trusted first."""

    SYSTEM = "system"
    PLATFORM = "platform"
    GNSS = "gnss"
    HELD = "held"
    """An earlier life of the agent in this boot knew it; nobody remembers from whom."""
    NONE = "none"


FRESH = frozenset((Origin.PLATFORM, Origin.GNSS))
"""What says the time again and again, so that its age tells whether it still does."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate of (wall clock - boot time), made at `made_at` (boot ms), right within `error_ms`."""

    clock_ms: int
    made_at: int
    origin: Origin
    error_ms: int = 0

    def sure(self, now: int) -> bool:
        """Whether it was, and still is, near enough to the truth to date by."""
        return self.error_ms <= SURE_MS and now - self.made_at <= HOLDOVER_AFTER_MS


class AgentClock:
    """Boot time and the best estimate of the wall clock, never below the newest signed time verified so far.

    A GNSS receiver dates samples (`estimate`, `utc_ms`) where neither a time server nor the platform does. Whether
    something has expired is a question to `trusted` and `trusted_ms`, which no receiver has a part in.
    """

    def __init__(
        self, boot: bytes, source: Source | None = None, *, held: Clock | None = None, floor_ms: int = 0
    ) -> None:
        self.boot = boot
        self.floor_ms = floor_ms
        self._source = source or System()
        usable = held is not None and held.boot == boot and held.state is not ClockState.UNSET
        self._held = Estimate(held.clock_ms, 0, Origin.HELD) if held is not None and usable else None
        self._system: Estimate | None = None
        self._platform: Estimate | None = None
        self._gnss: Estimate | None = None
        self._tellings = Tellings()
        self._doubted = False

    def now(self) -> int:
        """Milliseconds since boot."""
        return self._source.boot_ms()

    def estimate(self) -> Clock:
        """The clock as it is known now, to date samples by; its state is `unset` rather than a guess."""
        return self._known(self._platform, self._gnss, self._system, self._held)[0]

    @property
    def origin(self) -> Origin:
        """Where `estimate` comes from."""
        return self._known(self._platform, self._gnss, self._system, self._held)[1]

    def trusted(self) -> Clock:
        """The clock by a time server's or the platform's word to this life of the agent alone; else `unset`."""
        return self._known(self._platform, self._system)[0]

    def utc_ms(self) -> int:
        """The wall clock by the best estimate, ms since the epoch; the system's own when nothing better is known."""
        return self._utc_ms(self.estimate())

    def trusted_ms(self) -> int:
        """The wall clock by `trusted`, ms since the epoch; the system's own when that is unset."""
        return self._utc_ms(self.trusted())

    def known_ms(self) -> int | None:
        """The wall clock by `trusted`, ms since the epoch; None when that is unset."""
        clock = self.trusted()
        return None if clock.state is ClockState.UNSET else self.now() + clock.clock_ms

    def signed_time(self, utc_ms: int, sent_at: int) -> None:
        """Learn from a verified time that answers what was sent at `sent_at` (boot ms); an old one teaches nothing."""
        if utc_ms < self.floor_ms:
            return
        self.floor_ms = max(self.floor_ms, utc_ms)
        now = self.now()
        error = (now - sent_at) // 2
        if not 0 <= error <= ROUND_TRIP_MAX_MS // 2:
            return
        if error > SURE_MS and any(one is not None and one.sure(now) for one in (self._platform, self._system)):
            return
        kept = self._platform or self._system or self._held
        offset = _settled(utc_ms - (now - error), error, kept, "the platform's signed time")
        self._platform, self._gnss = Estimate(offset, now, Origin.PLATFORM, error), None

    def receiver_time(self, utc_ms: int, accuracy_ms: int) -> None:
        """Learn from a GNSS receiver that says it is `utc_ms`, and may be late by `accuracy_ms`.

        Believed once several in a row agree, and none contradicts what was trusted in this life; it is no floor.
        """
        now = self.now()
        floor = max(EARLIEST_MS, self.floor_ms - FLOOR_TOLERANCE_MS)
        offset = self._tellings.take(utc_ms - now, accuracy_ms, now, floor)
        if offset is None or self._contradicted(offset, now):
            return
        self._doubted = False
        trusted = _newest(self._platform, self._system)
        offset = _settled(offset, accuracy_ms, self._gnss or trusted or self._held, "a GNSS receiver")
        self._gnss = Estimate(offset, now, Origin.GNSS)

    def _known(self, *estimates: Estimate | None) -> tuple[Clock, Origin]:
        """The clock by the system's, where it is right, else by the first of `estimates` that is fresh, or the newest.

        The system's and the held one are no longer fresh when they are asked for here.
        """
        now = self.now()
        if self._system_is_right(now) and self._system is not None:
            return Clock(self.boot, self._system.clock_ms, ClockState.SYNCHRONIZED), Origin.SYSTEM
        for one in estimates:
            if one is not None and one.origin in FRESH and one.sure(now):
                return Clock(self.boot, one.clock_ms, ClockState.SYNCHRONIZED), one.origin
        newest = _newest(*estimates)
        if newest is None:
            return Clock(self.boot, 0, ClockState.UNSET), Origin.NONE
        return Clock(self.boot, newest.clock_ms, ClockState.HOLDOVER), newest.origin

    def _system_is_right(self, now: int) -> bool:
        """Whether the system's clock is synchronized and not below the floor; then it is remembered."""
        if not self._source.synchronized():
            return False
        utc_ms = self._source.utc_ms()
        if utc_ms < self.floor_ms - FLOOR_TOLERANCE_MS:
            return False
        self._system, self._gnss = Estimate(utc_ms - now, now, Origin.SYSTEM), None
        return True

    def _contradicted(self, offset: int, now: int) -> bool:
        """Whether what was trusted in this life says that `offset` cannot be; told once."""
        trusted = _newest(self._platform, self._system)
        if trusted is None:
            return False
        drift = (now - trusted.made_at) * DRIFT_PPM // 1_000_000
        off = offset - trusted.clock_ms
        if abs(off) <= CONTRADICTION_MS + drift:
            return False
        if not self._doubted:
            log.warning("clock: a GNSS receiver is %.0f s off what %s said: not believed", off / 1000, trusted.origin)
        self._doubted = True
        return True

    def _utc_ms(self, clock: Clock) -> int:
        if clock.state is ClockState.UNSET:
            return max(self._source.utc_ms(), self.floor_ms)
        return self.now() + clock.clock_ms


def _newest(*estimates: Estimate | None) -> Estimate | None:
    return max((one for one in estimates if one is not None), key=lambda one: one.made_at, default=None)


def _settled(offset: int, error_ms: int, kept: Estimate | None, whose: str) -> int:
    """`offset`, or the kept one that it agrees with: jitter must not look like steps of the clock."""
    if kept is not None and abs(offset - kept.clock_ms) <= error_ms + STEP_MS:
        return kept.clock_ms
    log.info("clock: %s by %s, within %d ms", "set" if kept is None else "stepped", whose, error_ms)
    return offset
