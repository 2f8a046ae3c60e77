"""`lamppost decode nmea`: every field that is known of every sentence, named sentence.field."""

import re
from collections.abc import Iterator

from config import Profile
from drivers.decoding import Reading
from drivers.errors import BadAnswer, DeviceError
from drivers.nmea.framing import Damage, Framer, Sentence
from drivers.nmea.sentences import FIELDS, SPEED_UNITS, Field, letter, read, repeats, transducer, transducers
from ext import GOOD, UNCERTAIN, Value

# Units (UCUM or SenML) of fields by their names, which mean the same in all sentences
_UNITS = {
    "latitude": "deg", "longitude": "deg", "course": "deg", "course-magnetic": "deg", "variation": "deg",
    "direction": "deg", "direction-magnetic": "deg", "angle": "deg", "wind-direction-true": "deg",
    "wind-direction-magnetic": "deg", "altitude": "m", "geoid-separation": "m", "time": "s", "speed-km": "km/h",
    "speed-knots": "kn", "wind-speed-knots": "kn", "wind-speed": "m/s", "pressure": "bar",
    "pressure-inches": "[in_i'Hg]", "air-temperature": "Cel", "water-temperature": "Cel", "dew-point": "Cel",
    "relative-humidity": "%RH", "absolute-humidity": "%",
}  # fmt: skip
_SPEEDS = {"RMC": "kn", "VTG": "kn", "MWD": "m/s"}
_MWV_SPEEDS = {sign: unit for unit, sign in reversed(SPEED_UNITS.items())}

# Units of transducers by type and the letter of the unit (NMEA 0183 3.01, XDR)
_XDR_UNITS = {
    "AD": "deg", "CC": "Cel", "DM": "m", "FH": "Hz", "HP": "%RH", "IA": "A", "NN": "N", "PB": "bar", "PP": "Pa",
    "RL": "l/s", "UV": "V", "VM": "m3",
}  # fmt: skip

_COMMENT = re.compile(rb"^#[^\r\n]*", re.MULTILINE)  # as logs have them, which may name sentences


def decode(data: bytes, profile: Profile | None = None) -> Iterator[Reading | DeviceError]:  # noqa: ARG001 - `Decode`
    """Readings of all sentences; one without a line's end at the end of `data` counts as whole.

    What has no checksum is uncertain: whether such a sentence was cut or altered nobody can tell.
    """
    framer = Framer(checksum_required=False)
    for found in framer.feed(_COMMENT.sub(b"", data) + b"\r\n"):
        if isinstance(found, Damage):
            yield BadAnswer(f"NMEA sentence: {found}")
        else:
            yield from _readings(found)


def _readings(sentence: Sentence) -> Iterator[Reading]:
    if sentence.formatter == "XDR":
        for name, at in transducers(sentence).items():
            yield _reading(sentence, f"xdr.{name}", _xdr_unit(sentence, at), *read(sentence, transducer(at, "")))
    if repeats(sentence):
        return
    for name, field in FIELDS.get(sentence.formatter, {}).items():
        said = read(sentence, field, field.letters or "MKNS")
        yield _reading(sentence, f"{sentence.formatter.lower()}.{name}", _unit(sentence, name), *said)
    if sentence.formatter == "MWV":
        yield _reading(sentence, "mwv.reference", "", *read(sentence, Field(2, letter)))


def _reading(sentence: Sentence, name: str, unit: str, value: Value, quality: int) -> Reading:
    return Reading(name, value, unit, quality if sentence.summed or quality != GOOD else UNCERTAIN)


def _unit(sentence: Sentence, name: str) -> str:
    if name != "speed":
        return _UNITS.get(name, "")
    if sentence.formatter == "MWV":
        return _MWV_SPEEDS.get(sentence.fields[3] if len(sentence.fields) > 3 else "", "")
    return _SPEEDS[sentence.formatter]


def _xdr_unit(sentence: Sentence, at: int) -> str:
    """By the type before the value, which stands at `at`, and the letter behind it."""
    unit = sentence.fields[at] if at < len(sentence.fields) else ""
    return _XDR_UNITS.get(sentence.fields[at - 2] + unit, "")
