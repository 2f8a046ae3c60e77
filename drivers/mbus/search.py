"""Finds meters on a line: each primary address in turn, or digit by digit (EN 13757-7, wild cards)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from drivers.errors import BadAnswer, DeviceError, NoAnswer
from drivers.mbus.frames import MAX_PRIMARY
from drivers.mbus.master import Master, Target
from drivers.mbus.telegram import Telegram

DIGITS = 8  # of a meter's number
ANY = "F"
COLLISION = "several meters answer at once"


@dataclass(frozen=True, slots=True)
class Found:
    """A meter that answers: its first telegram, or why that could not be read. `address` is None for one by number."""

    address: int | None
    identification: str
    telegram: Telegram | None = None
    error: str = ""


async def primary(master: Master, first: int = 0, last: int = MAX_PRIMARY) -> AsyncIterator[Found]:
    """Meters by their primary addresses; raises `BusError`. One that is absent takes 190 ms at 2400 baud."""
    for address in range(first, last + 1):
        target = Target(address)
        try:
            await master.reach(target, tries=1)
        except NoAnswer:
            continue
        except BadAnswer:  # acknowledgements that fell on each other: ask all the same
            pass
        yield await _ask(master, target, Found(address, ""))


async def secondary(master: Master, mask: str = "") -> AsyncIterator[Found]:
    """Meters by their numbers: those that begin with `mask`; several at once are told apart digit by digit."""
    target = Target(None, mask.ljust(DIGITS, ANY))
    try:
        await master.reach(target, tries=1)
    except NoAnswer:
        return
    except BadAnswer:
        pass
    found = await _ask(master, target, Found(None, target.identification))
    if found.error == COLLISION and len(mask) < DIGITS:
        for digit in "0123456789":
            async for deeper in secondary(master, mask + digit):
                yield deeper
    else:
        yield found


async def _ask(master: Master, target: Target, found: Found) -> Found:
    """What answers at `target`."""
    try:
        telegram = await master.request(target, tries=2)
    except (NoAnswer, BadAnswer) as error:
        damaged = isinstance(error, NoAnswer) or str(error).startswith("M-Bus: ")
        return Found(found.address, found.identification, None, COLLISION if damaged else str(error))
    except DeviceError as error:
        return Found(found.address, found.identification, None, str(error))
    return Found(found.address, telegram.header.identification or found.identification, telegram)
