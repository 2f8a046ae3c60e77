"""Teltonika EYE sensors and beacons (wiki.teltonika-gps.com, EYE SENSOR / BTSMP1): flags say which fields follow."""

from collections.abc import Iterator

from drivers.ble.formats.fields import scaled
from drivers.ble.formats.report import Report
from drivers.decoding import Reading
from drivers.errors import BadAnswer

COMPANY = 0x089A
VERSION = 0x01
TEMPERATURE, HUMIDITY, MAGNET, MAGNET_STATE, MOVEMENT, ANGLE, BATTERY_LOW, BATTERY = (1 << bit for bit in range(8))
_SIZES = {TEMPERATURE: 2, HUMIDITY: 1, MOVEMENT: 2, ANGLE: 3, BATTERY: 1}  # bytes, in the order of the fields


class _Eye:
    """Teltonika EYE."""

    name = "teltonika-eye"
    companies: frozenset[int] = frozenset({COMPANY})
    services: frozenset[str] = frozenset()
    key_bytes: frozenset[int] = frozenset()

    def decode(self, address: str, data: bytes, key: bytes | None = None) -> Report:  # noqa: ARG002 - `Format`
        """The fields that the flags announce; raises `BadAnswer` unless exactly these are there."""
        if data[:1] != bytes([VERSION]) or len(data) < 2:
            raise BadAnswer(f"teltonika-eye: {len(data)} bytes that begin {data[:1].hex() or 'nothing'}: not version 1")
        flags = data[1]
        wanted = 2 + sum(size for flag, size in _SIZES.items() if flags & flag)
        if len(data) != wanted:
            raise BadAnswer(f"teltonika-eye: {len(data)} bytes; its flags announce {wanted}")
        return Report(tuple(_readings(flags, data[2:])))


FORMAT = _Eye()


def _readings(flags: int, data: bytes) -> Iterator[Reading]:
    """Numbers are big-endian; of the movement, the first bit says whether it goes on."""
    fields, place = {}, 0
    for flag, size in _SIZES.items():
        if flags & flag:
            fields[flag], place = data[place : place + size], place + size
    if TEMPERATURE in fields:
        yield Reading("temperature", scaled(int.from_bytes(fields[TEMPERATURE], signed=True), "0.01"), "Cel")
    if HUMIDITY in fields:
        yield Reading("humidity", fields[HUMIDITY][0], "%RH")
    if flags & MAGNET:
        yield Reading("magnet", bool(flags & MAGNET_STATE))
    if MOVEMENT in fields:
        movement = int.from_bytes(fields[MOVEMENT])
        yield Reading("moving", bool(movement & 0x8000))
        yield Reading("movements", movement & 0x7FFF)
    if ANGLE in fields:
        yield Reading("pitch", int.from_bytes(fields[ANGLE][:1], signed=True), "deg")
        yield Reading("roll", int.from_bytes(fields[ANGLE][1:], signed=True), "deg")
    yield Reading("battery-low", bool(flags & BATTERY_LOW))
    if BATTERY in fields:
        yield Reading("battery", scaled(fields[BATTERY][0], "0.01", "2"), "V")
