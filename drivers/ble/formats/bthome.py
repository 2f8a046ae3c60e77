"""BTHome version 2 (bthome.io/format, bthome.io/encryption): objects of an id and its value, encrypted or not."""

from collections.abc import Iterator

from drivers.ble.formats.bthome_objects import BUTTONS, COMMANDS, DIMMERS, OBJECTS, Kind, Object
from drivers.ble.formats.fields import ADDRESS_BYTES, TAG_BYTES, address_bytes, distinct, invalid, opened, scaled
from drivers.ble.formats.report import Report
from drivers.decoding import Reading
from drivers.errors import BadAnswer
from ext import Value

SERVICE = "fcd2"
VERSION = 2
ENCRYPTED, WITH_ADDRESS = 0x01, 0x02  # bits of the first byte, device information; its three upper bits: version
COUNTER_BYTES = 4
ARGUMENTS = 0x1F  # the bits of a command's second byte that say how many bytes of arguments follow


class _Bthome:
    """BTHome v2."""

    name = "bthome"
    companies: frozenset[int] = frozenset()
    services: frozenset[str] = frozenset({SERVICE})
    key_bytes = frozenset({16})

    def decode(self, address: str, data: bytes, key: bytes | None = None) -> Report:
        """The objects in their order; raises `BadAnswer` or `Locked`."""
        if not data or data[0] >> 5 != VERSION:
            raise BadAnswer(f"bthome: not version {VERSION}")
        start = 1 + ADDRESS_BYTES if data[0] & WITH_ADDRESS else 1
        if data[0] & WITH_ADDRESS:
            address = _stated(address, data[1:start])
        if not data[0] & ENCRYPTED:
            return _report(data[start:], None)
        if len(data) < start + COUNTER_BYTES + TAG_BYTES:
            raise BadAnswer("bthome: encrypted, and too short to hold anything")
        counter = data[-COUNTER_BYTES - TAG_BYTES : -TAG_BYTES]
        nonce = address_bytes(address, self.name) + bytes.fromhex(SERVICE)[::-1] + data[:1] + counter
        plain = opened(self.name, key, nonce, data[start : -COUNTER_BYTES - TAG_BYTES] + data[-TAG_BYTES:])
        return _report(plain, int.from_bytes(counter, "little"))


FORMAT = _Bthome()


def _stated(address: str, said: bytes) -> str:
    """The address that the data state, last byte first; raises `BadAnswer` when it is not the sender's."""
    if len(said) < ADDRESS_BYTES:
        raise BadAnswer("bthome: too short for the address that it announces")
    stated = said[::-1].hex(":").upper()
    if address and stated != address.upper().replace("-", ":"):
        raise BadAnswer("bthome: states the address of another device")
    return stated


def _report(data: bytes, counter: int | None) -> Report:
    readings: list[Reading] = []
    error = None
    try:
        for reading in _objects(data):
            readings.append(reading)  # noqa: PERF402 - those before an error are kept
    except BadAnswer as found:
        error = found
    if error is not None and not readings and counter is None:
        raise error
    return Report(distinct(readings), error, counter)


def _objects(data: bytes) -> Iterator[Reading]:
    """The readings of all objects; raises `BadAnswer` at one whose length nobody knows, or that is cut off."""
    place = 0
    while place < len(data):
        found = OBJECTS.get(data[place])
        if found is None:
            raise BadAnswer(f"bthome: object 0x{data[place]:02x} is unknown, and so is where the next one begins")
        start, size = _extent(found, data, place + 1)
        if start + size > len(data):
            raise BadAnswer(f"bthome: object 0x{data[place]:02x} is cut off")
        yield from _readings(found, data[start : start + size])
        place = start + size


def _extent(found: Object, data: bytes, place: int) -> tuple[int, int]:
    """Where the value begins and how many bytes it has; text, raw data and commands say so themselves."""
    if found.size:
        return place, found.size
    if place >= len(data):
        raise BadAnswer(f"bthome: {found.name} is cut off")
    return place + 1, 1 + (data[place] & ARGUMENTS) if found.kind is Kind.COMMAND else data[place]


def _readings(found: Object, data: bytes) -> Iterator[Reading]:
    if found.kind is Kind.DIMMER:
        yield _event(found.name, DIMMERS.get(data[0]))
        yield Reading("dimmer-steps", data[1])
    elif found.kind is Kind.BUTTON:
        yield _event(found.name, BUTTONS.get(data[0]))
    elif found.kind is Kind.COMMAND:
        yield _event(found.name, COMMANDS.get(data[0]))
        if data[1:]:
            yield Reading("command-arguments", data[1:])
    elif found.kind is Kind.BINARY and data[0] > 1:
        yield invalid(found.name)
    else:
        value = _value(found, data)
        yield invalid(found.name) if value is None else Reading(found.name, value, found.unit)


def _event(name: str, event: str | None) -> Reading:
    return invalid(name) if event is None else Reading(name, event)


def _value(found: Object, data: bytes) -> Value:
    if found.kind is Kind.BINARY:
        return data[0] == 1
    if found.kind is Kind.RAW:
        return data
    if found.kind is Kind.VERSION:
        return ".".join(str(part) for part in reversed(data))
    if found.kind is Kind.TEXT:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return None
    return scaled(int.from_bytes(data, "little", signed=found.kind is Kind.SIGNED), found.scale)
