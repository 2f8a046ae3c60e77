"""`lamppost decode ble`: what one advertisement says, by a profile or by whichever format it is."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from config import Point, Profile, load_profile
from drivers.base import Options
from drivers.ble import formats
from drivers.ble.advertisements import Listeners
from drivers.ble.driver import BleDriver
from drivers.ble.formats.session import Wanted
from drivers.ble.options import Advertisement, BleDevice, BlePoint
from drivers.decoding import Reading
from drivers.errors import BadAnswer, DeviceError, SetupError
from drivers.profiled import Readings, stand_in

PROFILES = Path(__file__).parent / "profiles"
ANYBODY = "00:00:00:00:00:00"  # stands for the sender where no address is given
NOBODY = "nobody"  # where neither company nor service is given
NO_RSSI = -127  # a capture says nothing of it

Found = Iterator[Reading | DeviceError]
Checked = TypeVar("Checked", bound=Options)


@dataclass(frozen=True, slots=True)
class _Sender:
    """Whose bytes they are, as far as was said."""

    company: int | None
    service: str | None
    key: bytes | None
    address: str

    def __str__(self) -> str:
        if self.company is None and self.service is None:
            return NOBODY
        return f"service {self.service}" if self.company is None else f"company 0x{self.company:04x}"


def decode(
    data: bytes, profile: Profile | None = None, company: str = "", service: str = "", key: str = "", address: str = ""
) -> Found:
    """Readings of manufacturer data of a company, or of service data of a UUID: only one of the two is given.

    Nothing is remembered: that an advertisement is an old one, only the agent can know. Raises `SetupError` for
    options that cannot be; its text holds no key.
    """
    sender = _sender(company, service, key, address)
    if profile is not None:
        yield from _by_profile(data, profile, sender)
    elif str(sender) == NOBODY:
        raise SetupError([("--company", "say whose bytes they are: --company or --service, or --profile", None)])
    else:
        yield from _by_format(data, sender)


def _sender(company: str, service: str, key: str, address: str) -> _Sender:
    if company and service:
        raise SetupError([("--service", "the bytes are of a company or of a service, not of both", service)])
    if company and not re.fullmatch(r"0[xX][0-9A-Fa-f]{1,4}|[0-9]{1,5}|[0-9A-Fa-f]{4}", company):
        raise SetupError([("--company", "must be a company id, for example 0x0499", company)])
    if service and not re.fullmatch(
        r"(0[xX])?[0-9A-Fa-f]{4}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", service
    ):
        raise SetupError([("--service", "must be a UUID, for example fcd2", service)])
    if key and not re.fullmatch(r"([0-9A-Fa-f]{2}){1,64}", key):
        raise SetupError([("--key", "must be hex", None)])
    if address and not re.fullmatch(r"([0-9A-Fa-f]{2}[:-]?){5}[0-9A-Fa-f]{2}", address):
        raise SetupError([("--address", "must be a Bluetooth address, for example C4:11:22:33:44:55", address)])
    return _Sender(
        _number(company) if company else None,
        formats.short(service.lower().removeprefix("0x")) if service else None,
        bytes.fromhex(key) if key else None,
        bytes.fromhex(re.sub("[:-]", "", address)).hex(":").upper(),
    )


def _number(company: str) -> int:
    """A company id: hex with 0x, a letter or a leading zero, else decimal."""
    return int(company) if re.fullmatch("[1-9][0-9]*", company) else int(company.lower().removeprefix("0x"), 16)


def _by_format(data: bytes, sender: _Sender) -> Found:
    """By the first format that understands the bytes, else by a profile of ours that has their layout."""
    errors: list[BadAnswer] = []
    for spoken in formats.claiming(sender.company, sender.service):
        try:
            report = spoken.decode(sender.address, data, sender.key)
        except BadAnswer as error:
            errors.append(error)
            continue
        yield from (replace(reading, format=spoken.name) for reading in report.readings)
        if report.error is not None:
            yield report.error
        return
    profile = next(
        (one for one in map(load_profile, sorted(PROFILES.glob("*.toml"))) if _fits(one, data, sender)), None
    )
    if profile is not None:
        yield from _by_profile(data, profile, sender)
        return
    locked = [error for error in errors if isinstance(error, formats.Locked)]
    yield (locked or errors or [BadAnswer(f"no format is known of {sender} in {len(data)} bytes")])[0]


def _fits(profile: Profile, data: bytes, sender: _Sender) -> bool:
    if "advertisement" not in profile.options:
        return False
    layout = _checked(Advertisement, profile.options["advertisement"])
    return (layout.company, layout.service) == (sender.company, sender.service) and layout.claims(data)


def _by_profile(data: bytes, profile: Profile, sender: _Sender) -> Found:
    """What the points of the profile say; signal strength and the like are of no capture."""
    if profile.driver != "ble":
        raise SetupError([("--profile", "is not of the driver ble", profile.driver)])
    names = [name for name, point in profile.points.items() if "source" not in point.options]
    device = _checked(BleDevice, {"address": sender.address or ANYBODY, **profile.options})
    if device.format is not None:
        found = _by_named_format(data, [profile.points[name] for name in names], device.format, sender)
    elif device.advertisement is not None:
        found = _by_layout(data, profile, names, device.advertisement, sender)
    else:
        found = iter([BadAnswer(f"the profile {profile.name} says nothing of advertisements")])
    for one in found:
        yield replace(one, format=profile.name) if isinstance(one, Reading) else one


def _by_layout(data: bytes, profile: Profile, names: list[str], layout: Advertisement, sender: _Sender) -> Found:
    """By the agent's own path, as if the bytes had been heard from whom the layout names."""
    if str(sender) != NOBODY and (sender.company, sender.service) != (layout.company, layout.service):
        yield BadAnswer(f"the bytes are of {sender}; the profile is of {layout}")
        return
    address = sender.address or ANYBODY
    driver = stand_in(BleDriver, profile, {}, {"address": address}, names)
    sink = Readings(driver.setup)
    manufacturer = {} if layout.company is None else {layout.company: data}
    services = {} if layout.service is None else {layout.service: data}
    Listeners(driver.setup).take(address, NO_RSSI, manufacturer, services, sink)
    yield from sink.found


def _by_named_format(data: bytes, points: list[Point], name: str, sender: _Sender) -> Found:
    try:
        report = formats.load(name).decode(sender.address, data, sender.key)
    except BadAnswer as error:
        yield error
        return
    for point in points:
        wanted = Wanted(point, _checked(BlePoint, point.options).reading or "")
        for reading in report.readings:
            if reading.point == wanted.reading:
                _, value, quality = wanted.take(reading)
                yield Reading(point.name, value, point.unit, quality)
    if report.error is not None:
        yield report.error


def _checked(model: type[Checked], raw: object) -> Checked:
    try:
        return model.model_validate(raw, context="file")
    except ValidationError as error:
        problems = [("--profile", f"{'.'.join(map(str, one['loc']))}: {one['msg']}", None) for one in error.errors()]
        raise SetupError(problems) from None
