"""`lamppost decode mbus`: every record of every telegram in frames of the wired link layer."""

from collections.abc import Iterator
from itertools import chain

from config import Profile
from drivers.decoding import Reading
from drivers.errors import BadAnswer, DeviceError
from drivers.mbus.frames import Damage, Frame, Framer
from drivers.mbus.records import distinct
from drivers.mbus.telegram import about, parse


def decode(data: bytes, profile: Profile | None = None) -> Iterator[Reading | DeviceError]:  # noqa: ARG001 - `Decode`
    """Readings of the answers in `data`; what a master says in between is passed over."""
    framer = Framer()
    for found in chain(framer.feed(data), framer.end()):
        if isinstance(found, Damage):
            yield BadAnswer(f"M-Bus: {found}")
        elif isinstance(found, Frame) and found.answer:
            yield from _readings(found)


def _readings(frame: Frame) -> Iterator[Reading | DeviceError]:
    try:
        telegram = parse(frame.data)
    except DeviceError as error:
        yield error
        return
    for name, record in distinct((*about(telegram.header), *telegram.records)):
        yield Reading(name, record.value, record.unit, record.quality)
    if telegram.manufacturer_data:
        yield Reading("manufacturer-data", telegram.manufacturer_data)
