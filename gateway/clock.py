"""What the box knows of the time: milliseconds since boot, and the distance of the wall clock from them."""

import ctypes
import logging
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from buffer.header import Clock, ClockState

log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIMESYNC = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches this file once the clock is set (systemd-timesyncd.service(8))."""
STEP_MS = 100
"""A change of the estimate below this is jitter of the link, not a step of the clock."""
ROUND_TRIP_MAX_MS = 10_000
"""A platform's time that took longer than this says too little about now."""
HOLDOVER_AFTER_MS = 3_600_000
"""A quartz drifts by up to 50 ppm, 180 ms in an hour: after that an estimate is held over, not synchronized."""
FLOOR_TOLERANCE_MS = 60_000
"""A platform's clock may run ahead of a time server's by so much before the box's own is called wrong."""
TIMESYNC_FRESH_S = 3 * 3600
"""timesyncd asks every 2048 s at the longest (timesyncd.conf(5)): five misses in a row are a server that is gone."""
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
    state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
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


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate of (wall clock - boot time) made from a time that the platform signed."""

    clock_ms: int
    made_at: int


class AgentClock:
    """Boot time and the best estimate of the wall clock, never below the newest signed time verified so far."""

    def __init__(
        self, boot: bytes, source: Source | None = None, *, held: Clock | None = None, floor_ms: int = 0
    ) -> None:
        self.boot = boot
        self.floor_ms = floor_ms
        self._source = source or System()
        self._held = held if held is not None and held.boot == boot and held.state is not ClockState.UNSET else None
        self._platform: Estimate | None = None

    def now(self) -> int:
        """Milliseconds since boot."""
        return self._source.boot_ms()

    def estimate(self) -> Clock:
        """The clock as it is known now; its state is `unset` rather than a guess."""
        now = self.now()
        if self._source.synchronized():
            offset = self._source.utc_ms() - now
            if offset + now >= self.floor_ms - FLOOR_TOLERANCE_MS:
                self._held = Clock(self.boot, offset, ClockState.SYNCHRONIZED)
                return self._held
        if self._platform is not None:
            fresh = now - self._platform.made_at <= HOLDOVER_AFTER_MS
            state = ClockState.SYNCHRONIZED if fresh else ClockState.HOLDOVER
            return Clock(self.boot, self._platform.clock_ms, state)
        if self._held is not None:
            return Clock(self.boot, self._held.clock_ms, ClockState.HOLDOVER)
        return Clock(self.boot, 0, ClockState.UNSET)

    def utc_ms(self) -> int:
        """The wall clock by the best estimate, ms since the epoch; the system's own when nothing better is known."""
        estimate = self.estimate()
        if estimate.state is ClockState.UNSET:
            return max(self._source.utc_ms(), self.floor_ms)
        return self.now() + estimate.clock_ms

    def signed_time(self, utc_ms: int, sent_at: int) -> None:
        """Learn from a verified time that answers what was sent at `sent_at` (boot ms); an old one teaches nothing."""
        if utc_ms < self.floor_ms:
            return
        self.floor_ms = max(self.floor_ms, utc_ms)
        now = self.now()
        error = (now - sent_at) // 2
        if not 0 <= error <= ROUND_TRIP_MAX_MS // 2:
            return
        offset = utc_ms - (now - error)
        kept = self._kept_offset()
        if kept is not None and abs(offset - kept) <= error + STEP_MS:
            offset = kept  # one offset a boot, not one an answer: jitter must not look like steps of the clock
        else:
            log.info(
                "clock: %s by the platform's signed time, within %d ms", "set" if kept is None else "stepped", error
            )
        self._platform = Estimate(offset, now)

    def _kept_offset(self) -> int | None:
        if self._platform is not None:
            return self._platform.clock_ms
        return None if self._held is None else self._held.clock_ms
