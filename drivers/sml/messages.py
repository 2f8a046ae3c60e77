"""What an SML file says: the entries of its list responses, checked and exact. Sans-IO."""

from dataclasses import dataclass
from decimal import Context, Decimal

from drivers.errors import BadAnswer
from drivers.obis import FAULT, WRONG, Quantity
from drivers.sml.framing import summed
from drivers.sml.tlv import Reader, Tree
from ext import GOOD

GET_LIST_RESPONSE = 0x0701  # SML_GetList.Res of SML 1.04: the messages that carry values; open and close carry none

# DLMS UA Blue Book, 4.3.2 (register: units), those that electricity, heat, gas and water meters use
UNITS = {
    1: "a", 2: "mo", 3: "wk", 4: "d", 5: "h", 6: "min", 7: "s", 8: "deg", 9: "Cel", 13: "m3", 14: "m3", 15: "m3/h",
    19: "l", 22: "N", 23: "Pa", 24: "bar", 25: "J", 27: "W", 28: "VA", 29: "var", 30: "Wh", 31: "VAh", 32: "varh",
    33: "A", 34: "C", 35: "V", 44: "Hz", 56: "%",
}  # fmt: skip
_NO_UNIT = (None, 254, 255)  # other, and count

MAX_SCALER = 18  # no meter resolves finer, or counts in larger units, than a 64-bit integer has digits
_EXACT = Context(prec=40)  # a 64-bit integer has 20 digits

# DZG DVS74 meters send positive powers that fill 1 to 3 bytes as signed numbers; negative ones always have 4. The
# maker names the serial numbers: volkszaehler/libsml, pull requests 66 and 136.
_DZG_SERVER = b"\x0a\x01DZG\x00"
_DZG_SERIALS = (range(42_000_000, 49_000_000), range(55_000_000, 59_000_000))
_DZG_POWER = "1-0:16.7.0"


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a list (SML_ListEntry)."""

    code: str
    status: int | None
    unit: str
    quantity: Quantity
    octets: bytes | None


def parse(data: bytes) -> list[Entry]:
    """All entries of a file; raises `BadAnswer` when any of its messages is malformed."""
    entries: list[Entry] = []
    for (_, _, _, body, crc), raw in Reader(data).messages():
        if not isinstance(crc, int) or isinstance(crc, bool) or not summed(raw, _swapped(crc)):
            raise BadAnswer("SML file: wrong checksum of a message")
        if not (isinstance(body, list) and len(body) == 2):
            raise BadAnswer("SML file: a message without a body")
        if body[0] == GET_LIST_RESPONSE:
            entries += _entries(body[1])
    return entries


def _swapped(crc: int) -> int:
    """The checksum of a message stands with its low byte first; a leading zero byte may be left out."""
    return (crc & 0xFF) << 8 | crc >> 8 if 0 <= crc <= 0xFFFF else -1


def _entries(response: Tree) -> list[Entry]:
    """SML_GetList.Res: client, server, list name, sensor time, values, signature, gateway time."""
    if not (isinstance(response, list) and len(response) == 7 and isinstance(response[4], list)):
        raise BadAnswer("SML file: a list response that is none")
    server = response[1] if isinstance(response[1], bytes) else b""
    return [_entry(one, server) for one in response[4]]


def _entry(entry: Tree, server: bytes) -> Entry:
    """Object name, status, time, unit, scaler, value, signature."""
    if not (isinstance(entry, list) and len(entry) == 7):
        raise BadAnswer("SML file: an entry of a list that is none")
    name, status, _, unit, scaler, value, _ = entry
    if not (isinstance(name, bytes) and len(name) == 6) or not isinstance(status, int | None):
        raise BadAnswer("SML file: an entry of a list without a name")
    if not isinstance(unit, int | None) or not isinstance(scaler, int | None) or isinstance(value, list):
        raise BadAnswer("SML file: an entry of a list that is none")
    code = obis(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = _unsigned(value) if code == _DZG_POWER and _is_dvs74(server) else value
    octets = value if isinstance(value, bytes) else None
    return Entry(code, status, _unit(unit), _quantity(value, scaler or 0, _unit(unit)), octets)


def obis(name: bytes) -> str:
    """Six bytes as `A-B:C.D.E`, with `*F` unless that is 255."""
    a, b, c, d, e, f = name
    return f"{a}-{b}:{c}.{d}.{e}" + (f"*{f}" if f != 255 else "")


def _unit(unit: int | None) -> str:
    return "" if unit in _NO_UNIT else UNITS.get(unit or 0, f"unit {unit}")


def _quantity(value: bytes | bool | int | None, scaler: int, unit: str) -> Quantity:
    if value is None:
        return FAULT
    if isinstance(value, bytes | bool):
        return value, "", GOOD
    if not -MAX_SCALER <= scaler <= MAX_SCALER:
        return WRONG
    return (value * 10**scaler if scaler >= 0 else _EXACT.scaleb(Decimal(value), scaler)), unit, GOOD


def _is_dvs74(server: bytes) -> bool:
    serial = int.from_bytes(server[len(_DZG_SERVER) :], "big")
    return server.startswith(_DZG_SERVER) and any(serial in one for one in _DZG_SERIALS)


def _unsigned(value: int) -> int:
    """What was meant by a negative number of 1 to 3 bytes."""
    size = next(size for size in (1, 2, 3, 8) if value >= -(1 << 8 * size - 1))
    return value + (1 << 8 * size) if value < 0 and size < 4 else value
