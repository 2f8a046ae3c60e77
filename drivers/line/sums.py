"""How a line carries its checksum, by name: what a line says without it, or None where it is wrong."""

import re
from collections.abc import Callable
from typing import Final

from drivers.checksums import CRCS, named

LineSum = Callable[[bytes], bytes | None]

HEX: Final = "hex digits at the end of the line"

_NMEA = re.compile(rb"[$!]([^*]*)\*([0-9A-Fa-f]{2})")


def _none(line: bytes) -> bytes | None:
    return line


def _nmea(line: bytes) -> bytes | None:
    """IEC 61162-1, clause 7: exclusive or of what stands between "$" (or "!") and "*", then two hex digits."""
    match = _NMEA.fullmatch(line)
    return line[:-3] if match is not None and int(match[2], 16) == named("xor8")(match[1]) else None


def _sdi12(line: bytes) -> bytes | None:
    """SDI-12 1.4: CRC-16/ARC of all before it, as three characters of six bits with 0x40 added."""
    body, said = line[:-3], line[-3:]
    crc = CRCS["CRC-16/ARC"](body)
    characters = bytes(0x40 | crc >> shift & 0x3F for shift in (12, 6, 0))
    return body if body and said == characters else None


def _tic(line: bytes, covered: int) -> bytes | None:
    """Enedis-NOI-CPT_54E: the last six bits of the sum, plus 0x20, behind a separator."""
    if len(line) < 3 or line[-2:-1] not in (b" ", b"\t"):
        return None
    return line[:-2] if sum(line[:-covered]) % 64 + 0x20 == line[-1] else None


def _tic_historic(line: bytes) -> bytes | None:
    """The separator before the checksum is not added up."""
    return _tic(line, 2)


def _tic_standard(line: bytes) -> bytes | None:
    """The separator before the checksum is added up."""
    return _tic(line, 1)


PROTOCOLS: Final[dict[str, LineSum]] = {
    "none": _none,
    "nmea": _nmea,
    "sdi-12": _sdi12,
    "tic-historic": _tic_historic,
    "tic-standard": _tic_standard,
}
"""Checksums that a protocol puts in a place of its own."""


def line_sum(name: str, mark: str = "") -> LineSum:
    """The check of that name; one of `drivers.checksums` stands as hex digits behind `mark` at the end of the line.

    Raises `ValueError` for a name that nobody knows, and for a mark where the name says the place already.
    """
    if name in PROTOCOLS:
        if mark:
            raise ValueError(f"checksum {name!r} has its own place: leave checksum_mark out")
        return PROTOCOLS[name]
    made, before = named(name), mark.encode("ascii")
    digits = made.width // 4
    tail = re.compile(re.escape(before) + rb"([0-9A-Fa-f]{%d})" % digits)
    size = len(before) + digits

    def check(line: bytes) -> bytes | None:
        match = tail.fullmatch(line[-size:])
        body = line[:-size]
        return body if match is not None and body and int(match[1], 16) == made(body) else None

    return check
