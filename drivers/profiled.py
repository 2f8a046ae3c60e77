"""Decoding captured bytes by a profile: the driver's own path, with a sink that yields readings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from config import Bus, Config, Device, Gateway, Profile
from drivers.base import Driver, Sink
from drivers.conformance import Heard
from drivers.decoding import Reading
from drivers.errors import BadAnswer, DeviceError, SetupError
from drivers.setup import prepare
from ext import unpack

_NAME = "captured"


class Capturing(Protocol):
    """A driver that takes captured bytes."""

    def capture(self, data: bytes, sink: Sink) -> None:
        """Decode `data`, which begins where a device began to speak, as the live path would."""


@dataclass
class _Readings(Heard):
    """Keeps readings and errors in their order."""

    found: list[Reading | DeviceError] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._units = [p.point.unit for device in self.setup.devices for p in device.points]

    def failed(self, device: str, error: DeviceError) -> None:  # noqa: ARG002 - there is one
        """Keep the error."""
        self.found.append(error)

    def stranger(self, description: str) -> None:
        """What is nobody's is an error here: there is one device only."""
        self.found.append(BadAnswer(description))

    def _keep(self) -> None:
        for number, _, value, quality in unpack([self._packer.commit()]):
            name = self._names[number].partition("/")[2]
            self.found.append(Reading(name, value, self._units[number], quality))
        self._packer.reset()


def by_profile(
    name: str, kind: type[Driver], data: bytes, profile: Profile | None, bus: Mapping[str, str] | None = None
) -> Iterator[Reading | DeviceError]:
    """What `data` says to the points of `profile`; raises `SetupError` without one, or when it is another driver's.

    `bus` are the options of the bus, of a serial port unless said otherwise.
    """
    if profile is None:
        raise SetupError([("--profile", "these bytes say nothing by themselves: name the profile's file", None)])
    if profile.driver != name:
        raise SetupError([("--profile", f"is not of the driver {name}", profile.driver)])
    driver = prepare(_installation(profile, {"port": "/dev/null"} if bus is None else bus), lambda _: kind)[0]
    sink = _Readings(driver.setup)
    cast("Capturing", driver).capture(data, sink)
    yield from sink.found


def _installation(profile: Profile, options: Mapping[str, str]) -> Config:
    """One device of the model on a bus that is never opened."""
    points = {name: point.model_copy(update={"id": f"{_NAME}/{name}"}) for name, point in profile.points.items()}
    bus = Bus(id=_NAME, driver=profile.driver, options=dict(options))
    device = Device(id=_NAME, bus=_NAME, points=points, options=profile.options)
    gateway = Gateway(id=_NAME, site=_NAME)
    return Config(gateway=gateway, buses={_NAME: bus}, devices={_NAME: device})
