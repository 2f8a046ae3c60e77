"""`lamppost decode iec62056`: every object of a readout."""

import re
from collections.abc import Iterator

from config import Profile
from drivers.decoding import Reading
from drivers.errors import BadAnswer, DeviceError
from drivers.iec62056.protocol import Answer
from drivers.iec62056.readout import READ, parse
from drivers.obis import DataObject
from ext import GOOD

_NUMBER = re.compile(
    r"\s*[+-]?[0-9]+(?:\.[0-9]+)?\*.+|\s*[+-]?[0-9]+\.[0-9]+\s*"
)  # digits alone may be a number, or a name


def decode(data: bytes, profile: Profile | None = None) -> Iterator[Reading | DeviceError]:  # noqa: ARG001 - `Decode`
    """Readings of one readout, with its identification or without; parity bits are left out."""
    answer = Answer(checksum_required=False)
    plain = bytes(byte & 0x7F for byte in data)
    try:
        found = answer.feed(plain if b"/" in plain[:64] else b"/XXX?\r\n" + plain)
        block = found if isinstance(found, str) else answer.feed(plain.rpartition(b"\x06")[2] if found else b"")
        if not isinstance(block, str):
            raise BadAnswer("IEC 62056-21 readout: no whole data block")
        objects = parse(block)
    except DeviceError as error:
        yield error
    else:
        yield from map(_reading, objects)


def _reading(one: DataObject) -> Reading:
    value, unit, quality = READ["number" if _NUMBER.fullmatch(one.groups[0]) else "text"](one)
    return Reading(one.code, value, unit, GOOD if value == "" else quality)
