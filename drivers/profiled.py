"""One device of a profile's model without any device: the driver's own path, with a sink that yields readings."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from config import Bus, Config, Device, Gateway, Profile, load_profile
from drivers.base import Driver, Sink
from drivers.conformance import Heard
from drivers.decoding import STEP, Reading
from drivers.errors import BadAnswer, DeviceError, SetupError
from drivers.setup import prepare
from ext import quality_class, unpack

STAND_IN = "captured"
"""The name of the bus and of the device."""

NO_PORT = {"port": "/dev/null"}
"""The options of a serial bus that is never opened."""


class Capturing(Protocol):
    """A driver that takes captured bytes."""

    def capture(self, data: bytes, sink: Sink) -> Iterator[None]:
        """Decode `data`, which begins where a device began to speak, as the live path would; a part of it a step."""


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
    """What `data` says to the points of `profile`; raises `SetupError` when that is another driver's.

    Without one it is that of the driver's own, with a checksum, which understands the most; raises where none does.
    """
    if profile is None:
        profile = _fitting(name, kind, data)
    if profile.driver != name:
        raise SetupError([("--profile", f"is not of the driver {name}", profile.driver)])
    driver = stand_in(kind, profile, NO_PORT, {}, profile.points)
    sink = Readings(driver.setup)
    for _ in cast("Capturing", driver).capture(data, sink):
        yield from sink.found
        sink.found.clear()


def _fitting(name: str, kind: type[Driver], data: bytes) -> Profile:
    files = sorted(kind.profiles.glob("*.toml")) if kind.profiles is not None else []
    known = [profile for profile in map(load_profile, files) if "checksum" in profile.options]
    scores = [_understood(name, kind, data[:STEP], profile) for profile in known]
    if max(scores, default=0) <= 0:
        names = ", ".join(profile.name for profile in known)
        told = f"the bytes fit no profile that is known by its checksum ({names}): name the profile's file"
        raise SetupError([("--profile", told, None)])
    return known[scores.index(max(scores))]


def _understood(name: str, kind: type[Driver], data: bytes, profile: Profile) -> int:
    """How many values the profile reads, less what it cannot read."""
    try:
        found = list(by_profile(name, kind, data, profile))
    except SetupError:  # it asks for more than a capture says
        return 0
    return sum(1 if isinstance(one, Reading) and quality_class(one.quality) == 0 else -1 for one in found)


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
