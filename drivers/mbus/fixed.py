"""The fixed data structure (EN 1434-3; EN 13757-3:2004): two counters and what they count."""

from drivers.mbus import values
from drivers.mbus.records import Bytes, Record
from drivers.mbus.units import Meaning
from drivers.mbus.values import NoValue
from ext import GOOD, SENSOR_FAULT, Value

COUNTER_BYTES = 4
BINARY, STORED = 0x01, 0x02  # bits of the status: counters are binary, not BCD; they are of the fixed day, not of now
_SAME_BUT_HISTORIC = 0x3E

MEDIA = (
    "other", "oil", "electricity", "gas", "heat", "steam", "warm water", "water", "heat cost allocator", "reserved",
    "gas", "heat", "warm water", "water", "heat cost allocator", "reserved",
)  # fmt: skip

# The first code of each unit, which is followed by ten and a hundred times it (EN 13757-3:2004)
_LADDERS = {
    0x02: ("energy", "Wh", 0), 0x05: ("energy", "Wh", 3), 0x08: ("energy", "Wh", 6),
    0x0B: ("energy", "J", 3), 0x0E: ("energy", "J", 6), 0x11: ("energy", "J", 9),
    0x14: ("power", "W", 0), 0x17: ("power", "W", 3), 0x1A: ("power", "W", 6),
    0x1D: ("power", "J/h", 3), 0x20: ("power", "J/h", 6), 0x23: ("power", "J/h", 9),
    0x26: ("volume", "m3", -6), 0x29: ("volume", "m3", -3), 0x2C: ("volume", "m3", 0),
    0x2F: ("volume-flow", "m3/h", -6), 0x32: ("volume-flow", "m3/h", -3), 0x35: ("volume-flow", "m3/h", 0),
}  # fmt: skip

_UNITS: dict[int, Meaning] = {
    **{first + n: Meaning(name, unit, e + n) for first, (name, unit, e) in _LADDERS.items() for n in range(3)},
    0x38: Meaning("temperature", "Cel", -3),
    0x39: Meaning("heat-cost-units"),
    0x3F: Meaning("dimensionless"),
}


def counters(rest: Bytes, status: int, *, backwards: bool) -> tuple[str, tuple[Record, ...]]:
    """The medium, and both counters. Raises `Malformed`."""
    units = rest.take(2, "the units")[:: -1 if backwards else 1]
    first, second = (unit & 0x3F for unit in units)
    medium = MEDIA[units[1] >> 6 << 2 | units[0] >> 6]
    stored = 1 if status & STORED else 0
    made = [_counter(rest, first, status, stored, backwards=backwards)]
    historic = second == _SAME_BUT_HISTORIC
    made.append(_counter(rest, first if historic else second, status, 1 if historic else stored, backwards=backwards))
    return medium, tuple(made)


def _counter(rest: Bytes, unit: int, status: int, storage: int, *, backwards: bool) -> Record:
    data = rest.take(COUNTER_BYTES, "a counter")[:: -1 if backwards else 1]
    meaning = _UNITS.get(unit) or Meaning(f"unit-{unit:02x}")
    value: Value = None
    quality = GOOD
    try:
        raw = values.unsigned(data) if status & BINARY else values.bcd(data)
        value = values.scaled(raw, meaning.exponent)
    except NoValue:
        quality = SENSOR_FAULT
    return Record(meaning.quantity, value, meaning.unit, storage=storage, quality=quality)
