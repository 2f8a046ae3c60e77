"""`lamppost decode p1`: every object of every telegram."""

import re
from collections.abc import Iterator

from config import Profile
from drivers.decoding import Reading
from drivers.errors import DeviceError
from drivers.obis import DataObject
from drivers.p1.framing import Framer
from drivers.p1.telegram import READ, parse

_TEXTS = re.compile(r"0-[0-9]:96\.(?:1\.[0-9]+|13\.[0-9]+)")  # identifiers and messages, in hex
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_PLAIN = ("1-3:0.2.8", "0-0:96.1.4")  # versions
_TIME = ("0-0:1.0.0",)


def decode(data: bytes, profile: Profile | None = None) -> Iterator[Reading | DeviceError]:  # noqa: ARG001 - `Decode`
    """Readings of all telegrams; one of DSMR 2.2 or 3, which has no checksum, counts too."""
    framer = Framer(checksum_required=False)
    for found in framer.feed(data + b"\r\n"):
        if isinstance(found, DeviceError):
            yield found
            continue
        try:
            telegram = parse(found)
        except DeviceError as error:
            yield error
        else:
            yield from map(_reading, telegram.objects)


def _reading(one: DataObject) -> Reading:
    value, unit, quality = READ[_way(one)](one)
    return Reading(one.code, value, unit, quality)


def _way(one: DataObject) -> str:
    if one.code in _TIME:
        return "time"
    if one.code in _PLAIN:
        return "plain"
    return "text" if _TEXTS.fullmatch(one.code) and _HEX.fullmatch(one.groups[0]) else "number"
