"""SunSpec maps: finds the chain of models that a device holds, and reads them. No I/O: a survey is a generator.

It yields what to read of the holding registers and is sent the bytes, or is thrown the `DeviceError` that came instead.
INF is the SunSpec Device Information Model Specification 1.1.
"""

import struct
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field

from drivers.errors import DeviceError, ExceptionAnswer, NotSunSpec
from drivers.modbus.pdu import ADDRESSES, MAX_REGISTERS
from drivers.modbus.planner import Group, Range, Span, divide, extent, plan
from drivers.modbus.sunspec_layout import Model, Place, Registers, lay_out
from drivers.modbus.sunspec_models import Definition, Definitions

BASES = (40000, 50000, 0)  # where a map may begin: INF, Modbus device maps; devices prefer the first
MARKER = b"SunS"  # its first two registers
END = 0xFFFF  # in place of the id of a model: no more models
MAX_MODELS = 256  # of one chain; devices with a dozen are large, and each costs a request
MAX_REQUESTS = 2000  # of one survey: minutes on a slow line; a device that refuses half of its registers takes some 500

Walk = Generator[Range, bytes, None]
"""Yields first register and count, and is sent the registers."""

_WORDS = struct.Struct(">HH")


@dataclass(slots=True)
class Map:
    """What a device holds, as far as it was found."""

    base: int = 0
    models: list[Model] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    registers: Registers = field(default_factory=dict)
    """Those that places have and the device gave."""
    fault: str = ""
    """Why the chain, or the reading, ended before its end."""


class Survey:
    """One search at one device. `found` grows while `walk` runs."""

    def __init__(
        self, definitions: Definitions, bases: Sequence[int] = BASES, max_registers: int = MAX_REGISTERS
    ) -> None:
        self.found = Map()
        self._definitions = definitions
        self._bases = bases
        self._cap = max_registers
        self._left = MAX_REQUESTS

    def walk(self) -> Walk:
        """Look for the map, follow the chain, read the models that are defined; raises `NotSunSpec`.

        A `DeviceError` ends it where it is no `ExceptionAnswer`, once the map is found.
        """
        self.found.base = yield from self._base()
        yield from self._chain()
        for model in self.found.models:
            definition = self._definitions.get(model.id)
            if definition is not None:
                yield from self._model(model, definition)

    def _ask(self, first: int, count: int) -> Generator[Range, bytes, bytes]:
        self._left -= 1
        return (yield first, count)

    def _base(self) -> Generator[Range, bytes, int]:
        said = []
        for base in self._bases:
            try:
                data = yield from self._ask(base, 2)
            except DeviceError as error:
                said.append(f"{base}: {error}")
                continue
            if data == MARKER:
                return base
            said.append(f"{base}: other data")
        raise NotSunSpec(f"no SunSpec map ({'; '.join(said)})")

    def _chain(self) -> Walk:
        """Each model begins behind the one before it, so none overlap and the table's end ends the chain."""
        at = self.found.base + 2
        while not self.found.fault:
            if at + 2 > ADDRESSES:
                self.found.fault = "the chain runs beyond the last register"
                return
            number, length = yield from self._head(at)
            if number == END:
                return
            model = Model(number, at, length)
            self.found.fault = self.found.fault or self._fault(model)
            if not self.found.fault:
                self.found.models.append(model)
            at = model.end

    def _head(self, at: int) -> Generator[Range, bytes, tuple[int, int]]:
        """Id and length; some devices have no register behind the id that ends the chain."""
        try:
            number, length = _WORDS.unpack((yield from self._ask(at, 2)))
        except DeviceError as error:
            number, length, refused = 0, 0, error
        else:
            return number, length
        if isinstance(refused, ExceptionAnswer):
            try:
                number = int.from_bytes((yield from self._ask(at, 1)), "big")
            except DeviceError as error:
                refused = error
        if number != END:
            self.found.fault = f"no model can be read at register {at}: {refused}"
        return number, length

    def _fault(self, model: Model) -> str:
        if len(self.found.models) == MAX_MODELS:
            return f"the chain has more than {MAX_MODELS} models"
        if model.id == 0:
            return f"no model at register {model.address}, and no end of the chain"
        if model.end > ADDRESSES:
            return f"model {model.id} at register {model.address} claims {model.length} registers, beyond the last one"
        return ""

    def _model(self, model: Model, definition: Definition) -> Walk:
        """Its fixed part, which says how often groups repeat, then the rest."""
        places: list[Place] = []
        for _ in range(2):
            places = lay_out(model, definition, self.found.registers)
            yield from self._read(place for place in places if place.address not in self.found.registers)
        self.found.places += places

    def _read(self, places: Iterable[Place]) -> Walk:
        """All that the device gives of them: what it refuses is halved until single places stand alone."""
        groups = plan((Span(p.address, p.field.size, str(p.address)) for p in places), self._cap, 0)
        groups.reverse()
        while groups:
            if self._left <= 0:
                self.found.fault = self.found.fault or f"more than {MAX_REQUESTS} requests; not all was read"
                return
            group = groups.pop()
            try:
                data = yield from self._ask(*extent(group))
            except ExceptionAnswer:
                groups += reversed(_parts(group))
            else:
                first, count = extent(group)
                self.found.registers.update(enumerate(struct.unpack(f">{count}H", data), first))


def _parts(group: Group) -> list[Group]:
    parts = divide(group)
    return parts if len(parts) > 1 else []
