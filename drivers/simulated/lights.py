"""A street light: a level to write, the level it has, its lamp's temperature, counters, and what is on or faulty."""

from drivers.simulated.quantity import Quantity, count_up, sweep
from drivers.simulated.unit import Unit

LEVEL = 12  # holding register that dims the lamp, tenths of a percent
MAX_LEVEL = 1000


def light(name: str, number: int) -> Unit:
    """The street light `name` as unit `number`."""
    state = count_up(0, 8)  # bit 3 and the three bits above it move with each read
    return Unit(
        number,
        inputs=(
            Quantity(f"{name}/actual-level", 0, "uint16", sweep(300, MAX_LEVEL), digits=1),
            Quantity(f"{name}/temperature", 1, "int16", sweep(-120, 650), digits=1),
            Quantity(f"{name}/burning-time", 2, "uint32", count_up(12_345_678)),
            Quantity(f"{name}/energy", 4, "uint64", count_up(9_876_543_210, 3), low_first=True),
            Quantity(f"{name}/dimmed", 8, "uint16", lambda n: int(state(n)) & 0xFFFF, bit=3),
            Quantity(f"{name}/mode", 8, "uint16", lambda n: int(state(n)) & 0xFFFF, bit=4, bits=3),
        ),
        holdings=(Quantity(f"{name}/level", LEVEL, "uint16", sweep(0, MAX_LEVEL), digits=1),),
        coils=(Quantity(f"{name}/on", 0, "bool", lambda n: n % 2),),
        discretes=(Quantity(f"{name}/fault", 0, "bool", lambda n: n // 2 % 2),),
        ranges=((0, 16),),
        writable={LEVEL: MAX_LEVEL},
    )
