"""What an advertisement says to the configured devices. Sans-IO; knows neither bleak nor BlueZ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from drivers.base import BusSetup, DeviceSetup, Read, Sink
from drivers.ble.options import Advertisement, BleDevice, BlePoint
from drivers.errors import BadAnswer, SetupError
from ext import BAD_ANSWER, GOOD, SENTINEL, Value

# Core Specification 5.4, Vol 4 Part E, 7.7.65.2: RSSI in dBm is -127 to 20, and 127 where there is none. bleak gives
# -127 where BlueZ gives none.
MIN_RSSI, MAX_RSSI, NO_RSSI = -127, 20, (127, -127)

SHOWN_BYTES = 4  # of a payload that is not the wanted one: enough to tell formats apart

Problems = list[tuple[str, str, object]]


@dataclass(frozen=True, slots=True)
class _Claim:
    """A configured device, by what it advertises."""

    format: Advertisement
    read: Read
    rssi: tuple[str, ...]


class Listeners:
    """The devices of a bus by address; raises `SetupError` for an address or a byte that cannot be."""

    def __init__(self, setup: BusSetup) -> None:
        problems: Problems = []
        self._claims: dict[str, _Claim] = {}
        for device in setup.devices:
            options = cast("BleDevice", device.options)
            address = options.address
            if address in self._claims:
                other = self._claims[address].read.device
                problems.append((f"devices.{device.device.id}.address", f"is the address of {other} too", address))
            self._claims[address] = _claim(device, options, problems)
        if problems:
            raise SetupError(problems)
        self._formats = {claim.format for claim in self._claims.values()}

    @property
    def reads(self) -> Sequence[Read]:
        """One for each device: the points in its payload."""
        return [claim.read for claim in self._claims.values() if claim.read.points]

    def take(self, address: str, rssi: int, manufacturer: Mapping[int, bytes], sink: Sink) -> None:
        """Give the sink what a device advertised just now; `manufacturer` is its data by company id."""
        claim = self._claims.get(address)
        if claim is None:
            sink.stranger(self._describe(manufacturer))
            return
        data = manufacturer.get(claim.format.company)
        if data is None:
            return
        if not claim.format.claims(data):
            sink.failed(claim.read.device, _mismatch(claim.format, data))
            return
        if claim.read.points:
            sink.scan(claim.read, data)
        if claim.rssi:
            value, quality = _strength(rssi)
            sink.values(claim.read.device, [(point, value, quality) for point in claim.rssi])

    def _describe(self, manufacturer: Mapping[int, bytes]) -> str:
        """A stranger by the format it speaks, never by its address or its bytes."""
        for known in self._formats:
            if known.company in manufacturer and known.claims(manufacturer[known.company]):
                return f"advertisement of company 0x{known.company:04x}, header {known.header.hex() or 'none'}"
        return "advertisement of another format"


def _claim(setup: DeviceSetup, options: BleDevice, problems: Problems) -> _Claim:
    device, points, rssi = setup.device.id, [], []
    for point in setup.points:
        where = cast("BlePoint", point.options)
        if where.source == "rssi":
            rssi.append(point.point.id)
            continue
        layout = where.layout()
        if layout.offset + layout.width > options.advertisement.length:
            path = f"devices.{device}.points.{point.point.name}.byte"
            problems.append((path, f"lies outside the {options.advertisement.length} bytes", layout.offset))
        points.append((point.point.id, layout))
    return _Claim(options.advertisement, Read(device, tuple(points)), tuple(rssi))


def _strength(rssi: int) -> tuple[Value, int]:
    if rssi in NO_RSSI:
        return None, SENTINEL
    return (rssi, GOOD) if MIN_RSSI <= rssi <= MAX_RSSI else (None, BAD_ANSWER)


def _mismatch(wanted: Advertisement, data: bytes) -> BadAnswer:
    return BadAnswer(
        f"advertisement of {len(data)} bytes that begins {data[:SHOWN_BYTES].hex() or 'nothing'}; "
        f"wanted {wanted.length} bytes that begin {wanted.header.hex() or 'anyhow'}"
    )
