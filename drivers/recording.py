"""Recordings of a bus: a line a frame, `> hex` sent and `< hex` received, with the time in a comment; no I/O.

The notation of Modbus recordings, in which comments say nothing; here one that begins with a number of seconds is when.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import DriverError
from drivers.tap import MAX_SHOWN

MAX_BYTES = 64 * 1024 * 1024  # of a file: a day of a line at 9600 baud that is never silent, in hex
MAX_LINE = 3 * MAX_SHOWN + 512  # characters: three a byte, and a comment

_TIME = re.compile(r"\s*\+(\d{1,9}(?:\.\d{1,6})?)")


class RecordingError(DriverError, ValueError):
    """A recording cannot be read; says in which line."""

    exit_code = 65  # EX_DATAERR


@dataclass(frozen=True, slots=True)
class Recorded:
    """One frame, or piece of one."""

    at: float
    """Seconds since the recording began; never less than that of the line before."""
    sent: bool
    data: bytes


def line(at: float, *, sent: bool, data: bytes, what: str) -> str:
    """A line of a recording; without bytes, a comment."""
    comment = f"# +{at:.3f} {what}".rstrip()
    return f"{'>' if sent else '<'} {data.hex(' ')}  {comment}\n" if data else f"{comment}\n"


def load(file: Path) -> list[Recorded]:
    """What was recorded; raises `RecordingError` with the number of the line."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise RecordingError(f"{file} has more than {MAX_BYTES} bytes")
        text = file.read_text("ascii")
    except OSError as error:
        raise RecordingError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordingError(f"{file} is no text") from error
    try:
        return list(parse(text))
    except RecordingError as error:
        raise RecordingError(f"{file}, {error}") from error


def parse(text: str) -> Iterator[Recorded]:
    """The frames in their order; raises `RecordingError`."""
    at = 0.0
    for number, raw in enumerate(text.splitlines(), start=1):
        if len(raw) > MAX_LINE:
            raise RecordingError(f"line {number}: more than {MAX_LINE} characters")
        frame, _, comment = raw.partition("#")
        if time := _TIME.match(comment):
            at = max(at, float(time[1]))
        frame = frame.strip()
        if frame and frame[0] not in "<>":
            raise RecordingError(f"line {number}: begins neither with > nor with <")
        if frame:
            yield Recorded(at, frame[0] == ">", _data(number, frame[1:]))


def _data(number: int, digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise RecordingError(f"line {number}: what follows {'> or <'} is no hex") from None


PAUSE_S = 0.2
"""What comes later after the line before is another telegram, or another exchange: meters pause for a second."""


def exchanges(recorded: Sequence[Recorded]) -> Iterator[list[Recorded]]:
    """What belongs together: a request with all that came until the next, or what came without a pause."""
    held: list[Recorded] = []
    for one in recorded:
        if held and (one.sent or (not held[0].sent and one.at - held[-1].at > PAUSE_S)):
            yield held
            held = []
        held.append(one)
    if held:
        yield held
