"""Readouts of the golden cases, as bytes."""

import re
from pathlib import Path

CASES = Path(__file__).parents[3] / "drivers" / "iec62056" / "testcases"
_NAMED = {"<STX>": "\x02", "<ETX>": "\x03", "<ACK>": "\x06"}


def readout(case: str) -> bytes:
    """What the meter of a golden case sends, identification and block; what it is sent is left out."""
    lines = (CASES / case / "frames.txt").read_text().splitlines()
    text = "\r\n".join(line for line in lines if not line.startswith(("#", "<ACK>")))
    for name, character in _NAMED.items():
        text = text.replace(name, character)
    return re.sub("<([0-9A-F]{2})>", lambda match: chr(int(match[1], 16)), text).encode("ascii")


MANUAL = readout("lem-em4tii")
LOGAREX = readout("logarex-lk13")
ENCODER = readout("elster-encoder")


def parts(data: bytes) -> tuple[bytes, bytes]:
    """The identification line, and the rest."""
    line, _, rest = data.partition(b"\r\n")
    return line + b"\r\n", rest
