"""`lamppost decode p1`: every object of every telegram."""

import re
from collections.abc import Iterator
from itertools import takewhile

from config import Profile
from drivers.decoding import Reading
from drivers.errors import DeviceError
from drivers.obis import DataObject
from drivers.p1.framing import Framer
from drivers.p1.telegram import READ, parse

_HEX = re.compile(r"0-[0-9]:96\.(?:1\.[0-9]+|13\.[0-9]+)")  # identifiers and messages, in pairs of hex digits
_PLAIN = re.compile(r"1-3:0\.2\.8|0-0:96\.1\.4|[0-9]-[0-9]:0\.0\.[0-9]+")  # versions, and numbers that are names
_STATE = re.compile(r"[0-9]-[0-9]{1,2}:96\.(?:[0-9]{1,2}|[0-9]{1,3}\.[0-9]{1,3})")  # such as ON of a breaker
_TIME = ("0-0:1.0.0",)
_CODE = re.compile(r"[0-9]-[0-9]{1,2}:[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}")


def decode(data: bytes, profile: Profile | None = None) -> Iterator[Reading | DeviceError]:  # noqa: ARG001 - `Decode`
    """Readings of all telegrams; one of DSMR 2.2 or 3, which has no checksum, counts too."""
    for found in _telegrams(data):
        if isinstance(found, DeviceError):
            yield found
            continue
        try:
            telegram = parse(found)
        except DeviceError as error:
            yield error
        else:
            for one in telegram.objects:
                yield from _log(one) or (_reading(one.code, one),)


def _telegrams(data: bytes) -> Iterator[str | DeviceError]:
    """What the framer finds; that the telegram at the end was cut is told where it is all that there was."""
    if b"\r" not in data:  # a file that lost them; the checksum counts them
        data = data.replace(b"\n", b"\r\n")
    framer, heard = Framer(checksum_required=False), False
    for found in framer.feed(data + b"\r\n"):
        heard = True
        yield found
    if not heard:
        yield from framer.end()


def _log(one: DataObject) -> list[Reading]:
    """`(count)(code)...(time)...(value)...` of a log (DSMR 5.0.2 P1, 6.4; e-MUCS P1, 5): the count, then each entry.

    An entry has as many times as there are codes, then its value; nothing of what is no log of that form.
    """
    count, *rest = one.groups
    codes = sum(1 for _ in takewhile(_CODE.fullmatch, rest))
    entries, size = rest[codes:], codes + 1
    if not (codes and count.isascii() and count.isdigit() and len(entries) == int(count) * size):
        return []
    found = [Reading(one.code, int(count))]
    for n, at in enumerate(range(0, len(entries), size), 1):
        for word, time in zip(("time", "peak-time"), entries[at : at + codes], strict=False):
            found.append(_reading(f"{one.code}#{n}.{word}", DataObject(_TIME[0], (time,))))
        found.append(_reading(f"{one.code}#{n}", DataObject(one.code, (entries[at + codes],))))
    return found


def _reading(name: str, one: DataObject) -> Reading:
    value, unit, quality = READ[_way(one)](one)
    return Reading(name, value, unit, quality)


def _way(one: DataObject) -> str:
    if one.code in _TIME:
        return "time"
    if _PLAIN.fullmatch(one.code):
        return "plain"
    if not _HEX.fullmatch(one.code):
        return "plain" if _STATE.fullmatch(one.code) and not one.groups[0].isdigit() else "number"
    return "text" if _is_text(one.groups[0]) or not one.groups[0] else "plain"


def _is_text(pairs: str) -> bool:
    """Whether pairs of hex digits say characters: some meters send the digits of a number as they are."""
    try:
        return bytes.fromhex(pairs).decode("ascii").isprintable()
    except ValueError:
        return False
