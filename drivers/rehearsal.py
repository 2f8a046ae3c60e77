"""The tests that stand in a profile, run by the driver's own path."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic import Field

from config import Point, Profile, ProfileTest
from drivers import registry
from drivers.base import Driver, Sink, Vector
from drivers.conformance import exact_text
from drivers.decoding import Decode, Reading
from drivers.errors import BadAnswer, DeviceError, SetupError
from drivers.profiled import NO_PORT, STAND_IN, Readings, stand_in
from drivers.setup import Found, check_options
from ext import BAD, GOOD, Value, describe, quality_class


class Recording(Vector):
    """What came, in the notation of the driver's recordings; `bus` and `device` are options it needs beside it."""

    recording: str
    bus: dict[str, Any] = Field(default_factory=dict)
    device: dict[str, Any] = Field(default_factory=dict)

    def stand_in(self, kind: type[Driver]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The options as they are, and a port where the driver wants one."""
        serial = "port" in kind.BusOptions.model_fields and "host" not in kind.BusOptions.model_fields
        return {**(NO_PORT if serial else {}), **self.bus}, self.device

    def feed(self, driver: Driver, sink: Sink) -> None:
        """Replay it."""
        driver.replay(self.recording, sink)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a test came to: nothing, or what differs."""

    test: ProfileTest
    faults: tuple[str, ...] = field(default=())


def judge(kind: type[Driver], profile: Profile) -> Found:
    """What the driver finds wrong in a profile: the keys of its points, its tests and `identify`."""
    problems: Found = []
    check_options(kind.IdentifyOptions, profile.identify, "identify", frozenset(), problems)
    for name, point in profile.points.items():
        check_options(kind.PointOptions, point.options, f"points.{name}", Point.keys(), problems)
    for number, test in enumerate(profile.tests):
        _vector(kind, test, f"tests[{number}]", problems)
    return problems


def rehearse(kind: type[Driver], profile: Profile) -> Iterator[Outcome]:
    """Run each test of the profile; raises `SetupError`, with the profile's key paths, for what `judge` finds."""
    if problems := judge(kind, profile):
        raise SetupError(problems)
    for number, test in enumerate(profile.tests):
        vector = _vector(kind, test, f"tests[{number}]", [])
        if vector is not None:
            yield Outcome(test, tuple(_faults(test, hear(kind, profile, vector, test.names))))


def hear(kind: type[Driver], profile: Profile, vector: Vector, names: tuple[str, ...]) -> list[Reading | DeviceError]:
    """What the points `names` say of `vector`; raises `SetupError` with the profile's key paths."""
    bus, device = vector.stand_in(kind)
    try:
        driver = stand_in(kind, profile, bus, device, names)
    except SetupError as error:
        own = f"devices.{STAND_IN}."
        raise SetupError(
            [(path.removeprefix(own), message, found) for path, message, found in error.problems]
        ) from None
    sink = Readings(driver.setup)
    try:
        vector.feed(driver, sink)
    except DeviceError as error:
        sink.found.append(error)
    return sink.found


def decoder(name: str, where: dict[str, object]) -> Decode:
    """A decoder of bytes of a driver's devices that stood at `where` (in the keys of its tests), by a profile.

    Raises `UnknownDriver`, and `SetupError` when the driver's bytes have no such place.
    """
    kind = registry.load(name)
    options = kind.VectorOptions
    if options is None:
        raise SetupError([("decode", f"bytes of {name} say by themselves what they are", None)])

    def decode(data: bytes, profile: Profile | None) -> Iterator[Reading | DeviceError]:
        if profile is None or profile.driver != name:
            raise SetupError([("--profile", f"is needed, one of the driver {name}", profile and profile.driver)])
        problems: Found = []
        vector = check_options(options, options.keys_of(data, where), "", frozenset(), problems)
        if vector is None:
            raise SetupError(problems)
        names = _covered(kind, profile, vector)
        yield from hear(kind, profile, vector, names) if names else [BadAnswer("no point of the profile lies there")]

    return decode


def _covered(kind: type[Driver], profile: Profile, vector: Vector) -> tuple[str, ...]:
    """The points that the vector holds whole."""
    alone = {name: hear(kind, profile, vector, (name,)) for name in profile.points}
    return tuple(name for name, found in alone.items() if any(isinstance(one, Reading) for one in found))


def _vector(kind: type[Driver], test: ProfileTest, path: str, problems: Found) -> Vector | None:
    return check_options(kind.VectorOptions or Recording, test.given, path, ProfileTest.keys(), problems)


def _faults(test: ProfileTest, found: list[Reading | DeviceError]) -> Iterator[str]:
    """How what was heard differs from what the document says; of a point that spoke twice its last word counts."""
    yield from (str(one) for one in found if not isinstance(one, Reading))
    last = {one.point: one for one in found if isinstance(one, Reading)}
    for name, expected in test.values.items():
        said = last.get(name)
        if said is None:
            yield f"{name} says nothing, expected {_shown(expected)}"
        elif said.quality != GOOD or not _same(expected, said.value):
            yield f"{name} is {_shown(said.value)} ({describe(said.quality)}), expected {_shown(expected)}"
    for name in test.missing:
        said = last.get(name)
        if said is None:
            yield f"{name} says nothing, expected no value"
        elif quality_class(said.quality) != BAD:
            yield f"{name} is {_shown(said.value)} ({describe(said.quality)}), expected no value"


def _same(expected: bool | str | Decimal, value: Value) -> bool:
    """Exactly; a binary fraction to the digits that the document prints."""
    if isinstance(value, float) and isinstance(expected, Decimal):
        exponent = expected.as_tuple().exponent
        return isinstance(exponent, int) and abs(Decimal(value) - expected) <= Decimal(5).scaleb(exponent - 1)
    return isinstance(value, bool) == isinstance(expected, bool) and value == expected


def _shown(value: Value) -> str:
    text = exact_text(value)
    return "no value" if text is None else text
