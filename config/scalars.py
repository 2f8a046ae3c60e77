"""The kinds of values that the tables of a configuration hold, each with its bounds."""

# ruff: noqa: TRY004 - pydantic takes a ValueError, and no TypeError, for a finding

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeGuard
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BeforeValidator, StrictBool, ValidationInfo, WithJsonSchema

from config.suggest import nearest
from config.units import DAY, DURATION_PATTERN, SECOND, duration_between

ID_PATTERN = r"^[a-z0-9-]{1,32}$"
ID_HINT = 'a name is 1 to 32 of a-z, 0-9 and "-"'
LAMP_PATTERN = r"^[A-Za-z0-9_:][A-Za-z0-9_.:+-]{0,62}$"  # LED_MAX_NAME_SIZE of Linux is 64; no path leads elsewhere
MIN_EVERY = 20  # ms; a Modbus request of 8 bytes and its answer take 17 ms at 9600 baud, and no street asset is faster
MAX_EVERY = DAY  # a point read less often than daily looks dead to everything behind it
MAX_PATH_BYTES = 4095  # PATH_MAX of Linux without its closing zero
MAX_TEXT = 128  # characters of a label, unit, asset id: each travels in every catalogue
MAX_LABELS = 32  # labels of one device, for the same reason
MAX_DIGITS = 18  # significant digits that a 64-bit integer always holds
MIN_EXPONENT = -18  # finest decimal place of a number: 10**18 still fits a 64-bit integer
MAX_NUMBER = 10**18  # largest number, for the same reason
MIN_RAW = -(2**63)  # int64, the lowest register value there is
MAX_RAW = 2**64 - 1  # uint64, the highest
MAX_SENTINELS = 16  # "no value" codes of one point; datasheets name up to four

REGISTERS = ("uint8", "uint16", "uint24", "uint32", "uint64")  # what counters are held in, and run over

_LOCAL_ZONES = ("localtime", "posixrules", "Factory")  # files of the zone folder that name no place


@dataclass(frozen=True, slots=True)
class Loading:
    """Said to the validators while a file is loaded: relative paths start at `folder`."""

    folder: Path


def number(value: object) -> Decimal:
    """An exact finite decimal of bounded digits; raises `ValueError`."""
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number, without quotes")
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError("must be a finite number")
    if not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise ValueError("must be between -1e18 and 1e18")
    exact = Decimal(value) if value else Decimal(0)
    exponent = exact.as_tuple().exponent
    if len(exact.as_tuple().digits) > MAX_DIGITS + 1 or not isinstance(exponent, int) or exponent < MIN_EXPONENT:
        raise ValueError(f"must have at most {MAX_DIGITS} digits, {-MIN_EXPONENT} of them behind the point")
    return exact


