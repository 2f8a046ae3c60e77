"""What an advertisement says to the configured devices. Sans-IO; knows neither bleak nor BlueZ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from drivers.base import BusSetup, DeviceSetup, Read, Sink
from drivers.ble.formats import load
from drivers.ble.formats.keys import KeyFileError, load_key
from drivers.ble.formats.session import Session, Wanted
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
    """A configured device, by what it advertises: a fixed layout, or a format that describes itself."""

    layout: Advertisement | None
    session: Session | None
    read: Read
    rssi: tuple[str, ...]

    def find(self, manufacturer: Mapping[int, bytes], services: Mapping[str, bytes]) -> bytes | None:
        """The data that are the device's; None when it said nothing of the kind."""
        if self.layout is not None:
            if self.layout.company is not None:
                return manufacturer.get(self.layout.company)
            return services.get(self.layout.service or "")
        if self.session is not None:
            claims = self.session.format.claims
            for service, data in services.items():
                if claims(None, service):
                    return data
            for company, data in manufacturer.items():
                if claims(company, None):
                    return data
        return None


class Listeners:
    """The devices of a bus by address; raises `SetupError` for an address, a byte or a key that cannot be."""

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
        self._layouts = {claim.layout for claim in self._claims.values() if claim.layout is not None}

    @property
    def reads(self) -> Sequence[Read]:
        """One for each device: the points in its payload."""
        return [claim.read for claim in self._claims.values() if claim.read.points]

    def take(
        self, address: str, rssi: int, manufacturer: Mapping[int, bytes], services: Mapping[str, bytes], sink: Sink
    ) -> None:
        """Give the sink what a device advertised just now: data by company id, and by service UUID as `short` has it.

        Raises nothing for what was heard.
        """
        claim = self._claims.get(address)
        if claim is None:
            sink.stranger(self._describe(manufacturer, services))
            return
        data = claim.find(manufacturer, services)
        if data is not None and _give(claim, data, sink) and claim.rssi:
            value, quality = _strength(rssi)
            sink.values(claim.read.device, [(point, value, quality) for point in claim.rssi])

    def _describe(self, manufacturer: Mapping[int, bytes], services: Mapping[str, bytes]) -> str:
        """A stranger by the format it speaks, never by its address or its bytes."""
        for known in self._layouts:
            data = services.get(known.service or "") if known.company is None else manufacturer.get(known.company)
            if data is not None and known.claims(data):
                return f"advertisement of {known}"
        return "advertisement of another format"


def _give(claim: _Claim, data: bytes, sink: Sink) -> bool:
    """Whether the device's data were usable, and new."""
    if claim.session is not None:
        return _hear(claim.session, claim.read.device, data, sink)
    device = claim.read.device
    if claim.layout is None or not claim.layout.claims(data):
        sink.failed(device, _mismatch(claim.layout, data))
        return False
    if claim.read.points:
        sink.scan(claim.read, data)
    return True


def _hear(session: Session, device: str, data: bytes, sink: Sink) -> bool:
    try:
        heard = session.hear(data)
    except BadAnswer as failure:
        sink.failed(device, failure)
        return False
    if heard is None:
        return False
    values, error = heard
    if values:
        sink.values(device, values)
    if error is not None:
        sink.failed(device, error)
    return True


def _claim(setup: DeviceSetup, options: BleDevice, problems: Problems) -> _Claim:
    device, points, rssi = setup.device.id, [], []
    wanted: list[Wanted] = []
    for point in setup.points:
        where, path = cast("BlePoint", point.options), f"devices.{device}.points.{point.point.name}"
        if where.source == "rssi":
            rssi.append(point.point.id)
        elif where.reading is not None:
            wanted.append(Wanted(point.point, where.reading))
            if options.format is None:
                problems.append((f"{path}.reading", "needs a device with a format", where.reading))
        elif options.advertisement is None:
            problems.append((f"{path}.byte", "needs a device with an advertisement of a fixed layout", where.byte))
        else:
            layout = where.layout()
            if layout.offset + layout.width > options.advertisement.length:
                message = f"lies outside the {options.advertisement.length} bytes"
                problems.append((f"{path}.byte", message, layout.offset))
            points.append((point.point.id, layout))
    session = _session(device, options, wanted, problems)
    return _Claim(options.advertisement, session, Read(device, tuple(points)), tuple(rssi))


def _session(device: str, options: BleDevice, wanted: Sequence[Wanted], problems: Problems) -> Session | None:
    if options.format is None:
        return None
    spoken, key = load(options.format), None
    if options.key_file is not None:
        try:
            key = load_key(options.key_file, spoken.key_bytes)
        except KeyFileError as error:
            problems.append((f"devices.{device}.key_file", str(error), str(options.key_file)))
    return Session(spoken, options.address, key, wanted)


def _strength(rssi: int) -> tuple[Value, int]:
    if rssi in NO_RSSI:
        return None, SENTINEL
    return (rssi, GOOD) if MIN_RSSI <= rssi <= MAX_RSSI else (None, BAD_ANSWER)


def _mismatch(wanted: Advertisement | None, data: bytes) -> BadAnswer:
    return BadAnswer(
        f"advertisement of {len(data)} bytes that begins {data[:SHOWN_BYTES].hex() or 'nothing'}; "
        + (f"wanted {wanted.length} bytes that begin {wanted.header.hex() or 'anyhow'}" if wanted else "")
    )
