"""`lamppost decode sml`: every entry of every list."""

from collections.abc import Iterator

from config import Profile
from drivers.decoding import Reading
from drivers.errors import DeviceError
from drivers.sml.framing import Framer
from drivers.sml.messages import parse
from ext import GOOD


def decode(data: bytes, profile: Profile | None = None) -> Iterator[Reading | DeviceError]:  # noqa: ARG001 - `Decode`
    """Readings of all files; a status is `code.status`. A capture may begin and end in the middle of a file."""
    for found in _files(data):
        if isinstance(found, DeviceError):
            yield found
            continue
        try:
            entries = parse(found)
        except DeviceError as error:
            yield error
            continue
        for entry in entries:
            value, unit, quality = entry.quantity
            yield Reading(entry.code, value, unit, quality)
            if entry.status is not None:
                yield Reading(f"{entry.code}.status", entry.status, "", GOOD)


def _files(data: bytes) -> Iterator[bytes | DeviceError]:
    """What the framer finds; that the file at the end was cut is told where it is all that there was."""
    framer, heard = Framer(), False
    for found in framer.feed(data):
        heard = True
        yield found
    if not heard:
        yield from framer.end()