def whole(value: object) -> int:
    """An integer that a 64-bit register can hold; raises `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")
    if not MIN_RAW <= value <= MAX_RAW:
        raise ValueError("must fit into 64 bits")
    return value


def is_identifier(value: object) -> TypeGuard[str]:
    """Whether `value` is an id or name."""
    return isinstance(value, str) and re.fullmatch(r"[a-z0-9-]{1,32}", value) is not None


def identifier(value: object) -> str:
    """An id or name; raises `ValueError` with the rule."""
    if not is_identifier(value):
        raise ValueError(ID_HINT)
    return value


def plain_text(value: object) -> str:
    """Printable text, 1 to `MAX_TEXT` characters."""
    if not isinstance(value, str):
        raise ValueError("must be text in quotes")
    if not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
        raise ValueError(f"must be 1 to {MAX_TEXT} printable characters")
    return value


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path):
        raise ValueError("must be a path in quotes")
    text = str(value)
    if not text or "\0" in text or len(text.encode(errors="surrogateescape")) > MAX_PATH_BYTES:
        raise ValueError(f"must be a path of 1 to {MAX_PATH_BYTES} bytes")
    return info.context.folder / text if isinstance(info.context, Loading) else Path(text)


def _percent_or_number(value: object) -> Decimal | str:
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%", value) if isinstance(value, str) else None
    if match:
        if not 0 < Decimal(match[1]) <= 100:
            raise ValueError("a percentage must be above 0% and at most 100%")
        return match[0]
    if isinstance(value, str):
        raise ValueError('must be a number in the unit of the point, or a percentage such as "2%"')
    exact = number(value)
    if exact < 0:
        raise ValueError("must not be negative")
    return exact


def _sentinels(value: object) -> tuple[int, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    if len(values) > MAX_SENTINELS:
        raise ValueError(f"must be at most {MAX_SENTINELS} raw values")
    return tuple(whole(item) for item in values)


def _rollover(value: object) -> Decimal | str:
    if isinstance(value, str):
        if value not in REGISTERS:
            raise ValueError(f"must be a number in the unit of the point, or one of {', '.join(REGISTERS)}")
        return value
    exact = number(value)
    if exact <= 0:
        raise ValueError("must be above 0")
    return exact


def _place(value: object) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("must be [latitude, longitude] in degrees, for example [43.589, -79.644]")
    latitude, longitude = (float(number(part)) for part in value)
    if not -90 <= latitude <= 90:
        raise ValueError("the latitude comes first and lies between -90 and 90 degrees")
    if not -180 <= longitude <= 180:
        raise ValueError("the longitude comes second and lies between -180 and 180 degrees")
    return latitude, longitude


def _zone(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError('must be the name of a time zone, for example "America/Toronto"')
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = False
    else:
        known = value not in _LOCAL_ZONES
    if not known:
        raise ValueError(f"is no known time zone; {_zone_hint(value)}")
    return value


def _zone_hint(name: str) -> str:
    zones = sorted(available_timezones())
    city = next((zone for zone in zones if zone.rpartition("/")[2].lower() == name.lower()), name)
    return nearest(city, zones, cutoff=0.75) or 'a known one is, for example, "America/Toronto"'


def _lamp(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(LAMP_PATTERN, value):
        raise ValueError('must be the name of a folder in /sys/class/leds, for example "ACT"')
    return value


def _labels(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError('must be a table, for example { street = "Main" }')
    if len(value) > MAX_LABELS:
        raise ValueError(f"must be at most {MAX_LABELS} labels")
    for key, text in value.items():
        if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", key):
            raise ValueError('the name of a label is 1 to 32 of a-z, A-Z, 0-9, "_" and "-"')
        if not isinstance(text, str) or len(text) > MAX_TEXT or not text.isprintable():
            raise ValueError(f'label "{key}" must be at most {MAX_TEXT} printable characters in quotes')
    return value


def _expected(value: object) -> bool | str | Decimal:
    return plain_text(value) if isinstance(value, str) else value if isinstance(value, bool) else number(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


_DURATION: dict[str, Any] = {"type": "string", "pattern": DURATION_PATTERN}

Id = Annotated[str, BeforeValidator(identifier), WithJsonSchema({"type": "string", "pattern": ID_PATTERN})]
Text = Annotated[
    str, BeforeValidator(plain_text), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_TEXT})
]
Unit = Annotated[str, BeforeValidator(lambda v: v if v == "" else plain_text(v)), WithJsonSchema({"type": "string"})]
Number = Annotated[Decimal, BeforeValidator(number), WithJsonSchema({"type": "number"})]
FilePath = Annotated[Path, BeforeValidator(_path), WithJsonSchema({"type": "string", "minLength": 1})]
Deadband = Annotated[
    Decimal | str,
    BeforeValidator(_percent_or_number),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^[0-9.]+%$"}]}),
]
Rollover = Annotated[
    Decimal | str,
    BeforeValidator(_rollover),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"enum": list(REGISTERS)}]}),
]
Sentinels = Annotated[
    tuple[int, ...],
    BeforeValidator(_sentinels),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}),
]
Place = Annotated[
    tuple[float, float],
    BeforeValidator(_place),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]
Zone = Annotated[str, BeforeValidator(_zone), WithJsonSchema({"type": "string"})]
Lamp = Annotated[str, BeforeValidator(_lamp), WithJsonSchema({"type": "string", "pattern": LAMP_PATTERN})]
Labels = Annotated[
    dict[str, str],
    BeforeValidator(_labels),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}),
]
Flag = Annotated[StrictBool, BeforeValidator(_flag)]
Expected = Annotated[bool | str | Decimal, BeforeValidator(_expected)]
Every = Annotated[int, BeforeValidator(duration_between(MIN_EVERY, MAX_EVERY)), WithJsonSchema(_DURATION)]
Interval = Annotated[int, BeforeValidator(duration_between(0, 7 * DAY)), WithJsonSchema(_DURATION)]
WindowLength = Annotated[int, BeforeValidator(duration_between(SECOND, DAY)), WithJsonSchema(_DURATION)]
