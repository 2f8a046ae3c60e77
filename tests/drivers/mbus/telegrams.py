"""Telegrams of the golden cases, for tests of the line: frames of real meters (libmbus, BSD)."""

from pathlib import Path

CASES = Path(__file__).parents[3] / "drivers" / "mbus" / "testcases"


def frame(case: str) -> bytes:
    """The frame of a golden case."""
    lines = (CASES / case / "frames.txt").read_text().splitlines()
    return bytes.fromhex("".join(line for line in lines if not line.startswith("#")))


def readdressed(raw: bytes, address: int, number: str | None = None) -> bytes:
    """The same meter at another address, and with another number."""
    body = bytearray(raw[4:-2])
    body[1] = address
    if number is not None:
        body[3:7] = bytes.fromhex(number)[::-1]
    return bytes((0x68, len(body), len(body), 0x68)) + bytes(body) + bytes((sum(body) & 0xFF, 0x16))


def header(frame_: bytes) -> bytes:
    """C, A, CI and the twelve bytes of the long header."""
    return frame_[4:19]


HEAT = readdressed(frame("elster-f96-plus"), 6)
"""Number 44493951, flow 22.7 Cel, return 22.6 Cel; its address was 0."""
WATER = frame("siemens-water")
"""Number 08021382, address 0."""
