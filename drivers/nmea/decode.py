"""`lamppost decode nmea`: every field that is known of every sentence, named sentence.field."""

from collections.abc import Iterator

from config import Profile
from drivers.decoding import Reading
from drivers.errors import BadAnswer, DeviceError
from drivers.nmea.framing import Damage, Framer, Sentence
from drivers.nmea.sentences import FIELDS, read, repeats, transducer, transducers


def decode(data: bytes, profile: Profile | None = None) -> Iterator[Reading | DeviceError]:  # noqa: ARG001 - `Decode`
    """Readings of all sentences; one without a line's end at the end of `data` counts as whole."""
    framer = Framer(checksum_required=False)
    for found in framer.feed(data + b"\r\n"):
        if isinstance(found, Damage):
            yield BadAnswer(f"NMEA sentence: {found}")
        else:
            yield from _fields(found)


def _fields(sentence: Sentence) -> Iterator[Reading | DeviceError]:
    if sentence.formatter == "XDR":
        for name, at in transducers(sentence).items():
            value, quality = read(sentence, transducer(at, ""))
            yield Reading(f"xdr.{name}", value, "", quality)
    if repeats(sentence):
        return
    for name, field in FIELDS.get(sentence.formatter, {}).items():
        value, quality = read(sentence, field, field.letters or "MKNS")
        yield Reading(f"{sentence.formatter.lower()}.{name}", value, "", quality)
