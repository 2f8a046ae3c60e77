"""What electricity meters share: OBIS codes, units, and the data sets `code(value*unit)` of IEC 62056-21. Sans-IO."""

import re
from dataclasses import dataclass
from decimal import Decimal

from drivers.errors import BadAnswer
from ext import BAD_ANSWER, GOOD, SENSOR_FAULT, Value

MAX_DIGITS = 18  # of one number: what a 64-bit integer holds whatever they are

Quantity = tuple[Value, str, int]
"""Value, unit and quality; without a value and unit unless the quality is good."""

FAULT: Quantity = (None, "", SENSOR_FAULT)
WRONG: Quantity = (None, "", BAD_ANSWER)

_PREFIXES = {"": 0, "k": 3, "M": 6}
_BASES = ("W", "Wh", "var", "varh", "VA", "VAh", "V", "A")
_POWERS = {prefix + base: (base, power) for base in _BASES for prefix, power in _PREFIXES.items()} | {
    "J": ("J", 0), "kJ": ("J", 3), "MJ": ("J", 6), "GJ": ("J", 9),
    "m3": ("m3", 0), "dm3": ("m3", -3), "l": ("m3", -3), "L": ("m3", -3),
    "mA": ("A", -3), "mV": ("V", -3), "GWh": ("Wh", 9),
}  # fmt: skip
_SPELLINGS = {name.lower(): name for name in _POWERS if name not in ("mA", "mV", "MJ", "L")} | {
    "hz": "Hz", "s": "s", "min": "min", "h": "h", "c": "Cel", "\N{DEGREE SIGN}c": "Cel", "%": "%",
}  # fmt: skip

_DATA_SET = re.compile(r"([^()\s]{0,24})\(([^()]{0,2048})\)")  # text messages of P1 are 2048 digits (DSMR 4.2.2 P1)
_NUMBER = re.compile(r"([+-]? *[0-9]+(?:[.,][0-9]*)?)(?:\*([^*()]{1,16}))?")


@dataclass(frozen=True, slots=True)
class DataObject:
    """One object of a meter: its code in `normal` form, and what stands in its parentheses."""

    code: str
    groups: tuple[str, ...]


def normal(code: str) -> str:
    """An OBIS code as it is compared: `*255` (no storage number, IEC 62056-61) left out, `&` written as `*`."""
    return code.replace("&", "*").removesuffix("*255")


def unit_of(text: str) -> str:
    """The unit (SenML, else UCUM) that a meter means, whatever case it writes it in; one that is not known as it is."""
    return _SPELLINGS.get(text.strip().lower(), text.strip())


def shift(meter: str, point: str) -> int | None:
    """The power of ten from a number in the unit `meter` to one in `point`; None when they measure different things."""
    if meter == point:
        return 0
    ours, theirs = _POWERS.get(point), _POWERS.get(meter)
    if ours is None or theirs is None or ours[0] != theirs[0]:
        return None
    return theirs[1] - ours[1]


def objects(lines: list[str]) -> list[DataObject]:
    """The objects of a data block; one may go on in the next line. Raises `BadAnswer` for a line that is none."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        end = 0
        for match in _DATA_SET.finditer(line):
            if match.start() != end or not (match[1] or found):
                break
            end = match.end()
            if match[1]:
                found.append((normal(match[1]), []))
            found[-1][1].append(match[2])
        if end != len(line):
            raise BadAnswer("a line that is no data set")
    return [DataObject(code, tuple(groups)) for code, groups in found]


def number(group: str) -> Quantity:
    """`value*unit` exactly; an empty one is a fault."""
    match = _NUMBER.fullmatch(group.strip())
    if match is None:
        return WRONG if group.strip() else FAULT
    if sum(map(str.isdigit, match[1])) > MAX_DIGITS:
        return WRONG
    return Decimal(match[1].replace(",", ".").replace(" ", "")), unit_of(match[2] or ""), GOOD


def hex_text(group: str) -> Quantity:
    """Text that is sent as pairs of hex digits (P1 companion standard: octet strings)."""
    try:
        text = bytes.fromhex(group).decode("latin-1")
    except ValueError:
        return WRONG
    return (text, "", GOOD) if text else FAULT


def plain_text(group: str) -> Quantity:
    """The characters as they are sent."""
    return (group, "", GOOD) if group else FAULT
