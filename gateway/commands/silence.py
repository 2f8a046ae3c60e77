"""How long nobody who can prove it has said anything: counted over restarts, reboots and clocks that are not set."""

from buffer.orders import Quiet


class Silence:
    """Counts the ms that the gateway has lived through (`quiet`), and remembers at which of them it last heard.

    The time that the box was off counts once the wall clock is known, if it was known before; else not at all.
    """

    def __init__(self, kept: Quiet, boot: bytes, now: int) -> None:
        same = kept.boot == boot
        self._boot = boot
        self._kept = kept
        self._at = now
        self._utc_ms = kept.utc_ms if same else 0
        self.quiet = kept.quiet_ms + max(now - kept.boot_ms if same else now, 0)
        self.heard_at = kept.heard_ms
        self.since_boot = self.quiet - now
        """What it was when the box was switched on, as far as that is known."""
        self._touched: dict[str, int] = {}
        self._off_unknown = not same and kept.utc_ms > 0

    def tick(self, now: int, utc_ms: int | None) -> int:
        """It is `now` (boot ms), and by a trusted clock `utc_ms`; the ms that the box is found to have been off."""
        self.quiet += max(now - self._at, 0)
        self._at = max(now, self._at)
        self._utc_ms = utc_ms or 0
        if not self._off_unknown or utc_ms is None:
            return 0
        self._off_unknown = False
        off = max(self._kept.quiet_ms + utc_ms - self._kept.utc_ms - self.quiet, 0)
        if self.heard_at > self.since_boot:
            self.heard_at += off
        self._touched = {point: at + off for point, at in self._touched.items()}
        self.quiet += off
        return off

    def heard(self) -> None:
        """Somebody has said something, and proved who it is."""
        self.heard_at = self.quiet

    def touched(self, point: str) -> None:
        """`point` is written now."""
        self._touched[point] = self.quiet

    def due(self, point: str, written_ms: int, after_ms: int) -> bool:
        """Whether what was written to `point`, at `written_ms` of `quiet` or later, has been alone for so long."""
        return self.quiet - max(self.heard_at, written_ms, self._touched.get(point, 0)) >= after_ms

    def note(self) -> Quiet:
        """What to keep."""
        return Quiet(self.quiet, self.heard_at, self._boot, self._at, self._utc_ms)
