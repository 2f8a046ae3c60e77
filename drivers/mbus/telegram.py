"""The application layer (EN 13757-3): what a meter says of itself and its records. It knows no link layer."""

from dataclasses import dataclass, replace

from drivers.errors import BadAnswer, ExceptionAnswer
from drivers.mbus import fixed, values
from drivers.mbus.records import Bytes, Record, Records, records
from drivers.mbus.values import Malformed, NoValue
from ext import GOOD, UNCERTAIN

# CI fields (EN 13757-7:2018, table 2). Bit 2 of those from before 2013: the highest byte of a value comes first.
ERROR, LONG_HEADER, FIXED, NO_HEADER, SHORT_HEADER = 0x70, 0x72, 0x73, 0x78, 0x7A
BACKWARDS = 0x04
SELECT = 0x52

# What a meter says when it will not (EN 13757-3, application errors)
ERRORS = (
    "unspecified error", "unimplemented CI field", "buffer too long, truncated", "too many records",
    "premature end of record", "more than 10 DIFEs", "more than 10 VIFEs", "reserved", "application busy",
    "too many readouts",
)  # fmt: skip

# Device types (EN 13757-7; EN 13757-3 until 2013)
MEDIA = {
    0x00: "other", 0x01: "oil", 0x02: "electricity", 0x03: "gas", 0x04: "heat", 0x05: "steam", 0x06: "warm water",
    0x07: "water", 0x08: "heat cost allocator", 0x09: "compressed air", 0x0A: "cooling", 0x0B: "cooling (inlet)",
    0x0C: "heat (inlet)", 0x0D: "heat and cooling", 0x0E: "bus", 0x0F: "unknown", 0x15: "hot water",
    0x16: "cold water", 0x17: "water, two registers", 0x18: "pressure", 0x19: "converter", 0x1A: "smoke detector",
    0x1B: "room sensor", 0x1C: "gas detector", 0x20: "breaker", 0x21: "valve", 0x25: "display", 0x28: "waste water",
    0x29: "waste", 0x31: "communication controller",
}  # fmt: skip

# Bits of the status (EN 13757-7:2018, 7.5.6): an application error, or a permanent one of the meter itself
_APPLICATION, _ANY_ERROR, PERMANENT_ERROR = 0x03, 0x02, 0x08

_MODES = range(2, 14)  # encryption modes that meters have (EN 13757-7), in the configuration word
_DECRYPTED = b"\x2f\x2f"  # how decrypted data begins (EN 13757-7: two idle fillers)


@dataclass(frozen=True, slots=True)
class Header:
    """Who answers. A short header has no identity; one that is not there has nothing but defaults."""

    identification: str = ""
    manufacturer: str = ""
    version: int = 0
    medium: str = ""
    medium_code: int = 0
    access: int = 0
    status: int = 0


@dataclass(frozen=True, slots=True)
class Telegram:
    """One telegram: the meter, its records, bytes of the maker's own, and whether another telegram follows."""

    header: Header
    records: tuple[Record, ...]
    manufacturer_data: bytes = b""
    more: bool = False


def parse(data: bytes) -> Telegram:
    """The telegram in `data`, from its CI field on.

    Raises `BadAnswer` for a malformed or encrypted one, and `ExceptionAnswer` when the meter reports an error.
    """
    try:
        return _parse(Bytes(data))
    except Malformed as error:
        raise BadAnswer(str(error)) from error


def about(header: Header) -> tuple[Record, ...]:
    """What the header says, as records named `meter-...`."""
    texts = (("id", header.identification), ("manufacturer", header.manufacturer), ("medium", header.medium))
    numbers = (("version", header.version), ("access-number", header.access), ("status", header.status))
    return tuple(Record(f"meter-{name}", value) for name, value in (*texts, *numbers))


def _parse(rest: Bytes) -> Telegram:
    ci = rest.byte("the CI field")
    if ci == ERROR:
        code = rest.byte("the error") if rest else 0
        raise ExceptionAnswer(code, ERRORS[code] if code < len(ERRORS) else "unknown error")
    if ci & ~BACKWARDS == FIXED:
        return _fixed(rest, backwards=ci != FIXED)
    if ci & ~BACKWARDS == LONG_HEADER:
        header, mode = _long_header(rest, backwards=ci != LONG_HEADER)
        return _variable(header, mode, rest, backwards=ci != LONG_HEADER)
    if ci == SHORT_HEADER:
        access, status, word = rest.byte("the header"), rest.byte("the header"), rest.take(2, "the header")
        return _variable(Header(access=access, status=status), word[1] & 0x1F, rest)
    if ci == NO_HEADER:
        return _variable(Header(), 0, rest)
    raise Malformed(f"CI field {ci:#04x} is no answer with data")


def _long_header(rest: Bytes, *, backwards: bool) -> tuple[Header, int]:
    step = -1 if backwards else 1
    data = rest.take(12, "the header")
    identification, maker, word = data[:4][::step], data[4:6][::step], data[10:12][::step]
    header = Header(
        identification[::-1].hex(), _maker(maker), data[6], _medium(data[7]), data[7], access=data[8], status=data[9]
    )
    return header, word[1] & 0x1F


def _variable(header: Header, mode: int, rest: Bytes, *, backwards: bool = False) -> Telegram:
    data = rest.rest()
    if not data.startswith(_DECRYPTED) and mode in _MODES:
        raise Malformed(f"encrypted (mode {mode}), which this version cannot read")
    found: Records = records(data, backwards=backwards)
    doubtful = header.status & _APPLICATION == _ANY_ERROR or header.status & PERMANENT_ERROR
    judged = tuple(_doubt(record) for record in found.records) if doubtful else found.records
    return Telegram(header, judged, found.manufacturer_data, found.more)


def _fixed(rest: Bytes, *, backwards: bool) -> Telegram:
    identification = rest.take(4, "the header")[:: -1 if backwards else 1]
    access, status = rest.byte("the header"), rest.byte("the header")
    medium, found = fixed.counters(rest, status, backwards=backwards)
    if rest:
        raise Malformed("bytes behind the two counters")
    header = Header(identification[::-1].hex(), medium=medium, access=access, status=status)
    doubtful = status & PERMANENT_ERROR
    return Telegram(header, tuple(_doubt(record) for record in found) if doubtful else found)


def _doubt(record: Record) -> Record:
    return replace(record, quality=UNCERTAIN) if record.quality == GOOD else record


def _maker(data: bytes) -> str:
    try:
        return values.manufacturer(values.unsigned(data) & 0x7FFF)
    except NoValue:
        return ""


def _medium(code: int) -> str:
    return MEDIA.get(code, f"type {code:02x}")
