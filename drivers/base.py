"""What a driver is: the contract between the agent and everything that talks to devices."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from config import Bus, Device, Point
from drivers.errors import DeviceError, NotWritable
from drivers.signs import Elsewhere, Signs
from drivers.tap import Monitor, Tap
from ext import GOOD, Layout, Value


class Options(BaseModel):
    """A driver's own keys in a bus, device or point table; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def variant(cls, raw: dict[str, Any]) -> "type[Options]":  # noqa: ARG003 - for those that have some
        """The model that checks `raw`, where one key decides which others there are; this one when none does."""
        return cls


@dataclass(frozen=True, slots=True)
class PointSetup:
    """A configured point with the driver's own options checked."""

    point: Point
    options: Options


@dataclass(frozen=True, slots=True)
class DeviceSetup:
    """A configured device with the driver's own options checked."""

    device: Device
    options: Options
    points: tuple[PointSetup, ...]


@dataclass(frozen=True, slots=True)
class BusSetup:
    """A configured bus, its devices and points, ready for the driver that owns it."""

    bus: Bus
    options: Options
    devices: tuple[DeviceSetup, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """One request and the places of the points in its answer, or one payload that arrives by itself.

    `points` are full ids (`device/point`) with where each lies, `values` those that lie nowhere fixed; `every` is the
    wanted period in ms, 0 for payloads that are not asked for; `request` is the driver's own.
    """

    device: str
    points: tuple[tuple[str, Layout], ...]
    request: Hashable = None
    every: int = 0
    values: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every point that the answer carries."""
        return tuple(name for name, _ in self.points) + self.values


class Sink(Protocol):
    """Where a driver puts what its devices said. Never blocks; never raises for what a device sent."""

    def scan(self, read: Read, payload: bytes, quality: int = GOOD) -> None:
        """Decode, judge and keep the points of `payload`, which arrived just now."""

    def value(self, point: str, value: Value, quality: int = GOOD) -> None:
        """Keep one value of `point` (full id), which arrived just now; exact decimals as `Decimal`."""

    def values(self, device: str, values: Sequence[tuple[str, Value, int]]) -> None:
        """Keep (point, value, quality) triples that the device said together: one timestamp, one sign of life."""

    def failed(self, device: str, error: DeviceError) -> None:
        """A payload of `device` was not usable; its points are untouched and the error is counted and shown."""

    def stranger(self, description: str) -> None:
        """Something was heard that no configured device claims; counted only."""

    def time(self, utc_ms: int, accuracy_ms: int) -> None:
        """A source of time says that it is `utc_ms` just now, or up to `accuracy_ms` later. Never from a recording."""


class Memory(Protocol):
    """What drivers learned of devices, kept over restarts. Never blocks, never raises."""

    def recall(self, device: str) -> object:
        """What `keep` was given last, in any life; None for nothing. A file held it: to be checked like any input."""

    def keep(self, device: str, learned: object) -> None:
        """Keep what can be JSON of a device, in place of what was kept; None forgets it."""


class Vector(Options, ABC):
    """What a device said, in a test of a profile: a driver's own keys of `[[tests]]`."""

    @classmethod
    def keys_of(cls, data: bytes, where: dict[str, object]) -> dict[str, object]:  # noqa: ARG003 for those that can
        """The keys that say: the captured `data` stood at `where`, which has some of the keys already."""
        return where

    @abstractmethod
    def stand_in(self, kind: "type[Driver]") -> tuple[dict[str, Any], dict[str, Any]]:
        """Options of a bus, never opened, and of a device on it that said this."""

    @abstractmethod
    def feed(self, driver: "Driver", sink: Sink) -> None:
        """Let `driver`, which has the stand-in with the tested points, decode it as what comes in on the live path."""


class Driver(ABC):
    """Talks on one bus. The agent owns it by one task; no method runs twice at a time.

    A constructor opens nothing; it raises `SetupError` for options that contradict each other.
    """

    BusOptions: ClassVar[type[Options]] = Options
    DeviceOptions: ClassVar[type[Options]] = Options
    PointOptions: ClassVar[type[Options]] = Options
    VectorOptions: ClassVar[type[Vector] | None] = None
    """What its profiles' tests give; without one, they give a `recording` that `replay` takes."""
    IdentifyOptions: ClassVar[type[Options]] = Options
    """How its profiles say which device is of their model, in the table `identify`."""
    profiles: ClassVar[Path | None] = None
    """The folder `profiles` beside the driver's module, where it brings any; it is found there without an import."""

    @classmethod
    def serving(cls, options: dict[str, Any]) -> "type[Driver]":  # noqa: ARG003 - for those that put others to work
        """The class that serves a bus with these (unchecked) options; raises `UnknownDriver`."""
        return cls

    def __init__(self, setup: BusSetup) -> None:
        self.setup = setup
        self.tap = Tap()
        """Where the bytes on the bus can be listened to, for drivers that tell it."""

    def monitor(self) -> Monitor:
        """One that puts together what the tap tells."""
        return Monitor()

    @abstractmethod
    def reads(self) -> Sequence[Read]:
        """The requests (or self-arriving payloads of a fixed layout) that carry the configured points."""

    def remember(self, memory: Memory) -> None:  # noqa: B027 - a driver that learns nothing has nothing to do
        """Use what earlier lives learned, and keep what this one learns; called at most once, before `open`."""

    def forget(self, device: str) -> None:  # noqa: B027 - as above
        """What was learned of `device` counts no more; `Memory` is told by who calls this."""

    @abstractmethod
    async def open(self) -> None:
        """Open the bus; raises `BusError`."""

    @abstractmethod
    async def close(self) -> None:
        """Close the bus; safe to call at any time, any number of times."""

    def facts(self) -> Mapping[str, str | int]:
        """What status shows of the bus besides: how it is used, and what was done to keep it going."""
        return {}

    def recording(self, pieces: Sequence[tuple[bool, bytes]]) -> str:
        """Bytes as a tap told them (sent or not, in their order), in the notation that `replay` takes."""
        return "".join(f"0x{data.hex()}\n" for sent, data in pieces if not sent)

    def signs(self) -> Signs:
        """What the bus shows beside its answers, since it was opened."""
        return Signs()

    @abstractmethod
    def replay(self, recording: str, sink: Sink) -> None:
        """Decode a recording (text, in this driver's notation) as the live path would, with no bus open."""


class AskingDriver(Driver):
    """A driver that asks, and says by itself what the answers hold."""

    @abstractmethod
    async def ask(self, read: Read, sink: Sink) -> None:
        """Give `sink` what answers `read`, all at once; raises `DeviceError` (the device) or `BusError` (the bus)."""

    def cost(self, read: Read) -> float:  # noqa: ARG002 for those that know
        """How long `read` occupies the bus when it is answered as usual, in ms; 0.0 when that is not known."""
        return 0.0

    def patience(self, read: Read) -> float:  # noqa: ARG002 for those that know
        """How long `read` occupies the bus when nothing answers, in ms; 0.0 when that is not known."""
        return 0.0

    def probe(self, device: str) -> Read | None:
        """The cheapest question that shows whether `device` is there; it may carry no points. None: it has no reads."""
        reads = [read for read in self.reads() if read.device == device]
        return min(reads, key=self.cost, default=None)

    def elsewhere(self, device: str, *, alone: bool) -> Iterator[Elsewhere]:  # noqa: ARG002 for those that can look
        """Where to look for `device`, which is silent, the likeliest place first; `alone`: nothing on the bus answers.

        Each is asked as a read is, by the task that owns the bus.
        """
        yield from ()

    def not_before(self, read: Read) -> int:  # noqa: ARG002 for those that must
        """Boot ms before which `read` must not be asked: a late answer to another could be taken for its own."""
        return 0

    def narrower(self, read: Read, error: DeviceError) -> Sequence[Read]:  # noqa: ARG002 for those that can
        """Reads that take the place of `read` from now on, now that it failed with `error`; nothing when it stays."""
        return ()

    async def write(self, point: str, value: Value) -> None:
        """Write `value` to `point` (full id) and see that the device took it; raises as `ask`, or `NotWritable`."""
        raise NotWritable(f"{point}: this driver writes nothing (asked for {value!r})")


class PolledDriver(AskingDriver):
    """A driver that asks; its answers have fixed layouts."""

    @abstractmethod
    async def read(self, read: Read) -> bytes:
        """The payload that answers `read`; raises as `ask` does."""

    async def ask(self, read: Read, sink: Sink) -> None:
        """Give `sink` the payload."""
        sink.scan(read, await self.read(read))


class ListeningDriver(Driver):
    """A driver whose devices speak by themselves."""

    @abstractmethod
    async def listen(self, sink: Sink) -> None:
        """Feed `sink` until cancelled; raises `BusError` when the bus is gone."""


def points_of(setup: BusSetup) -> Iterator[tuple[DeviceSetup, PointSetup]]:
    """Every point on the bus with its device."""
    for device in setup.devices:
        for point in device.points:
            yield device, point
