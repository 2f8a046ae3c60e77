"""Tries the settings that a bus may have, the usual ones first, in a time that is known before."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from drivers.modbus.bus import AsciiBus, BusOptions, RtuBus, RtuOverTcpBus
from drivers.modbus.client import Client
from drivers.modbus.identity import Line
from drivers.modbus.search import (
    Candidate,
    Fitting,
    Found,
    Manners,
    Present,
    first_question,
    identify,
    manners,
    units,
)
from drivers.modbus.transport import client

BAUDS = (9600, 19200, 38400, 115200, 4800, 2400, 57600, 1200)  # those that devices are shipped with first
NEAR = 16  # nearly every unit has one of the first numbers: they are tried at every setting before the others are


@dataclass(frozen=True, slots=True)
class Step:
    """Some units at one setting."""

    options: BusOptions
    units: tuple[int, ...]

    @property
    def seconds(self) -> float:
        """How long it takes when nobody answers."""
        asked = client(self.options)
        return sum(asked.patience(first_question(unit)) for unit in self.units) / 1000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the sweep is."""

    options: BusOptions
    unit: int
    found: int
    seconds_left: float


def formats(port: str, timeout: int, bauds: Sequence[int], *, ascii_frames: bool) -> list[BusOptions]:
    """The settings of a serial port in their order. Two stop bits reach devices with one as well (see `RtuBus`)."""
    rtu = [("none", 2), ("even", 1), ("odd", 1)]
    made: list[BusOptions] = []
    for baud in bauds:
        common = {"port": port, "baud": baud, "timeout": timeout}
        if ascii_frames:
            for bits, parity, stop in ((7, "even", 1), (7, "odd", 1), (7, "none", 2), (8, "none", 1)):
                text = {"transport": "ascii", "data_bits": bits, "parity": parity, "stop_bits": stop}
                made.append(AsciiBus.model_validate(common | text))
        else:
            for parity, stop in rtu:
                made.append(RtuBus.model_validate(common | {"transport": "rtu", "parity": parity, "stop_bits": stop}))
    return made


def steps(settings: Sequence[BusOptions], numbers: Sequence[int]) -> list[Step]:
    """The near units at every setting, then the others at every setting."""
    near, far = tuple(n for n in numbers if n <= NEAR), tuple(n for n in numbers if n > NEAR)
    if len(settings) == 1:
        return [Step(settings[0], (*near, *far))]
    return [Step(one, part) for part in (near, far) if part for one in settings]


@dataclass(frozen=True, slots=True)
class Hit:
    """A unit, and the setting at which it was found."""

    options: BusOptions
    found: Found
    every_unit: bool = False
    """The host answers to every number: this one stands for all."""


class Sweep:
    """Runs the steps until units are found, then looks for others at that setting alone."""

    def __init__(
        self, planned: Sequence[Step], candidates: Sequence[Candidate], tell: Callable[[Progress], None],
        *, all_settings: bool = False,
    ) -> None:  # fmt: skip
        self._left = list(planned)
        self._candidates = candidates
        self._tell = tell
        self._all = all_settings
        self._count = 0

    @property
    def seconds(self) -> float:
        """How long what is left takes when nobody answers."""
        return sum(step.seconds for step in self._left)

    async def run(self) -> AsyncIterator[Hit]:
        """What is found, as it is found; raises `BusError`."""
        while self._left:
            step = self._left.pop(0)
            answered = False
            async for hit in self._step(step):
                answered = answered or not hit.found.present.garbled
                yield hit
            if answered and not self._all:
                self._left = [one for one in self._left if one.options == step.options]

    async def _step(self, step: Step) -> AsyncIterator[Hit]:
        asked = client(step.options)
        behind, left = self.seconds, step.seconds
        part = left / len(step.units)
        await asked.open()
        try:
            host = Manners() if _is_line(step.options) else await manners(asked)
            if host.deaf and len(step.units) > 1:
                yield Hit(step.options, await self._learn(step, asked, Present(step.units[0])), every_unit=True)
                return
            async for unit, present in units(asked, step.units, host.absent):
                left -= part
                self._tell(Progress(step.options, unit, self._count, behind + left))
                if present is not None:
                    self._count += not present.garbled
                    yield Hit(step.options, await self._learn(step, asked, present))
        finally:
            await asked.close()

    async def _learn(self, step: Step, asked: Client, present: Present) -> Found:
        if present.garbled:
            return Found(present)
        texts = await identify(asked, present.unit)
        fitting = Fitting(asked, present.unit, texts, line_of(step.options))
        return Found(present, texts, await fitting.judge(self._candidates))


def line_of(options: BusOptions) -> Line | None:
    """The serial settings, where there are some of ours."""
    if isinstance(options, RtuBus | AsciiBus):
        return Line(baud=options.baud, parity=options.parity, stop_bits=options.stop_bits)
    return None


def _is_line(options: BusOptions) -> bool:
    return isinstance(options, RtuBus | AsciiBus | RtuOverTcpBus)
