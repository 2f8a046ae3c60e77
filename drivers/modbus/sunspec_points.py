"""What a field of a SunSpec model is to us: a Modbus point of a configuration, and the value it has now.

INF is the SunSpec Device Information Model Specification 1.1, point types; its "not implemented" is our sentinel.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from math import isnan
from typing import Any

from drivers.modbus import values
from drivers.modbus.point import MAX_VALUES, PointOptions
from drivers.modbus.raw import bits_at, number_of
from drivers.modbus.sunspec_layout import HEAD, Place
from drivers.numbers import Scaling
from ext import GOOD, Value

TYPES = {
    "int16": "int16", "uint16": "uint16", "count": "uint16", "acc16": "uint16", "enum16": "uint16",
    "bitfield16": "uint16", "sunssf": "int16",
    "int32": "int32", "uint32": "uint32", "acc32": "uint32", "enum32": "uint32", "bitfield32": "uint32",
    "int64": "int64", "uint64": "uint64", "acc64": "uint64",
    "float32": "float32", "float64": "float64", "string": "string",
}  # fmt: skip
"""Our types; addresses (`ipaddr`, `ipv6addr`, `eui48`) are no points, and `pad` is nothing."""

SENTINELS = {
    "int16": 0x8000, "uint16": 0xFFFF, "count": 0xFFFF, "acc16": 0, "enum16": 0xFFFF, "bitfield16": 0xFFFF,
    "sunssf": 0x8000,
    "int32": 0x80000000, "uint32": 0xFFFFFFFF, "acc32": 0, "enum32": 0xFFFFFFFF, "bitfield32": 0xFFFFFFFF,
    "int64": 0x8000000000000000, "uint64": 0xFFFFFFFFFFFFFFFF, "acc64": 0,
}  # fmt: skip
"""Not implemented: INF. That of floats is NaN, that of strings NUL: both are no values anyway."""

UNITS = {
    "A": "A", "V": "V", "W": "W", "Hz": "Hz", "VA": "VA", "var": "var", "Var": "var",
    "Wh": "Wh", "WH": "Wh", "kWh": "kWh", "VAh": "VAh", "varh": "varh", "Varh": "varh", "Ah": "Ah", "AH": "Ah",
    "C": "Cel", "Secs": "s", "Sec": "s", "mSecs": "ms", "Degrees": "deg", "deg": "deg", "cos()": "1", "PF": "1",
    "Pct": "%", "VNomPct": "%", "WMaxPct": "%", "VarPct": "%", "%WHRtg": "%",
    "W/m2": "W/m2", "W/m^2": "W/m2", "HPa": "hPa", "mps": "m/s", "m/s": "m/s", "meters": "m", "mm": "mm",
    "ohms": "Ohm", "V/s": "V/s", "A/s": "A/s", "W/s": "W/s", "Hz/s": "Hz/s", "bps": "bit/s", "Mbps": "Mbit/s",
}  # fmt: skip
"""Of SunSpec's models to SenML (RFC 8428, RFC 8798) and UCUM; others are too vague to be one."""

MAX_NAME = 32  # characters of the name of a point
STATIC = "1d"  # how often what never changes is read: a new firmware tells its version by tomorrow

Config = dict[str, Any]


def config(place: Place) -> Config | None:
    """The point as a configuration has it, in the order to write it; None for what is no point of ours."""
    field = place.field
    kind = TYPES.get(field.type)
    if kind is None:
        return None
    made: Config = {"table": "holding", "register": place.address, "type": kind}
    if kind == "string":
        made["length"] = field.size
    if place.scale is not None:
        made["scale_register"] = place.scale
    elif isinstance(field.scale, int) and field.scale:
        made["scale"] = Decimal(1).scaleb(field.scale)
    if field.type in SENTINELS:
        made["sentinel"] = SENTINELS[field.type]
    names = _names(place) if field.type.startswith("enum") else {}
    if names and "scale_register" not in made:
        made["values"] = names
    if unit := unit_of(field.units):
        made["unit"] = unit
    if field.type.startswith("acc"):
        plain = "scale" not in made and "scale_register" not in made
        made["counter"] = {"rollover": kind} if plain else {}
    if field.static:
        made["every"] = STATIC
    return made


def unit_of(units: str) -> str:
    """Ours for a unit of SunSpec; "" for one that is none."""
    if units.startswith("%") and "/" not in units:
        return "%"
    return UNITS.get(units, "")


def value(place: Place, registers: Mapping[int, int]) -> Value:
    """What the registers say, exactly, with its scale; None where it is not implemented, or was not read."""
    made = config(place)
    words = [registers.get(place.address + at) for at in range(place.field.size)]
    if made is None or None in words:
        return None
    data = b"".join((word or 0).to_bytes(2, "big") for word in words)
    where = PointOptions.model_validate({key: made[key] for key in made if key in _OURS})
    scaling = Scaling(made.get("scale", Decimal(1)), Decimal(0), (made["sentinel"],) if "sentinel" in made else ())
    if where.stored == "string":
        return values.text(where, data) or None
    if where.values is not None:
        return values.named(where, scaling, data, place.address)[0]
    if where.scale_register is not None:
        return values.scaled(where, scaling, data, place.address, _exponent(registers.get(where.scale_register)))[0]
    return _number(where, scaling, data, place.address)


_OURS = ("table", "register", "type", "length", "scale_register", "values")


def _exponent(word: int | None) -> int | None:
    return None if word is None else word - 0x10000 if word & 0x8000 else word


def _number(where: PointOptions, scaling: Scaling, data: bytes, first: int) -> Value:
    layout = where.layout(first)
    bits = bits_at(layout, data)
    if bits in scaling.sentinels:
        return None
    number = number_of(layout, bits)
    if isinstance(number, float):
        return None if isnan(number) else number
    return scaling.apply(number, GOOD)[0]


def _names(place: Place) -> dict[int, str]:
    """The names of an enumeration; a few models name a value, or use a name, twice: the first counts."""
    names: dict[int, str] = {}
    for number, name in place.field.symbols:
        if number not in names and name and name not in names.values() and len(names) < MAX_VALUES:
            names[number] = name
    return names


def is_wanted(place: Place, registers: Mapping[int, int], everything: bool = False) -> bool:
    """Whether a configuration should have it: it was read, and is measured here.

    That is what every device must have, which may have no value at night, and what has one now; no settings.
    `everything` takes those as well, and what has no value.
    """
    field = place.field
    if place.address < place.model.address + HEAD or field.type not in TYPES or field.type == "sunssf":
        return False
    if place.address not in registers:
        return False
    return everything or (not field.writable and (field.mandatory or value(place, registers) is not None))


def named(places: Iterable[Place]) -> Iterator[tuple[str, Place]]:
    """Each place with the name of its point: `103-w`, `160-module-2-dcv`; `203-2-w` of a second model 203."""
    models: defaultdict[int, list[int]] = defaultdict(list)
    used: set[str] = set()
    for place in places:
        model = place.model
        if model.address not in models[model.id]:
            models[model.id].append(model.address)
        nth = len(models[model.id])
        parts = (str(model.id), *((str(nth),) if nth > 1 else ()), *place.path, place.field.name)
        name = slug("-".join(parts))
        if len(name) > MAX_NAME or name in used:  # vendors' models may; the register is unique
            end = f"-{place.address}"
            name = name[: MAX_NAME - len(end)].rstrip("-") + end
        used.add(name)
        yield name, place


def slug(text: str) -> str:
    """`text` in the characters that names of a configuration have."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")
