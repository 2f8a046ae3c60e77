"""What a value information field says (EN 13757-3:2018, 6.4): which quantity, unit and power of ten."""

from dataclasses import dataclass, replace
from enum import StrEnum

_DURATIONS = (("s", 1), ("s", 60), ("s", 3600), ("s", 86400))  # nn: seconds, minutes, hours, days
MONTHS, YEARS = "mo", "a"  # UCUM; they have no fixed number of seconds


class Kind(StrEnum):
    """How the data of a quantity is read."""

    NUMBER = "number"  # signed
    CODE = "code"  # unsigned: flags, numbers that name something
    TIME = "time"
    MAKER = "maker"


@dataclass(frozen=True, slots=True)
class Meaning:
    """A quantity by name; value = data * factor * 10**exponent in `unit` (UCUM or SenML)."""

    quantity: str
    unit: str = ""
    exponent: int = 0
    factor: int = 1
    kind: Kind = Kind.NUMBER

    def times(self, exponent: int) -> "Meaning":
        """The same with another power of ten on top."""
        return replace(self, exponent=self.exponent + exponent)


def _decades(first: int, count: int, quantity: str, unit: str, exponent: int, factor: int = 1) -> dict[int, Meaning]:
    return {first + n: Meaning(quantity, unit, exponent + n, factor) for n in range(count)}


def _durations(first: int, quantity: str, units: tuple[tuple[str, int], ...] = _DURATIONS) -> dict[int, Meaning]:
    return {first + n: Meaning(quantity, unit, 0, factor) for n, (unit, factor) in enumerate(units)}


def _codes(names: dict[int, str]) -> dict[int, Meaning]:
    return {code: Meaning(name, kind=Kind.CODE) for code, name in names.items()}


# EN 13757-3:2018, table 10
PRIMARY: dict[int, Meaning] = {
    **_decades(0x00, 8, "energy", "Wh", -3),
    **_decades(0x08, 8, "energy", "J", 0),
    **_decades(0x10, 8, "volume", "m3", -6),
    **_decades(0x18, 8, "mass", "kg", -3),
    **_durations(0x20, "on-time"),
    **_durations(0x24, "operating-time"),
    **_decades(0x28, 8, "power", "W", -3),
    **_decades(0x30, 8, "power", "J/h", 0),
    **_decades(0x38, 8, "volume-flow", "m3/h", -6),
    **_decades(0x40, 8, "volume-flow", "m3/h", -7, 60),
    **_decades(0x48, 8, "volume-flow", "m3/h", -9, 3600),
    **_decades(0x50, 8, "mass-flow", "kg/h", -3),
    **_decades(0x58, 4, "flow-temperature", "Cel", -3),
    **_decades(0x5C, 4, "return-temperature", "Cel", -3),
    **_decades(0x60, 4, "temperature-difference", "K", -3),
    **_decades(0x64, 4, "external-temperature", "Cel", -3),
    **_decades(0x68, 4, "pressure", "bar", -3),
    0x6C: Meaning("date", kind=Kind.TIME),
    0x6D: Meaning("time-point", kind=Kind.TIME),
    0x6E: Meaning("heat-cost-units"),
    **_durations(0x70, "averaging-duration"),
    **_durations(0x74, "actuality-duration"),
    **_codes({0x78: "fabrication-number", 0x79: "identification", 0x7A: "bus-address"}),
}

# EN 13757-3:2018, table 14 (after FD)
FD: dict[int, Meaning] = {
    **_decades(0x00, 4, "credit", "", -3),
    **_decades(0x04, 4, "debit", "", -3),
    **_codes({
        0x08: "access-number", 0x09: "medium", 0x0B: "parameter-set", 0x0C: "model", 0x0D: "hardware-version",
        0x0E: "firmware-version", 0x0F: "software-version", 0x10: "customer-location", 0x11: "customer",
        0x12: "access-code-user", 0x13: "access-code-operator", 0x14: "access-code-system-operator",
        0x15: "access-code-developer", 0x16: "password", 0x17: "error-flags", 0x18: "error-mask",
        0x1A: "digital-output", 0x1B: "digital-input", 0x1C: "baud-rate", 0x1D: "response-delay", 0x1E: "retries",
        0x1F: "remote-control", 0x20: "first-storage", 0x21: "last-storage", 0x22: "storage-block-size",
        0x2A: "operator-data", 0x61: "cumulation-counter", 0x62: "control-signal", 0x63: "day-of-week",
        0x60: "reset-counter", 0x64: "week-number", 0x66: "activation-state", 0x67: "supplier-information",
        0x72: "daylight-saving", 0x75: "stop-counter",
    }),
    0x0A: Meaning("manufacturer", kind=Kind.MAKER),
    **_durations(0x24, "storage-interval", (*_DURATIONS, (MONTHS, 1), (YEARS, 1))),
    0x2B: Meaning("time-point-second", "s", kind=Kind.CODE),
    **_durations(0x2C, "since-readout"),
    0x30: Meaning("tariff-start", kind=Kind.TIME),
    **_durations(0x31, "tariff-duration", _DURATIONS[1:]),
    **_durations(0x34, "tariff-period", (*_DURATIONS, (MONTHS, 1), (YEARS, 1))),
    0x3A: Meaning("dimensionless"),
    **_durations(0x3C, "transmission-period"),
    **_decades(0x40, 16, "voltage", "V", -9),
    **_decades(0x50, 16, "current", "A", -12),
    0x65: Meaning("day-change", kind=Kind.TIME),
    **_durations(0x68, "since-cumulation", (*_DURATIONS[2:], (MONTHS, 1), (YEARS, 1))),
    **_durations(0x6C, "battery-operating-time", (*_DURATIONS[2:], (MONTHS, 1), (YEARS, 1))),
    0x70: Meaning("battery-change", kind=Kind.TIME),
    0x71: Meaning("signal-level", "dBm"),
    0x74: Meaning("battery-remaining", "s", 0, 86400),
}  # fmt: skip

