"""What a P1 telegram says: objects by OBIS code, channels by the kind of meter behind them. Sans-IO."""

import re
from dataclasses import dataclass

from drivers.errors import BadAnswer
from drivers.obis import FAULT, WRONG, DataObject, Quantity, hex_text, number, objects, plain_text

# Kinds of meters on the channels 0-n (device types of EN 13757-7, in decimal digits; DSMR 5.0.2 P1)
EQUIPMENT = {"electricity": 2, "gas": 3, "heat": 4, "warm-water": 6, "water": 7}

_CHANNEL = re.compile(r"0-([1-9]):(.+)")
_TIME = re.compile(r"[0-9]{10}(?:[0-9]{2})?[SW]?")  # YYMMDDhhmmss, with S in summer time, W else; DSMR 3 has no letter
_CODE = re.compile(r"[0-9]-[0-9]{1,2}:[0-9.]+")
_DATA_NOT_VALID = 0x04  # of the status of a DSMR 3 reading: its meter says that it is none


@dataclass(frozen=True, slots=True)
class Telegram:
    """The objects of one telegram, in order."""

    identification: str
    objects: tuple[DataObject, ...]

    def find(self, code: str, equipment: int | None = None) -> DataObject | None:
        """The object of a code; `n` in `0-n:` is the channel of this kind of equipment.

        Two different objects of one code are a contradiction, and none of them is found: raises `BadAnswer`.
        """
        if equipment is not None:
            channel = self._channel(equipment)
            return None if channel is None else self.find(code.replace("n", channel, 1))
        found = {one for one in self.objects if one.code == code}
        if len(found) > 1:
            raise BadAnswer(f"P1 telegram: two objects {code}")
        return next(iter(found), None)

    def _channel(self, equipment: int) -> str | None:
        """The channel with this kind of equipment; after a meter was exchanged, that which was read last."""
        channels = [
            match[1]
            for one in self.objects
            if (match := _CHANNEL.fullmatch(one.code)) and match[2] == "24.1.0" and _kind(one) == equipment
        ]
        return max(channels, key=lambda channel: (self._read_at(channel), channel), default=None)

    def _read_at(self, channel: str) -> str:
        """When the meter on a channel was read; less than any time where it never was."""
        times = (one.groups[0] for one in self.objects if one.code.startswith(f"0-{channel}:24.2."))
        return max((time for time in times if _TIME.fullmatch(time)), default="")


def parse(text: str) -> Telegram:
    """A telegram from "/" to "!"; raises `BadAnswer` for one that holds anything but objects."""
    identification, *lines = text.removesuffix("!").splitlines()
    try:
        found = objects([line.strip() for line in lines if line.strip()])
    except BadAnswer as error:
        raise BadAnswer(f"P1 telegram: {error}") from None
    return Telegram(identification[1:], tuple(_channel_value(one) for one in found))


def measured(one: DataObject) -> Quantity:
    """The number of an object: its only value, or that behind the time it was read at."""
    if len(one.groups) == 2 and _TIME.fullmatch(one.groups[0]):
        return number(one.groups[1])
    return number(one.groups[0]) if len(one.groups) == 1 else WRONG


def time(one: DataObject) -> Quantity:
    """The time that an object was read at, as sent: local time, S in summer, W else."""
    found = one.groups[0]
    return (plain_text(found) if _TIME.fullmatch(found) else WRONG) if found else FAULT


def text(one: DataObject) -> Quantity:
    """Text that was sent in hex."""
    return hex_text(one.groups[0]) if len(one.groups) == 1 else WRONG


def plain(one: DataObject) -> Quantity:
    """The characters between the parentheses."""
    return plain_text(one.groups[0]) if len(one.groups) == 1 else WRONG


READ = {"number": measured, "time": time, "text": text, "plain": plain}
"""How an object is read."""


def _kind(one: DataObject) -> int | None:
    kind = one.groups[0]
    return int(kind) if kind.isascii() and kind.isdigit() and len(kind) <= 3 else None


def _channel_value(one: DataObject) -> DataObject:
    """`0-n:24.3.0(time)(status)(minutes)(1)(0-n:24.2.1)(m3)(value)` of DSMR 2.2 and 3 as `0-n:24.2.1(time)(value*m3)`.

    That is how later versions say it; a value that its status calls not valid is left empty.
    """
    if not one.code.endswith(":24.3.0") or len(one.groups) != 7:
        return one
    when, status, _, _, code, unit, value = one.groups
    if not _CODE.fullmatch(code) or not re.fullmatch(r"[0-9A-Fa-f]{1,2}", status):
        return one
    valid = not int(status, 16) & _DATA_NOT_VALID
    return DataObject(code, (when, f"{value}*{unit}" if value and valid else ""))
