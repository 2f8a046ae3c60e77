"""What an advertisement says to the configured devices. Sans-IO; knows neither bleak nor BlueZ."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from drivers.base import BusSetup, DeviceSetup, Read, Sink
from drivers.ble.formats import load
from drivers.ble.formats.keys import KeyFileError, load_key
from drivers.ble.formats.session import Said, Session, Wanted
from drivers.ble.options import Advertisement, BleDevice, BlePoint
from drivers.errors import BadAnswer, SetupError
from ext import BAD_ANSWER, CLOCK, GOOD, SENTINEL, Layout, Value

# Core Specification 5.4, Vol 4 Part E, 7.7.65.2: RSSI in dBm is -127 to 20, and 127 where there is none. bleak gives
# -127 where BlueZ gives none.
MIN_RSSI, MAX_RSSI, NO_RSSI = -127, 20, (127, -127)

_BYTE = {rssi: rssi.to_bytes(1, "big", signed=True) for rssi in range(MIN_RSSI, MAX_RSSI + 1)}
BUILT_S = 1_700_000_000  # November 2023: a clock that shows less was not set since the machine started
SHOWN_BYTES = 4  # of a payload that is not the wanted one: enough to tell formats apart

Problems = list[tuple[str, str, object]]


@dataclass(frozen=True, slots=True)
class _Claim:
    """A configured device, by what it advertises: a fixed layout, a format that describes itself, or nothing known."""

    device: str
    layout: Advertisement | None
    session: Session | None
    read: Read
    """The points in its payload."""
    whole: Read
    """... and those of the signal strength, which is the byte after it: one scan for all."""
    rssi: tuple[str, ...]
    seen: tuple[str, ...]

    def find(self, manufacturer: Mapping[int, bytes], services: Mapping[str, bytes]) -> bytes | None:
        """The data that are the device's; None when it said nothing of the kind."""
        layout = self.layout
        if layout is not None:
            if layout.company is not None:
                return manufacturer.get(layout.company)
            return services.get(layout.service or "")
        if self.session is None:
            return b""
        spoken = self.session.format
        for service, data in services.items():
            if service in spoken.services:
                return data
        for company, data in manufacturer.items():
            if company in spoken.companies:
                return data
        return None


class Listeners:
    """The devices of a bus by what tells them apart; raises `SetupError` for an address, byte or key that cannot be."""

    def __init__(self, setup: BusSetup) -> None:
        problems: Problems = []
        self._addressed: dict[str, _Claim] = {}
        self._named: dict[str, _Claim] = {}
        self._keyed: list[_Claim] = []
        for device in setup.devices:
            options = cast("BleDevice", device.options)
            claim = _claim(device, options, problems)
            if options.address is not None:
                _put(self._addressed, "address", options.address, claim, problems)
            elif options.name is not None:
                _put(self._named, "name", options.name, claim, problems)
            else:
                self._keyed.append(claim)
        if problems:
            raise SetupError(problems)
        self._claims = [*self._addressed.values(), *self._named.values(), *self._keyed]
        self._layouts = {claim.layout for claim in self._claims if claim.layout is not None}
        self._formats = {claim.session.format.name: claim.session.format for claim in self._claims if claim.session}

    @property
    def reads(self) -> Sequence[Read]:
        """One for each device: the points in its payload."""
        return [claim.whole for claim in self._claims if claim.whole.points]

    def senders(self) -> Sequence[int | str] | None:
        """Company ids and service UUIDs of everything that is configured; None when these do not tell all of it."""
        if self._named or any(claim.layout is None and claim.session is None for claim in self._claims):
            return None  # a name may come in a scan response, which only active scanning asks for
        layouts = {one.company if one.company is not None else one.service or "" for one in self._layouts}
        return list(layouts.union(*(one.companies | one.services for one in self._formats.values())))

    def take(
        self, address: str, rssi: int, manufacturer: Mapping[int, bytes], services: Mapping[str, bytes], sink: Sink,
        name: str = "",
    ) -> None:  # fmt: skip
        """Give the sink what a device advertised just now: data by company id, and by service UUID as `short` has it.

        Raises nothing for what was heard.
        """
        claim = self._addressed.get(address)
        if claim is None:
            claim = self._find(address, name, manufacturer, services) if self._named or self._keyed else None
        if claim is None:
            sink.stranger(self._describe(manufacturer, services))
            return
        data = claim.find(manufacturer, services)
        if data is not None:
            _give(claim, data, rssi, sink)

    def _find(
        self, address: str, name: str, manufacturer: Mapping[int, bytes], services: Mapping[str, bytes]
    ) -> _Claim | None:
        """The device at an address that is not configured: by its name, or by its key."""
        claim = self._named.get(name) if name else None
        if claim is not None and claim.session is not None:
            claim.session.address = address
        return claim or next(self._unlocked(address, manufacturer, services), None)

    def _unlocked(
        self, address: str, manufacturer: Mapping[int, bytes], services: Mapping[str, bytes]
    ) -> Iterator[_Claim]:
        for claim in self._keyed:
            session, data = claim.session, claim.find(manufacturer, services)
            if session is None or not data:
                continue
            if session.address == address or session.authenticates(address, data):
                session.address = address
                yield claim

    def _describe(self, manufacturer: Mapping[int, bytes], services: Mapping[str, bytes]) -> str:
        """A stranger by the format it speaks, never by its address or its bytes."""
        for known in self._layouts:
            data = services.get(known.service or "") if known.company is None else manufacturer.get(known.company)
            if data is not None and known.claims(data):
                return f"advertisement of {known}"
        for spoken in self._formats.values():
            if not (spoken.services.isdisjoint(services) and spoken.companies.isdisjoint(manufacturer)):
                return f"advertisement of the format {spoken.name}"
        return "advertisement of another format"


