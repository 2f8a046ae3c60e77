"""One device of a profile's model without any device: the driver's own path, with a sink that yields readings."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from config import Bus, Config, Device, Gateway, Profile
from drivers.base import Driver, Sink
from drivers.conformance import Heard
from drivers.decoding import Reading
from drivers.errors import BadAnswer, DeviceError, SetupError
from drivers.setup import prepare
from ext import unpack

STAND_IN = "captured"
"""The name of the bus and of the device."""

NO_PORT = {"port": "/dev/null"}
"""The options of a serial bus that is never opened."""


class Capturing(Protocol):
    """A driver that takes captured bytes."""

    def capture(self, data: bytes, sink: Sink) -> None:
        """Decode `data`, which begins where a device began to speak, as the live path would."""


@dataclass
class Readings(Heard):
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


def by_profile(name: str, kind: type[Driver], data: bytes, profile: Profile | None) -> Iterator[Reading | DeviceError]:
    """What `data` says to the points of `profile`; raises `SetupError` without one, or when it is another driver's."""
    if profile is None:
        raise SetupError([("--profile", "these bytes say nothing by themselves: name the profile's file", None)])
    if profile.driver != name:
        raise SetupError([("--profile", f"is not of the driver {name}", profile.driver)])
    driver = stand_in(kind, profile, NO_PORT, {}, profile.points)
    sink = Readings(driver.setup)
    cast("Capturing", driver).capture(data, sink)
    yield from sink.found


def stand_in(
    kind: type[Driver], profile: Profile, bus: dict[str, Any], device: dict[str, Any], names: Collection[str]
) -> Driver:
    """A driver with one device of the model on a bus that is never opened, and of its points those in `names`.

    Raises `SetupError` as for a configuration.
    """
    points = {name: profile.points[name] for name in profile.points if name in names}
    points = {name: point.model_copy(update={"id": f"{STAND_IN}/{name}"}) for name, point in points.items()}
    options = {**profile.options, **device}
    config = Config(
        gateway=Gateway(id=STAND_IN, site=STAND_IN),
        buses={STAND_IN: Bus(id=STAND_IN, driver=profile.driver, options=bus)},
        devices={STAND_IN: Device(id=STAND_IN, bus=STAND_IN, points=points, options=options)},
    )
    return prepare(config, lambda _: kind)[0]
