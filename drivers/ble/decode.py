"""`lamppost decode ble`: what one advertisement says, by a profile or by whichever format it is."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from config import Profile, load_profile
from drivers.base import Options, Sink
from drivers.ble import formats
from drivers.ble.advertisements import Listeners
from drivers.ble.driver import BleDriver
from drivers.ble.formats.session import Wanted
from drivers.ble.options import Advertisement, BleDevice, BlePoint
from drivers.decoding import Reading
from drivers.errors import BadAnswer, DeviceError, SetupError
from drivers.profiled import by_profile

PROFILES = Path(__file__).parent / "profiles"
ANYBODY = "00:00:00:00:00:00"  # stands for the sender where no address is given
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
    elif sender.company is None and sender.service is None:
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
    points = {name: point for name, point in profile.points.items() if "source" not in point.options}
    options = {"address": sender.address or ANYBODY, **profile.options}
    profile = profile.model_copy(update={"points": points, "options": options})
    device = _checked(BleDevice, options) if profile.driver == "ble" else None
    if device is not None and device.format is not None:
        found = _by_named_format(data, profile, device.format, sender)
    else:
        layout = None if device is None else device.advertisement
        found = by_profile("ble", _capturing(layout, sender), data, profile, {})
    for one in found:
        yield replace(one, format=profile.name) if isinstance(one, Reading) else one


def _by_named_format(data: bytes, profile: Profile, name: str, sender: _Sender) -> Found:
    try:
        report = formats.load(name).decode(sender.address, data, sender.key)
    except BadAnswer as error:
        yield error
        return
    for point in profile.points.values():
        wanted = Wanted(point, _checked(BlePoint, point.options).reading or "")
        for reading in report.readings:
            if reading.point == wanted.reading:
                _, value, quality = wanted.take(reading)
                yield Reading(point.name, value, point.unit, quality)
    if report.error is not None:
        yield report.error


def _capturing(layout: Advertisement | None, sender: _Sender) -> type[BleDriver]:
    """A driver that takes the bytes as those of `sender`, or of whom the layout names."""
    company, service = sender.company, sender.service
    if company is None and service is None and layout is not None:
        company, service = layout.company, layout.service

    class Capturing(BleDriver):
        def capture(self, data: bytes, sink: Sink) -> None:
            if layout is not None and (company, service) != (layout.company, layout.service):
                sink.failed("captured", BadAnswer(f"the bytes are of {sender}; the profile is of {layout}"))
                return
            manufacturer = {} if company is None else {company: data}
            services = {} if service is None else {service: data}
            Listeners(self.setup).take(sender.address or ANYBODY, NO_RSSI, manufacturer, services, sink)

    return Capturing


def _checked(model: type[Checked], raw: object) -> Checked:
    try:
        return model.model_validate(raw, context="file")
    except ValidationError as error:
        problems = [("--profile", f"{'.'.join(map(str, one['loc']))}: {one['msg']}", None) for one in error.errors()]
        raise SetupError(problems) from None
