"""A three-phase energy meter with the input registers of an Eastron SDM630 and three counters of its own."""

from drivers.simulated.quantity import Quantity, count_up, wave
from drivers.simulated.unit import Unit

# Eastron SDM630Modbus Protocol Implementation V1.8, 1.2.1.
_PHASES = ("l1", "l2", "l3")


def meter(name: str, number: int) -> Unit:
    """The meter `name` as unit `number`."""
    quantities = [
        *(_float(f"{name}/voltage-{p}", 2 * i, 230.0, 4.0, 2.1 * i) for i, p in enumerate(_PHASES)),
        *(_float(f"{name}/current-{p}", 6 + 2 * i, 12.0, 5.0, 2.1 * i) for i, p in enumerate(_PHASES)),
        *(_float(f"{name}/power-{p}", 12 + 2 * i, 2700.0, 900.0, 2.1 * i) for i, p in enumerate(_PHASES)),
        *(_float(f"{name}/power-factor-{p}", 30 + 2 * i, 0.95, 0.04, 2.1 * i) for i, p in enumerate(_PHASES)),
        _float(f"{name}/power", 52, 8100.0, 2700.0),
        _float(f"{name}/apparent-power", 56, 8500.0, 2800.0),
        _float(f"{name}/reactive-power", 60, 400.0, 300.0),
        _float(f"{name}/power-factor", 62, 0.95, 0.04),
        _float(f"{name}/frequency", 70, 50.0, 0.1),
        Quantity(f"{name}/energy-import", 72, "float32", lambda n: 1234.5 + n / 512),
        Quantity(f"{name}/energy-export", 74, "float32", lambda n: 17.25 + n / 4096),
        Quantity(f"{name}/energy", 342, "float32", lambda n: 1251.75 + n / 512),
        Quantity(f"{name}/pulses", 512, "uint32", count_up(4_000_000_000)),
        Quantity(f"{name}/energy-wh", 514, "uint64", count_up(2**53 + 1, 7)),
        Quantity(f"{name}/phase-angle", 518, "int16", lambda n: n % 3600 - 1800, digits=1),
    ]
    return Unit(number, inputs=tuple(quantities), ranges=((0, 80), (342, 344), (512, 520)))


def _float(point: str, address: int, middle: float, swing: float, phase: float = 0.0) -> Quantity:
    return Quantity(point, address, "float32", wave(middle, swing, 300, phase))
