"""What the formats share: exact numbers from bytes, and AES-CCM with the short check values of radio."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from struct import pack, unpack

from drivers.ble.formats.report import Locked
from drivers.decoding import Reading
from ext import BAD_ANSWER, Value

TAG_BYTES = 4  # of the check value in every encrypted format here
ADDRESS_BYTES = 6
KEY_BYTES = 16  # AES-128


_decimal = lru_cache(maxsize=64)(Decimal)  # the scales of every format: a dozen


def scaled(raw: int, scale: str, offset: str = "0") -> Value:
    """`raw * scale + offset`, exactly; an int where both are whole."""
    value = raw * _decimal(scale) + _decimal(offset)
    return int(value) if "." not in scale + offset else value


def single(data: bytes) -> Decimal | None:
    """The shortest decimal that is the little-endian float32 in `data`; None for what is no number."""
    (value,) = unpack("<f", data)
    for digits in range(1, 10):  # IEEE 754: nine decimal digits tell any two float32 apart
        text = f"{value:.{digits}g}"
        if abs(value) < float("inf") and pack("<f", float(text)) == data:
            return Decimal(text)
    return None


def invalid(name: str, unit: str = "", quality: int = BAD_ANSWER) -> Reading:
    """No value, and why."""
    return Reading(name, None, unit, quality)


def distinct(readings: Sequence[Reading]) -> tuple[Reading, ...]:
    """The readings with every name once: the second temperature is `temperature-2`."""
    if len({reading.point for reading in readings}) == len(readings):
        return tuple(readings)
    return tuple(_numbered(readings))


def _numbered(readings: Sequence[Reading]) -> Iterator[Reading]:
    seen: Counter[str] = Counter()
    for reading in readings:
        seen[reading.point] += 1
        count = seen[reading.point]
        yield reading if count == 1 else replace(reading, point=f"{reading.point}-{count}")


def address_bytes(address: str, name: str) -> bytes:
    """The six bytes of an address, first digits first; raises `Locked` when there is none."""
    if not address:
        raise Locked(f"{name}: encrypted, and the address is needed to open it")
    return bytes.fromhex(address.replace(":", "").replace("-", ""))


def opened(name: str, key: bytes | None, nonce: bytes, sealed: bytes, associated: bytes | None = None) -> bytes:
    """What AES-CCM (RFC 3610) sealed, check value at its end; raises `Locked`, whose text holds no key."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM  # 3 MB: only for who has an encrypted sensor

    if key is None:
        raise Locked(f"{name}: encrypted, and there is no key")
    if len(key) != KEY_BYTES:
        raise Locked(f"{name}: the key must have {2 * KEY_BYTES} hex digits")
    if len(sealed) <= TAG_BYTES:
        raise Locked(f"{name}: encrypted, and too short to hold anything")
    try:
        return AESCCM(key, tag_length=TAG_BYTES).decrypt(nonce, sealed, associated)
    except InvalidTag:
        raise Locked(f"{name}: encrypted with another key, or altered") from None