def _give(claim: _Claim, data: bytes, rssi: int, sink: Sink) -> None:
    layout = claim.layout
    if layout is not None:
        if not layout.claims(data):
            sink.failed(claim.device, _mismatch(layout, data))
            return
        if MIN_RSSI < rssi <= MAX_RSSI:  # almost always: what comes with every advertisement is one call
            if claim.whole.points:
                sink.scan(claim.whole, data + _BYTE[rssi])
            if claim.seen:
                sink.values(claim.device, [(point, *_clock()) for point in claim.seen])
            return
        if claim.read.points:
            sink.scan(claim.read, data)
        _tell(claim, [], rssi, sink)
    elif claim.session is None:
        _tell(claim, [], rssi, sink)
    else:
        _hear(claim, claim.session, data, rssi, sink)


def _hear(claim: _Claim, session: Session, data: bytes, rssi: int, sink: Sink) -> None:
    try:
        heard = session.hear(data)
    except BadAnswer as failure:
        sink.failed(claim.device, failure)
        return
    if heard is None:
        return
    values, error = heard
    _tell(claim, values, rssi, sink)
    if error is not None:
        sink.failed(claim.device, error)


def _tell(claim: _Claim, values: list[Said], rssi: int, sink: Sink) -> None:
    """Give the values, and what comes with every advertisement: all of one instant."""
    if claim.rssi:
        values += [(point, *_strength(rssi)) for point in claim.rssi]
    values += [(point, *_clock()) for point in claim.seen]
    if values:
        sink.values(claim.device, values)


def _claim(setup: DeviceSetup, options: BleDevice, problems: Problems) -> _Claim:
    device, points, rssi, seen = setup.device.id, [], [], []
    wanted: list[Wanted] = []
    for point in setup.points:
        where, path = cast("BlePoint", point.options), f"devices.{device}.points.{point.point.name}"
        if where.source == "rssi":
            rssi.append(point.point.id)
        elif where.source == "last-seen":
            seen.append(point.point.id)
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
    length = 0 if options.advertisement is None else options.advertisement.length
    strengths = [(name, Layout(length, "int8")) for name in rssi] if options.advertisement is not None else []
    read, whole = Read(device, tuple(points)), Read(device, (*points, *strengths))
    return _Claim(device, options.advertisement, session, read, whole, tuple(rssi), tuple(seen))


def _put(claims: dict[str, _Claim], key: str, value: str, claim: _Claim, problems: Problems) -> None:
    if value in claims:
        problems.append((f"devices.{claim.device}.{key}", f"is the {key} of {claims[value].device} too", value))
    claims[value] = claim


def _session(device: str, options: BleDevice, wanted: Sequence[Wanted], problems: Problems) -> Session | None:
    if options.format is None:
        return None
    spoken, key = load(options.format), None
    if options.key_file is not None:
        try:
            key = load_key(options.key_file, spoken.key_bytes)
        except KeyFileError as error:
            problems.append((f"devices.{device}.key_file", str(error), str(options.key_file)))
    return Session(spoken, options.address or "", key, wanted)


def _strength(rssi: int) -> tuple[Value, int]:
    if rssi in NO_RSSI:
        return None, SENTINEL
    return (rssi, GOOD) if MIN_RSSI <= rssi <= MAX_RSSI else (None, BAD_ANSWER)


def _clock() -> tuple[Value, int]:
    """Seconds since the epoch, uncertain while nobody told this machine the time."""
    now = int(time.time())
    return now, GOOD if now >= BUILT_S else CLOCK


def _mismatch(wanted: Advertisement, data: bytes) -> BadAnswer:
    return BadAnswer(
        f"advertisement of {len(data)} bytes that begins {data[:SHOWN_BYTES].hex() or 'nothing'}; "
        f"wanted {wanted.length} bytes that begin {wanted.header.hex() or 'anyhow'}"
    )
