"""What drivers of meters on a serial port share: points chosen by OBIS code, and listening for telegrams."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import ClassVar, Generic, Protocol, TypeVar, cast

from pydantic import Field

from drivers.base import BusSetup, DeviceSetup, ListeningDriver, Options, PointSetup, Read, Sink
from drivers.errors import BadAnswer, DeviceError
from drivers.obis import WRONG, Quantity, normal, shift
from drivers.on_port import PortDriver
from ext import BAD_ANSWER, NO_ANSWER, Value

_EXACT = Context(prec=80)  # 18 digits and an exponent of +-128 of a meter, times and plus 19 of a scale and an offset

P = TypeVar("P", bound="ObisPoint")
Frame = TypeVar("Frame")
Found_co = TypeVar("Found_co", covariant=True)

Triple = tuple[str, Value, int]


class ObisPoint(Options):
    """`[devices.x.points.y]`: an object of the meter by its OBIS code, such as `1-0:1.8.1`."""

    obis: str = Field(min_length=1, max_length=32, pattern=r"^[0-9A-Za-z.:*&-]+$")

    @property
    def code(self) -> str:
        """The code in the form that codes are compared in."""
        return normal(self.obis)


@dataclass(frozen=True, slots=True)
class Wanted(Generic[P]):
    """One point and what it asks of a meter."""

    id: str
    options: P
    unit: str
    scale: Decimal
    offset: Decimal

    def judge(self, quantity: Quantity | None) -> Triple:
        """What the point says of what the meter said: in its own unit, scaled exactly; nothing said is no answer."""
        value, unit, quality = (None, "", NO_ANSWER) if quantity is None else quantity
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            return self.id, value, quality
        power = shift(unit, self.unit)
        if power is None:  # the meter speaks of something else than the configuration
            return self.id, None, BAD_ANSWER
        number = _EXACT.scaleb(Decimal(value), power) if power else Decimal(value)
        if self.scale != 1 or self.offset != 0:
            number = _EXACT.fma(number, self.scale, self.offset)
        return self.id, number, quality


def wanted(device: DeviceSetup, kind: type[P]) -> tuple[Wanted[P], ...]:
    """The points of a device."""
    return tuple(_wanted(point, kind) for point in device.points)


def _wanted(setup: PointSetup, kind: type[P]) -> Wanted[P]:
    point, options = setup.point, setup.options
    assert isinstance(options, kind)  # noqa: S101 - `prepare` made it of this class
    return Wanted(point.id, options, point.unit, point.scale, point.offset)


def only(quantities: list[Quantity]) -> Quantity | None:
    """The one thing that was said; None when nothing was, a bad answer when several things were."""
    if len(set(quantities)) > 1:
        return WRONG
    return quantities[0] if quantities else None


class Framer(Protocol[Found_co]):
    """Finds telegrams in bytes; holds a bounded amount. A `DeviceError` in the place of each that is damaged."""

    def feed(self, data: bytes) -> Iterator[Found_co | DeviceError]:
        """The telegrams that `data` completes."""


class TelegramDriver(PortDriver, ListeningDriver, Generic[Frame, P]):
    """Listens on a serial port; every device on it is the meter that speaks there."""

    PointKind: ClassVar[type[ObisPoint]]

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self._devices = {
            device.device.id: cast("tuple[Wanted[P], ...]", wanted(device, self.PointKind)) for device in setup.devices
        }

    @abstractmethod
    def framer(self) -> Framer[Frame]:
        """One that has heard nothing yet."""

    @abstractmethod
    def values(self, frame: Frame, points: tuple[Wanted[P], ...]) -> list[Triple]:
        """What a telegram says of these points; raises `DeviceError` for one that is malformed."""

    def reads(self) -> list[Read]:
        """None: telegrams have no fixed layout."""
        return []

    async def listen(self, sink: Sink) -> None:
        """Feed `sink` until cancelled; raises `BusError` when the port is gone."""
        framer = self.framer()
        await self._port.listen(lambda data: self._take(framer, data, sink))

    def _take(self, framer: Framer[Frame], data: bytes, sink: Sink) -> None:
        for found in framer.feed(data):
            for device, points in self._devices.items():
                self._tell(device, points, found, sink)

    def _tell(self, device: str, points: tuple[Wanted[P], ...], found: Frame | DeviceError, sink: Sink) -> None:
        try:
            if isinstance(found, DeviceError):
                raise found
            said = self.values(found, points)
        except DeviceError as error:
            sink.failed(device, error)
        else:
            if said:
                sink.values(device, said)


def hex_bytes(line: str) -> bytes:
    """The bytes of a line of a recording in hex, with or without 0x; raises `BadAnswer`."""
    try:
        return bytes.fromhex(line.removeprefix("0x"))
    except ValueError as error:
        raise BadAnswer("a line of the recording is not hex") from error
