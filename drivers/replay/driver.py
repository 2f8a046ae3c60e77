"""A bus that is a recording: the real driver decodes it, at the pace at which it was recorded, or faster."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

from pydantic import BeforeValidator, Field

from config import Bus
from drivers import registry
from drivers.base import BusSetup, Driver, ListeningDriver, Options, Read, Sink
from drivers.errors import BusError, DriverError, SetupError, UnknownDriver
from drivers.profiled import NO_PORT
from drivers.recording import Recorded, RecordingError, exchanges, load, parse
from drivers.setup import check_options

MAX_SPEED = 100_000  # times: a day in a second; what is faster is no pace any more
REST_S = 1.0  # between two rounds of a recording that is repeated: a short one must not fill the buffer

Speed = Annotated[float, BeforeValidator(float), Field(gt=0, le=MAX_SPEED)]


class ReplayBus(Options):
    """`[buses.x]`: which recording of which driver."""

    of: str = Field(min_length=1, max_length=64)
    file: str = Field(min_length=1, max_length=4095, pattern="^[^\x00]+$")
    speed: Speed = 1.0
    """How many times faster than it was recorded."""
    repeat: Annotated[bool, Field(strict=True)] = False
    bus: dict[str, Any] = Field(default_factory=dict)
    """The options of the recorded bus that decide how bytes are read, such as `transport`."""


class ReplayDriver(ListeningDriver):
    """Plays to one driver, which never opens its bus. `serving` makes the class for it."""

    BusOptions = ReplayBus
    kind: ClassVar[type[Driver] | None] = None
    """The driver played to."""

    @classmethod
    def serving(cls, options: dict[str, Any]) -> type[Driver]:
        """The class that takes the devices and points of the driver `of`; raises `UnknownDriver`."""
        of = options.get("of")
        if not isinstance(of, str):
            return cls  # what is wrong with it, the options say
        kind = registry.load(of)
        if issubclass(kind, cls):
            raise UnknownDriver("a recording is of another driver than replay")
        own = {"kind": kind, "DeviceOptions": kind.DeviceOptions, "PointOptions": kind.PointOptions}
        return type(cls.__name__, (cls,), {**own, "__module__": cls.__module__, "__doc__": cls.__doc__})

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self._options = cast("ReplayBus", setup.options)
        if self.kind is None:
            raise SetupError([(f"buses.{setup.bus.id}.of", "names no driver", self._options.of)])
        self._inner = self.kind(BusSetup(setup.bus, _inner_options(self.kind, setup, self._options), setup.devices))
        if Path(self._options.file).is_file():
            try:
                load(Path(self._options.file))
            except RecordingError as error:
                raise SetupError([(f"buses.{setup.bus.id}.file", str(error), self._options.file)]) from error

    def reads(self) -> Sequence[Read]:
        """Those of the driver played to, which are not asked for."""
        return [replace(read, every=0) for read in self._inner.reads()]

    async def open(self) -> None:
        """Read the file; raises `BusError`."""
        try:
            await asyncio.to_thread(load, Path(self._options.file))
        except RecordingError as error:
            raise BusError(str(error)) from error

    async def close(self) -> None:
        """Nothing is open."""

    async def listen(self, sink: Sink) -> None:
        """Play it once, or again and again; then be silent until cancelled."""
        recorded = await asyncio.to_thread(load, Path(self._options.file))
        await self._play(recorded, sink)
        while self._options.repeat and recorded:
            await asyncio.sleep(REST_S)
            await self._play(recorded, sink)
        await asyncio.get_running_loop().create_future()

    def replay(self, recording: str, sink: Sink) -> None:
        """All of a recording of frames with or without times; raises `RecordingError`."""
        for exchange in exchanges(list(parse(recording))):
            self._feed(exchange, sink)

    async def _play(self, recorded: Sequence[Recorded], sink: Sink) -> None:
        loop = asyncio.get_running_loop()
        began, first = loop.time(), recorded[0].at if recorded else 0.0
        for exchange in exchanges(recorded):
            due = began + (exchange[-1].at - first) / self._options.speed
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._feed(exchange, sink)

    def _feed(self, exchange: Sequence[Recorded], sink: Sink) -> None:
        try:
            self._inner.replay(self._inner.recording([(one.sent, one.data) for one in exchange]), sink)
        except DriverError as error:
            sink.stranger(f"a recorded exchange that cannot be read: {error}")


def _inner_options(kind: type[Driver], setup: BusSetup, options: ReplayBus) -> Options:
    """The options of the recorded bus, with places in it that are never looked for; raises `SetupError`."""
    model = kind.BusOptions.variant(options.bus)
    nowhere = {"host": "recorded"} if "host" in model.model_fields else NO_PORT
    given = {key: value for key, value in nowhere.items() if key in model.model_fields} | options.bus
    problems: list[tuple[str, str, object]] = []
    made = check_options(kind.BusOptions, given, f"buses.{setup.bus.id}.bus", Bus.keys(), problems)
    if made is None or problems:
        raise SetupError(problems)
    return made
