"""Xiaomi MiBeacon, versions 2 to 5 (iot.mi.com, BLE development, MiBeacon protocol): a frame around objects.

Versions 4 and 5 are encrypted with AES-CCM and a check value. Versions 2 and 3 have none: whoever sends bytes is
believed, so such a frame counts as one that anybody may have sent. Numbers are little-endian.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.ble.formats.fields import ADDRESS_BYTES, KEY_BYTES, TAG_BYTES, address_bytes, distinct, opened
from drivers.ble.formats.mibeacon_objects import readings
from drivers.ble.formats.report import Locked, Report
from drivers.decoding import Reading
from drivers.errors import BadAnswer

SERVICE = "fe95"
HEAD_BYTES = 5  # frame control, product id, frame counter
ENCRYPTED, WITH_ADDRESS, WITH_CAPABILITY, WITH_OBJECT, MESH = 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7  # frame control
OLDEST, FIRST_SEALED = 2, 4  # versions
INPUT_OUTPUT = 0x20  # of the capability: another byte of it follows
COUNTER_BYTES = 3  # the upper part of the counter, behind the objects
ASSOCIATED = b"\x11"
LEGACY_TAIL = 4  # bytes behind the objects of versions 2 and 3: the counter, and one that nobody checks
LEGACY_KEY_BYTES, LEGACY_FILL = 12, bytes.fromhex("8d3d3c97")  # what makes the short key of these 16 bytes, behind 6


class _MiBeacon:
    """MiBeacon v2 to v5."""

    name = "mibeacon"
    companies: frozenset[int] = frozenset()
    services: frozenset[str] = frozenset({SERVICE})
    key_bytes = frozenset({LEGACY_KEY_BYTES, KEY_BYTES})

    def decode(self, address: str, data: bytes, key: bytes | None = None) -> Report:
        """The objects in their order, none of a frame that carries none; raises `BadAnswer` or `Locked`."""
        frame = _frame(address, data)
        if not frame.control & WITH_OBJECT:
            return Report(())
        if not frame.control & ENCRYPTED:
            return _report(data[frame.start :], frame.product, None)
        if frame.version < FIRST_SEALED:
            return _report(_legacy(frame, data, key), frame.product, None)
        body, tail = data[frame.start : -COUNTER_BYTES - TAG_BYTES], data[-COUNTER_BYTES - TAG_BYTES :]
        if len(data) <= frame.start + COUNTER_BYTES + TAG_BYTES:
            raise BadAnswer("mibeacon: encrypted, and too short to hold anything")
        upper, tag = tail[:COUNTER_BYTES], tail[COUNTER_BYTES:]
        nonce = address_bytes(frame.address, self.name)[::-1] + data[2:HEAD_BYTES] + upper
        plain = opened(self.name, key, nonce, body + tag, ASSOCIATED)
        return _report(plain, frame.product, int.from_bytes(upper, "little") << 8 | data[4])


FORMAT = _MiBeacon()


@dataclass(frozen=True, slots=True)
class _Frame:
    """What stands before the objects; they begin at `start`."""

    control: int
    version: int
    product: int
    address: str
    start: int


def _frame(address: str, data: bytes) -> _Frame:
    if len(data) < HEAD_BYTES:
        raise BadAnswer(f"mibeacon: {len(data)} bytes; a frame has at least {HEAD_BYTES}")
    control, start = int.from_bytes(data[:2], "little"), HEAD_BYTES
    if control & MESH or control >> 12 < OLDEST:
        raise BadAnswer(f"mibeacon: version {control >> 12}{', mesh' if control & MESH else ''}: not supported")
    if control & WITH_ADDRESS:
        stated = data[start : start + ADDRESS_BYTES][::-1].hex(":").upper()
        start += ADDRESS_BYTES
        if len(data) >= start and address and stated != address.upper().replace("-", ":"):
            raise BadAnswer("mibeacon: states the address of another device")
        address = stated
    if control & WITH_CAPABILITY:
        start += 2 if len(data) > start and data[start] & INPUT_OUTPUT else 1
    if len(data) < start:
        raise BadAnswer("mibeacon: cut off before its objects")
    return _Frame(control, control >> 12, int.from_bytes(data[2:4], "little"), address, start)


def _report(data: bytes, product: int, counter: int | None) -> Report:
    """What the objects say; an unknown one is passed over, unless there is no other."""
    found: list[Reading] = []
    unknown: list[int] = []
    error = None
    try:
        for kind, value in _objects(data):
            said = readings(kind, value, product)
            found += said or ()
            if said is None:
                unknown.append(kind)
    except BadAnswer as damage:
        error = damage
    if unknown and not found:
        error = BadAnswer(f"mibeacon: object 0x{unknown[0]:04x} is not understood")
    if error is not None and not found and counter is None:
        raise error
    return Report(distinct(found), error, counter)


def _objects(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(id, value) of each; one or two bytes behind them are padding. Raises `BadAnswer` at one that is cut off."""
    place = 0
    while place + 3 <= len(data):
        end = place + 3 + data[place + 2]
        if end > len(data):
            raise BadAnswer("mibeacon: its last object is cut off")
        yield int.from_bytes(data[place : place + 2], "little"), data[place + 3 : end]
        place = end


def _legacy(frame: _Frame, data: bytes, key: bytes | None) -> bytes:
    """The objects of a frame without check value: the stream of AES-CCM (RFC 3610, 2.3) over them."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CTR

    if key is None or len(key) != LEGACY_KEY_BYTES:
        raise Locked(f"mibeacon: encrypted (version {frame.version}); its key has {2 * LEGACY_KEY_BYTES} hex digits")
    if len(data) <= frame.start + LEGACY_TAIL:
        raise BadAnswer("mibeacon: encrypted, and too short to hold anything")
    reversed_address = address_bytes(frame.address, "mibeacon")[::-1]
    nonce = data[:HEAD_BYTES] + data[-LEGACY_TAIL:-1] + reversed_address[:-1]
    block = b"\x01" + nonce + b"\x00\x01"  # a counter of two bytes, from 1 on
    stream = Cipher(AES(key[:6] + LEGACY_FILL + key[6:]), CTR(block)).decryptor()
    plain = stream.update(data[frame.start : -LEGACY_TAIL]) + stream.finalize()
    if not _whole(plain):
        raise Locked("mibeacon: encrypted with another key, or altered")
    return plain


def _whole(plain: bytes) -> bool:
    """Whether the bytes are objects to the last one: all that tells a wrong key."""
    try:
        found = list(_objects(plain))
        return bool(found) and sum(3 + len(value) for _, value in found) == len(plain)
    except BadAnswer:
        return False
