"""`lamppost decode iec62056`: every object of every readout."""

import re
from collections.abc import Iterator
from itertools import pairwise

from config import Profile
from drivers.decoding import Reading
from drivers.errors import BadAnswer, DeviceError
from drivers.iec62056.protocol import ETX, STX, Answer
from drivers.iec62056.readout import READ, parse
from drivers.obis import DataObject
from ext import GOOD

_BEGIN = re.compile(rb"(?:^|(?<=[^ -.0-~]))/(?=[A-Za-z]{3}[^!\r\n]*\r\n)", re.MULTILINE)  # an identification
_ACKNOWLEDGEMENT = re.compile(rb"\x06[0-9A-Z]{3}\r\n")
_NO_IDENTIFICATION = b"/XXX?\r\n"
_NUMBER = re.compile(
    r"\s*[+-]?[0-9]+(?:[.,][0-9]*)?\*.+|\s*[+-]?[0-9]+\.[0-9]+\s*"
)  # digits alone may be a number, or a name
# The code of a measured quantity (IEC 62056-61, table 2): whatever stands there is a number, or wrong
_COUNTER = re.compile(r"(?:[0-9]-[0-9]{1,2}:)?(?:[1-9]|[1-8][0-9])\.[0-9]{1,2}(?:\.[0-9]{1,3})?(?:\*[0-9]{1,3})?")


def decode(data: bytes, profile: Profile | None = None) -> Iterator[Reading | DeviceError]:  # noqa: ARG001 - `Decode`
    """Readings of readouts with their identifications, or of one without; parity bits are left out."""
    plain = bytes(byte & 0x7F for byte in data)
    if b"\r\n" not in plain:  # a file that lost them
        plain = plain.replace(b"\n", b"\r\n")
    begins = [match.start() for match in _BEGIN.finditer(plain)]
    if not begins:
        yield from _readout(_NO_IDENTIFICATION + plain)
    for begin, end in pairwise([*begins, len(plain)]):
        yield from _readout(plain[begin:end])


def _readout(plain: bytes) -> Iterator[Reading | DeviceError]:
    try:
        if bytes((ETX,)) in plain and bytes((STX,)) not in plain:
            raise BadAnswer("IEC 62056-21 readout: a data block without its start")
        # of mode A: what a meter of mode C waits for stands in the recording already, or was left out of it
        block = Answer(mode="A", checksum_required=False).feed(_ACKNOWLEDGEMENT.sub(b"", plain, count=1) + b"\r\n")
        if not isinstance(block, str):
            raise BadAnswer("IEC 62056-21 readout: no whole data block")
        objects = parse(block)
    except DeviceError as error:
        yield error
    else:
        for one in objects:
            yield from _readings(one)


def _readings(one: DataObject) -> Iterator[Reading]:
    """Each value of an object: the second of a code has `#2`, and so on."""
    for n, group in enumerate(one.groups, 1):
        counted = n == 1 and _COUNTER.fullmatch(one.code)
        read = READ["number" if counted or _NUMBER.fullmatch(group) else "text"]
        value, unit, quality = read(DataObject(one.code, (group,)))
        yield Reading(one.code if n == 1 else f"{one.code}#{n}", value, unit, GOOD if value == "" else quality)
