"""What speaks on a serial port, guessed from what was heard. Sans-IO; a checksum makes a guess worth telling."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from config import Profile
from drivers.decoding import Decode, Reading
from drivers.errors import DriverError
from drivers.nmea.framing import Framer, Sentence
from ext import quality_class

SML_START = b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01"  # BSI TR-03109-1, Anlage IV b: transport protocol, version 1
P1_START, P1_END = b"/", b"\r\n\r\n"  # IEC 62056-21, 6.3 and DSMR 5.0.2 P1, 6.2: /XXX5..., an empty line, data, !
PRINTABLE_SHARE = 0.98  # of what is text: noise at a wrong rate has a third
LEAST = 20  # bytes: fewer say nothing

Known = tuple[Profile, Decode]


@dataclass(frozen=True, slots=True)
class Guess:
    """A driver, the profile that understood what was heard, and whether bytes have 7 bits and even parity."""

    driver: str
    profile: str = ""
    seven_even: bool = False


def guess(data: bytes, known: Iterable[Known]) -> Guess | None:
    """What fits best: a protocol of its own, a profile whose checksums held, else lines of text; None for noise."""
    even = len(data) >= LEAST and all(byte.bit_count() % 2 == 0 for byte in data)
    text = bytes(byte & 0x7F for byte in data) if even else data
    for made in _candidates(text, known):
        return Guess(made.driver, made.profile, even)
    return None


def _candidates(data: bytes, known: Iterable[Known]) -> Iterator[Guess]:
    if any(isinstance(one, Sentence) for one in Framer().feed(data)):
        yield Guess("nmea")
    if SML_START in data:
        yield Guess("sml")
    if _is_p1(data):
        yield Guess("p1")
    for profile, decode in known:
        if _understood(data, profile, decode):
            yield Guess(profile.driver, profile.name)
    if _is_text(data):
        yield Guess("line")


def _is_p1(data: bytes) -> bool:
    """A telegram's first line, three letters of its maker behind the "/", and the empty line after it."""
    _, start, rest = data.partition(P1_START)
    line = rest.partition(b"\r\n")[0]
    return bool(start) and line[:3].isalpha() and rest.startswith(P1_END, len(line))


def _understood(data: bytes, profile: Profile, decode: Decode) -> bool:
    try:
        found = list(decode(data, profile))
    except DriverError:
        return False
    good = sum(isinstance(one, Reading) and quality_class(one.quality) == 0 for one in found)
    return good > 0 and good >= len(found) - good


def _is_text(data: bytes) -> bool:
    plain = sum(0x20 <= byte < 0x7F or byte in b"\r\n\t" for byte in data)
    ends = data.count(b"\n") + data.count(b"\r")
    return len(data) >= LEAST and ends >= 1 and plain >= PRINTABLE_SHARE * len(data)