# EN 13757-3:2018, table 12 (after FB); what that of 2004 had in feet, gallons and degrees Fahrenheit is left out:
# newer meters may mean something else by these codes.
FB: dict[int, Meaning] = {
    **_decades(0x00, 2, "energy", "Wh", 5),
    **_decades(0x02, 2, "reactive-energy", "varh", 3),
    **_decades(0x04, 2, "apparent-energy", "VAh", 3),
    **_decades(0x08, 2, "energy", "J", 8),
    **_decades(0x0C, 4, "energy", "cal", 5),
    **_decades(0x10, 2, "volume", "m3", 2),
    **_decades(0x14, 4, "reactive-power", "var", 0),
    **_decades(0x18, 2, "mass", "kg", 5),
    **_decades(0x1A, 2, "relative-humidity", "%RH", -1),
    **_decades(0x28, 2, "power", "W", 5),
    0x2A: Meaning("phase-voltage", "deg", -1),
    0x2B: Meaning("phase-current", "deg", -1),
    **_decades(0x2C, 4, "frequency", "Hz", -3),
    **_decades(0x30, 2, "power", "J/h", 8),
    **_decades(0x34, 4, "apparent-power", "VA", 0),
    **_decades(0x74, 4, "temperature-limit", "Cel", -3),
    **_decades(0x78, 8, "cumulated-maximum-power", "W", -3),
}

# Combinable extensions that change what a value means (EN 13757-3:2018, table 15); a point names those it wants.
MODIFIERS: dict[int, str] = {
    0x12: "average", 0x13: "inverse-compact-profile", 0x14: "relative-deviation", 0x1D: "standard-conform",
    0x1E: "compact-profile-with-registers", 0x1F: "compact-profile", 0x20: "per-second", 0x21: "per-minute",
    0x22: "per-hour", 0x23: "per-day", 0x24: "per-week", 0x25: "per-month", 0x26: "per-year", 0x27: "per-revolution",
    0x28: "per-input-pulse-0", 0x29: "per-input-pulse-1", 0x2A: "per-output-pulse-0", 0x2B: "per-output-pulse-1",
    0x2C: "per-litre", 0x2D: "per-cubic-metre", 0x2E: "per-kilogram", 0x2F: "per-kelvin", 0x30: "per-kilowatt-hour",
    0x31: "per-gigajoule", 0x32: "per-kilowatt", 0x33: "per-kelvin-litre", 0x34: "per-volt", 0x35: "per-ampere",
    0x36: "times-second", 0x37: "times-second-per-volt", 0x38: "times-second-per-ampere", 0x39: "start",
    0x3A: "uncorrected", 0x3B: "positive", 0x3C: "negative", 0x40: "lower-limit", 0x41: "exceeds-lower",
    0x48: "upper-limit", 0x49: "exceeds-upper", 0x7E: "future",
}  # fmt: skip

# Combinable extensions after FC (EN 13757-3:2018, table 16)
PHASES: dict[int, str] = {0x01: "l1", 0x02: "l2", 0x03: "l3", 0x04: "n", 0x05: "l1-l2", 0x06: "l2-l3", 0x07: "l3-l1"}

# Extensions by which a meter says that a record holds no value (EN 13757-3:2018, table 18: record errors)
RECORD_ERRORS = frozenset((*range(0x01, 0x08), *range(0x0B, 0x10), *range(0x15, 0x19), 0x1C))

# A multiplying correction 10**(nnn-6), and one of 1000 (EN 13757-3:2018, table 15)
CORRECTIONS: dict[int, int] = {**{0x70 + n: n - 6 for n in range(8)}, 0x7D: 3}

QUANTITIES: frozenset[str] = frozenset(meaning.quantity for table in (PRIMARY, FD, FB) for meaning in table.values())

_SCALES = {"m": -3, "": 0, "k": 3, "M": 6, "G": 9}
_TIMES = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_PREFIXED = ("Wh", "J", "W", "V", "A", "varh", "VAh", "var", "VA", "J/h", "Hz", "bar", "cal")


def _units() -> dict[str, tuple[str, int, int]]:
    made = {unit: (unit, 0, 1) for unit in ("m3", "m3/h", "kg", "kg/h", "Cel", "K", "%RH", "deg", "dBm", "mo", "a")}
    for unit in _PREFIXED:
        made.update({prefix + unit: (unit, exponent, 1) for prefix, exponent in _SCALES.items()})
    made |= {unit: ("s", 0, seconds) for unit, seconds in _TIMES.items()}
    made |= {"L": ("m3", -3, 1), "L/h": ("m3/h", -3, 1), "g": ("kg", -3, 1), "t": ("kg", 3, 1), "t/h": ("kg/h", 3, 1)}
    return made


UNITS: dict[str, tuple[str, int, int]] = _units()
"""A unit that a point may ask for: the telegram's unit, and how many of that it is (factor * 10**exponent)."""


def units_of(quantity: str) -> frozenset[str]:
    """The units that telegrams have for a quantity; none for one that is not in the tables."""
    return frozenset(m.unit for table in (PRIMARY, FD, FB) for m in table.values() if m.quantity == quantity)
