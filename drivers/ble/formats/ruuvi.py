"""Ruuvi's data formats 3, 6 and E1 (docs.ruuvi.com, bluetooth-advertisements), whose fields no fixed layout can say.

Format 3 has a sign and magnitude; 6 and E1 keep the last bit of two fields elsewhere, and 6 a logarithm. Format 5 is
the profile `ruuvi-df5`. Numbers are big-endian.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Context, Decimal

from drivers.ble.formats.fields import invalid, scaled
from drivers.ble.formats.report import Report
from drivers.decoding import Reading
from drivers.errors import BadAnswer
from ext import SENTINEL

COMPANY = 0x0499
CALIBRATING, VOC_BIT, NOX_BIT = 0x01, 0x40, 0x80  # of the flags

PADDED = 0x03  # tags of firmware 1 advertise four zero bytes behind this format, or none

_HINT = "(05 is the profile ruuvi-df5: 24 bytes)"

_LUX = Context(prec=30)
_LUX_STEP = _LUX.divide(_LUX.ln(Decimal(65536)), Decimal(254))  # data format 6, luminosity: DELTA
_LUX_PLACES = Decimal("0.01")  # "values should be rounded at most to 0.01 precision"


class _Ruuvi:
    """Ruuvi 3, 6, E1."""

    name = "ruuvi"
    companies: frozenset[int] = frozenset({COMPANY})
    services: frozenset[str] = frozenset()
    key_bytes: frozenset[int] = frozenset()

    def decode(self, address: str, data: bytes, key: bytes | None = None) -> Report:  # noqa: ARG002 - `Format`
        """Every field; what is not available has no value. Raises `BadAnswer`."""
        length, read = _FORMATS.get(data[0] if data else -1, (0, None))
        if read is None or (len(data) < length if data[0] == PADDED else len(data) != length):
            begin = data[:1].hex() or "nothing"
            raise BadAnswer(
                f"ruuvi: {len(data)} bytes that begin {begin}; wanted 14 of 03, 20 of 06 or 40 of e1 {_HINT}"
            )
        return Report(tuple(read(data)))


FORMAT = _Ruuvi()


def _format3(data: bytes) -> Iterator[Reading]:
    yield Reading("humidity", scaled(data[1], "0.5"), "%RH")
    if data[3] < 100:
        magnitude = Decimal((data[2] & 0x7F) * 100 + data[3]).scaleb(-2)
        yield Reading("temperature", -magnitude if data[2] & 0x80 else magnitude, "Cel")
    else:
        yield invalid("temperature", "Cel", SENTINEL)
    yield Reading("pressure", int.from_bytes(data[4:6]) + 50_000, "Pa")
    for axis, start in (("x", 6), ("y", 8), ("z", 10)):
        yield _signed(f"acceleration-{axis}", data[start : start + 2], "[g]", "0.001")
    yield Reading("battery", scaled(int.from_bytes(data[12:14]), "0.001"), "V")


def _format6(data: bytes) -> Iterator[Reading]:
    yield from _air(data)
    yield _number("pm2-5", data[7:9], "ug/m3", "0.1")
    yield _number("co2", data[9:11], "[ppm]")
    yield from _gases(data[11], data[12], data[16])
    yield invalid("illuminance", "lx", SENTINEL) if data[13] == 0xFF else Reading("illuminance", _lux(data[13]), "lx")
    yield Reading("sequence", data[15])
    yield Reading("calibrating", bool(data[16] & CALIBRATING))


def _format_e1(data: bytes) -> Iterator[Reading]:
    yield from _air(data)
    for name, start in (("pm1", 7), ("pm2-5", 9), ("pm4", 11), ("pm10", 13)):
        yield _number(name, data[start : start + 2], "ug/m3", "0.1")
    yield _number("co2", data[15:17], "[ppm]")
    yield from _gases(data[17], data[18], data[28])
    yield _number("illuminance", data[19:22], "lx", "0.01")
    yield _number("sequence", data[25:28])
    yield Reading("calibrating", bool(data[28] & CALIBRATING))


_FORMATS: Mapping[int, tuple[int, Callable[[bytes], Iterator[Reading]]]] = {
    0x03: (14, _format3),
    0x06: (20, _format6),
    0xE1: (40, _format_e1),
}


def _air(data: bytes) -> Iterator[Reading]:
    yield _signed("temperature", data[1:3], "Cel", "0.005")
    yield _number("humidity", data[3:5], "%RH", "0.0025")
    yield _number("pressure", data[5:7], "Pa", "1", "50000")


def _gases(voc: int, nox: int, flags: int) -> Iterator[Reading]:
    """The two indices of nine bits, whose last ones are in the flags; all ones: not available."""
    for name, high, low in (("voc-index", voc, VOC_BIT), ("nox-index", nox, NOX_BIT)):
        value = high << 1 | bool(flags & low)
        yield invalid(name, "", SENTINEL) if value == 0x1FF else Reading(name, value)


def _number(name: str, data: bytes, unit: str = "", scale: str = "1", offset: str = "0") -> Reading:
    """An unsigned number; the largest one means that it is not available."""
    raw = int.from_bytes(data)
    if raw == (1 << 8 * len(data)) - 1:
        return invalid(name, unit, SENTINEL)
    return Reading(name, scaled(raw, scale, offset), unit)


def _signed(name: str, data: bytes, unit: str, scale: str) -> Reading:
    """A signed number; the smallest one means that it is not available."""
    raw = int.from_bytes(data, signed=True)
    if raw == -(1 << 8 * len(data) - 1):
        return invalid(name, unit, SENTINEL)
    return Reading(name, scaled(raw, scale), unit)


def _lux(code: int) -> Decimal:
    return (_LUX.exp(code * _LUX_STEP) - 1).quantize(_LUX_PLACES)
