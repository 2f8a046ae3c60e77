"""Takes what drivers say, judges and packs it; the event loop's side of the buffer."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from config import Point
from drivers.base import Read
from drivers.errors import DeviceError
from ext import BAD_ANSWER, GOOD, MAX_SAMPLES, MAX_TEXT_BYTES, MAX_WORK, Packer, ScanPlan, Series, Value

PRIORITIES = ("critical", "normal", "bulk")
LARGE_BYTES = 60 * 1024
"""An open batch this large is sealed at once, so that with header and signature it stays under 64 kB."""
LARGE_SAMPLES = MAX_SAMPLES // 2
"""... and so that its samples stay well under what a batch may hold, however small they pack."""
LARGE_WORK = MAX_WORK // 2
"""... and what it costs to read."""

Plans = tuple[tuple[str, ScanPlan], ...]
"""Priority and plan: up to two of each priority that the points of a read have."""
PLANS_MAX = 16_384
"""Compiled reads that are remembered."""

Listener = Callable[[str, int, Value, int], None]
"""Called with (point, boot_ms, value, quality) of each sample as it is judged."""


@dataclass(frozen=True, slots=True)
class Packed:
    """The samples of one priority since the last commit."""

    priority: str
    data: bytes
    samples: int
    first_ms: int
    last_ms: int
    begins: bool
    """This block begins a batch: it needs nothing of the blocks before it."""


class _Part:
    """The open batch of one priority."""

    def __init__(self) -> None:
        self.packer = Packer()
        self.begins = True
        self.taken = 0


class Recorder:
    """The `Sink` of all drivers. One thread, the event loop's, calls it; nothing here waits."""

    def __init__(self, now: Callable[[], int], series: Mapping[str, Series], points: Mapping[str, Point]) -> None:
        self._now = now
        self._parts = {name: _Part() for name in PRIORITIES}
        self._plans: dict[int, tuple[Read, Plans, int]] = {}
        self._know(series, points)
        self._listeners: set[Listener] = set()
        self.on_packed: Callable[[], None] = lambda: None
        self.on_critical: Callable[[], None] = lambda: None
        self.on_large: Callable[[str], None] = lambda _priority: None
        self.on_heard: Callable[[str], None] = lambda _: None
        self.on_failed: Callable[[str, DeviceError], None] = lambda _device, _error: None
        self.on_time: Callable[[int, int], None] = lambda _utc_ms, _accuracy_ms: None
        self._closing = False
        self.samples = 0
        self.strangers: dict[str, int] = {}

    # What drivers call -------------------------------------------------------------------------------------------

    def scan(self, read: Read, payload: bytes, quality: int = GOOD) -> None:
        """Decode, judge and keep the points of `payload`, which arrived just now."""
        boot_ms = self._now()
        known = self._plans.get(id(read))
        _, plans, size = self._compile(read) if known is None else known
        if len(payload) < size:
            self.fail(read, BAD_ANSWER)
            return
        for priority, plan in plans:
            self._pack(priority, Packer.append_scan, plan, payload, boot_ms, quality)
        self.on_heard(read.device)
        if self._listeners:
            self._tell(name for name, _ in read.points)

    def value(self, point: str, value: Value, quality: int = GOOD) -> None:
        """Keep one value of `point` (full id), which arrived just now."""
        self.values(point.partition("/")[0], [(point, value, quality)])

    def values(self, device: str, values: Sequence[tuple[str, Value, int]]) -> None:
        """Keep (point, value, quality) triples that the device said together."""
        boot_ms = self._now()
        for name, value, quality in values:
            self._append(name, boot_ms, value, quality)
        self.on_heard(device)
        self._tell(name for name, _, _ in values)

    def failed(self, device: str, error: DeviceError) -> None:
        """A payload of `device` was not usable; counted and shown."""
        self.on_failed(device, error)

    def stranger(self, description: str) -> None:
        """Something was heard that no configured device claims; counted by its kind, in a bounded table."""
        if description in self.strangers or len(self.strangers) < 64:
            self.strangers[description] = self.strangers.get(description, 0) + 1

    def time(self, utc_ms: int, accuracy_ms: int) -> None:
        """A receiver says that it is `utc_ms`, or up to `accuracy_ms` later."""
        self.on_time(utc_ms, accuracy_ms)

    # What the agent calls ----------------------------------------------------------------------------------------

    def fail(self, read: Read, quality: int) -> None:
        """Every point of `read` gets a sample without a value: the device did not deliver it."""
        boot_ms = self._now()
        for priority, plan in self._compiled(read):
            self._pack(priority, Packer.fail_scan, plan, boot_ms, quality)
        for name in read.values:
            self._append(name, boot_ms, None, quality)
        self._tell(read.names)

    def fail_points(self, points: Iterable[str], quality: int) -> None:
        """Each of `points` gets a sample without a value."""
        boot_ms = self._now()
        for name in points:
            self._append(name, boot_ms, None, quality)

    def large(self, priority: str) -> bool:
        """Whether the open batch of `priority` is to be sealed because of its size."""
        packer = self._parts[priority].packer
        return packer.size >= LARGE_BYTES or packer.samples >= LARGE_SAMPLES or packer.work >= LARGE_WORK

    def calm(self, priority: str) -> bool:
        """Whether the open batch of `priority` has room for the longest text, and more, before it grows large."""
        packer = self._parts[priority].packer
        room = packer.size + MAX_TEXT_BYTES + 1024 < LARGE_BYTES
        return room and packer.samples < LARGE_SAMPLES // 2 and packer.work < LARGE_WORK // 2

    def commit(self) -> list[Packed]:
        """Take what was packed since the last commit, a block a priority; windows that are over are packed first."""
        self._close_windows()
        packed = []
        for name, part in self._parts.items():
            packer, samples = part.packer, part.packer.pending
            if samples:
                packed.append(Packed(name, packer.commit(), samples, packer.first_ms, packer.last_ms, part.begins))
                part.begins = False
                part.taken = part.packer.size
        return packed

    def finish(self, points: Container[str] | None = None) -> None:
        """Pack what the open windows (of `points`, or all) have so far: nothing more will come."""
        self._close_windows(points, final=True)

    def rearrange(self, series: Mapping[str, Series], points: Mapping[str, Point]) -> None:
        """Record these points from now on; everything packed must have been taken by `commit`, and its batches ended.

        A point goes on where its `Series` is the one that it had.
        """
        self._plans.clear()
        self._know(series, points)

    @property
    def pending(self) -> int:
        """Samples since the last commit."""
        return sum(part.packer.pending for part in self._parts.values())

    @property
    def pending_bytes(self) -> int:
        """What they take, packed."""
        return sum(part.packer.size - part.taken for part in self._parts.values())

    def seal(self, priority: str) -> None:
        """Begin a new batch of `priority`; everything packed must have been taken by `commit`."""
        part = self._parts[priority]
        part.packer.reset()
        part.begins = True
        part.taken = 0

    def series(self, point: str) -> Series:
        """What `point` is judged and packed by."""
        return self._series[point]

    def last(self, point: str) -> tuple[int, Value, int] | None:
        """The last judged (boot_ms, value, quality) of `point`, reported or not."""
        return self._series[point].last

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every sample from now on, until the function returned is called."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    # ----------------------------------------------------------------------------------------------------------------

    def _know(self, series: Mapping[str, Series], points: Mapping[str, Point]) -> None:
        self._series = series
        self._priority: dict[str, str] = {name: point.priority for name, point in points.items()}
        self._windows = {
            priority: {n: series[n] for n in points if self._priority[n] == priority and series[n].windowed}
            for priority in PRIORITIES
        }

    def _close_windows(self, points: Container[str] | None = None, *, final: bool = False) -> None:
        if self._closing:  # a batch that grew large by it is being taken
            return
        self._closing = True
        try:
            for priority, windows in self._windows.items():
                closing = [one for name, one in windows.items() if points is None or name in points]
                if closing:
                    self._pack(priority, Packer.flush, closing, self._now(), final)
        finally:
            self._closing = False

    def _compiled(self, read: Read) -> Plans:
        known = self._plans.get(id(read)) or self._compile(read)
        return known[1]

    def _compile(self, read: Read) -> tuple[Read, Plans, int]:
        """The scan plans of `read`, points with windows apart, and the bytes they need; remembered."""
        plans = []
        for priority, windowed in product(PRIORITIES, (False, True)):
            fields = [
                (layout, self._series[name])
                for name, layout in read.points
                if self._priority[name] == priority and self._series[name].windowed == windowed
            ]
            if fields:
                plans.append((priority, ScanPlan(fields, read.every)))
        if len(self._plans) >= PLANS_MAX:  # a driver that makes its reads anew at each opening
            self._plans.clear()
        known = self._plans[id(read)] = (read, tuple(plans), max((plan.size for _, plan in plans), default=0))
        return known

    def _append(self, name: str, boot_ms: int, value: Value, quality: int) -> None:
        priority, series = self._priority[name], self._series[name]
        try:
            self._pack(priority, Packer.append, series, boot_ms, value, quality)
        except ValueError:  # too long or no text at all: what a device says is its own affair
            self._pack(priority, Packer.append, series, boot_ms, None, BAD_ANSWER)

    def _pack(self, priority: str, append: Callable[..., int], *args: object) -> None:
        """Call `append` with the open batch of `priority`."""
        packer = self._parts[priority].packer
        before = packer.pending
        try:
            append(packer, *args)
        except OverflowError:  # as full as a batch may be: it ends here, and the next one has room for any read
            self._count(priority, packer.pending - before)
            self.on_large(priority)
            before = packer.pending
            append(packer, *args)
        finally:  # windows that ended before what could not be packed are packed
            if packer.pending != before:
                self._count(priority, packer.pending - before)
        if self.large(priority):
            self.on_large(priority)

    def _count(self, priority: str, count: int) -> None:
        self.samples += count
        if count:
            self.on_packed()
        if count and priority == "critical":
            self.on_critical()

    def _tell(self, names: Iterable[str]) -> None:
        if not self._listeners:
            return
        for name in names:
            last = self._series[name].last
            if last is not None:
                for listener in tuple(self._listeners):
                    listener(name, *last)
