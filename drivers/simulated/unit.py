"""A simulated unit: four tables of quantities, each read of them fresh."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from drivers.simulated.log import Served
from drivers.simulated.quantity import Quantity, covered

COILS, DISCRETES, HOLDINGS, INPUTS = 1, 2, 3, 4  # function codes: Modbus Application Protocol V1.1b3, 6.1 to 6.4


@dataclass(slots=True)
class Unit:
    """Answers reads within `ranges` (first, behind last); `writable` is the registers that may be set, with limits."""

    number: int
    inputs: tuple[Quantity, ...] = ()
    holdings: tuple[Quantity, ...] = ()
    coils: tuple[Quantity, ...] = ()
    discretes: tuple[Quantity, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    writable: dict[int, int] = field(default_factory=dict)
    _reads: int = 0
    _written: dict[int, int] = field(default_factory=dict)

    def knows(self, address: int, count: int) -> bool:
        """Whether a read of these addresses is legal."""
        return any(first <= address and address + count <= end for first, end in self.ranges)

    def read(self, function: int, address: int, count: int) -> list[int]:
        """Registers or bits as they are now; unused ones are 0. Each call finds new values."""
        cells = [0] * count
        for quantity in covered(self._table(function), address, count):
            place = quantity.address - address
            if quantity.type == "bool":
                cells[place] = int(quantity.source(self._reads))
            elif function == HOLDINGS and quantity.address in self._written:
                cells[place] = self._written[quantity.address]
            else:
                cells[place : place + quantity.count] = quantity.registers(self._reads)
        self._reads += 1
        return cells

    def write(self, address: int, values: Sequence[int]) -> bool:
        """Set holding registers; False, and nothing set, when one of them may not be or is over its limit."""
        wanted = {address + i: value for i, value in enumerate(values)}
        if any(value > self.writable.get(place, -1) for place, value in wanted.items()):
            return False
        self._written |= wanted
        return True

    def served(self, function: int, address: int, cells: Sequence[int]) -> list[tuple[str, Served]]:
        """The (point, value) pairs that an answer with these registers or bits says."""
        return [
            (q.point, _value(q, cells[q.address - address : q.address - address + q.count]))
            for q in covered(self._table(function), address, len(cells))
        ]

    def _table(self, function: int) -> tuple[Quantity, ...]:
        return {COILS: self.coils, DISCRETES: self.discretes, HOLDINGS: self.holdings, INPUTS: self.inputs}[function]


def _value(quantity: Quantity, cells: Sequence[int]) -> Served:
    return bool(cells[0]) if quantity.type == "bool" else quantity.value(cells)
