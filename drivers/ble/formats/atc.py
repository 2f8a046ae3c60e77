"""Encrypted advertisements of the ATC and pvvx firmware for Xiaomi thermometers (github.com/pvvx/ATC_MiThermometer).

The plain ones are fixed layouts: the profiles `atc1441` and `pvvx`. Layouts as in the firmware's sources, `ble.h`.
"""

from collections.abc import Iterator

from drivers.ble.formats.fields import address_bytes, opened, scaled
from drivers.ble.formats.report import Report
from drivers.decoding import Reading
from drivers.errors import BadAnswer

SERVICE = "181a"
HEAD = b"\x16\x1a\x18"  # of the advertising structure: service data, and the UUID; authenticated as part of the nonce
ASSOCIATED = b"\x11"
ATC_BYTES, PVVX_BYTES = 8, 11  # a counter, 3 or 6 bytes, the check value
COUNTER_BITS = 8
HALF, FLOOR = "0.5", "-40"  # steps of the short layout, and the temperature that it begins at
OPENING, SWITCH = 0x01, 0x02  # bits of the flags: reed contact, output


class _Atc:
    """ATC and pvvx custom, encrypted."""

    name = "atc-encrypted"
    companies: frozenset[int] = frozenset()
    services: frozenset[str] = frozenset({SERVICE})
    key_bytes = frozenset({16})

    def decode(self, address: str, data: bytes, key: bytes | None = None) -> Report:
        """Temperature, humidity, battery; raises `BadAnswer` or `Locked`."""
        if len(data) not in (ATC_BYTES, PVVX_BYTES):
            raise BadAnswer(f"atc-encrypted: {len(data)} bytes; wanted {ATC_BYTES} or {PVVX_BYTES}")
        length = bytes([len(HEAD) + len(data)])
        nonce = address_bytes(address, self.name)[::-1] + length + HEAD + data[:1]
        plain = opened(self.name, key, nonce, data[1:], ASSOCIATED)
        read = _atc if len(data) == ATC_BYTES else _pvvx
        return Report(tuple(read(plain)), counter=data[0], counter_bits=COUNTER_BITS)


FORMAT = _Atc()


def _atc(plain: bytes) -> Iterator[Reading]:
    yield Reading("temperature", scaled(plain[0], HALF, FLOOR), "Cel")
    yield Reading("humidity", scaled(plain[1], HALF), "%RH")
    yield Reading("battery", plain[2] & 0x7F, "%")
    yield Reading("switch", bool(plain[2] & 0x80))


def _pvvx(plain: bytes) -> Iterator[Reading]:
    yield Reading("temperature", scaled(int.from_bytes(plain[0:2], "little", signed=True), "0.01"), "Cel")
    yield Reading("humidity", scaled(int.from_bytes(plain[2:4], "little"), "0.01"), "%RH")
    yield Reading("battery", plain[4], "%")
    yield Reading("opening", bool(plain[5] & OPENING))
    yield Reading("switch", bool(plain[5] & SWITCH))
