"""Where a unit that does not answer may be by mistake: another address, or another rate of the line."""

from collections.abc import Awaitable, Callable, Collection, Iterator

from drivers.errors import ExceptionAnswer, NoAnswer
from drivers.modbus.pdu import Request

UNITS = range(1, 248)  # Modbus over Serial Line V1.02, 2.2
NEAR = (1, -1, 2, -2, 3, -3, 100, -100)
ABSENT = (10, 11)  # exceptions of gateways for units that are not there: Modbus Application Protocol V1.1b3, 7
RATES = (9600, 19200, 4800, 38400, 2400, 115200, 57600, 1200)
"""By how often devices have them, from the factory and after."""


def units(wrong: int, taken: Collection[int]) -> Iterator[int]:
    """All addresses but those `taken`, the likeliest first: near `wrong`, misread, from the factory, then the rest."""
    digits = f"{wrong:d}"
    likely = [wrong + step for step in NEAR]
    likely += [int(digits[::-1]), int(digits, 16), int(f"{wrong:x}", 10) if f"{wrong:x}".isdigit() else 0, 1, 247]
    for unit in dict.fromkeys([*likely, *UNITS]):
        if unit in UNITS and unit not in taken:
            yield unit


async def answered(ask: Callable[[Request], Awaitable[object]], request: Request) -> None:
    """Return when a unit answers, by an exception of its own as well; raises `DeviceError` and `BusError` as `ask`."""
    try:
        await ask(request)
    except ExceptionAnswer as error:
        if error.code in ABSENT:
            raise NoAnswer(str(error)) from error
