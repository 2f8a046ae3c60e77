"""Recorded frames as text: `> hex` for a request, `< hex` for an answer, whole frames, `#` for a comment."""

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.errors import DriverError
from drivers.modbus.ascii import MAX_FRAME

MAX_LINE = 4 * MAX_FRAME  # characters: two digits a byte, and room to set them apart


class RecordingError(DriverError, ValueError):
    """A line of a recording is not what it should be."""

    exit_code = 65  # EX_DATAERR


@dataclass(frozen=True, slots=True)
class Line:
    """One recorded frame."""

    number: int
    asked: bool
    data: bytes


def lines(recording: str) -> Iterator[Line]:
    """The frames of a recording in order; raises `RecordingError` with the number of the line."""
    for number, raw in enumerate(recording.splitlines(), start=1):
        text = raw.partition("#")[0].strip()
        if not text:
            continue
        if text[0] not in "<>" or len(text) > MAX_LINE:
            raise RecordingError(f"line {number}: begins neither with > nor with <, or has over {MAX_LINE} characters")
        try:
            data = bytes.fromhex(text[1:])
        except ValueError as error:
            raise RecordingError(f"line {number}: {error}") from error
        yield Line(number, text[0] == ">", data)
