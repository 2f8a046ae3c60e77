"""Bytes in any split -> lines: start, end, length, checksum. Sans-IO."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from drivers.line.sums import LineSum


class Damage(StrEnum):
    """Why the bytes up to an end are no line."""

    UNFINISHED = "another line began before its end"
    TOO_LONG = "longer than a line may be"
    STRANGE = "a byte that no line may hold"
    CHECKSUM = "wrong checksum"


@dataclass(frozen=True, slots=True)
class Framing:
    """How a protocol tells where a line begins and ends, and whether it came whole."""

    ends: bytes
    """Each of these bytes ends a line; lines without a character between two ends are none."""
    start: bytes
    """One byte that begins a line, kept in it, or none: then a line begins after an end."""
    longest: int
    encoding: str
    check: LineSum


class Framer:
    """Finds lines in a stream; holds at most `longest` bytes. What is broken costs itself only.

    Without a start byte it cannot know whether the first bytes are the middle of a line: unless `whole` is said, all
    before the first end is passed over.
    """

    def __init__(self, framing: Framing, *, whole: bool = False) -> None:
        self._framing = framing
        self._whole = whole
        self._line: bytearray | None = None
        self.forget()

    def forget(self) -> None:
        """Begin anew: what is held belongs to nothing that will come."""
        self._line = bytearray() if self._whole and not self._framing.start else None

    def forget_line(self) -> None:
        """Drop what is held of a line that will not go on; what comes next begins one."""
        if self._line is not None:
            self._line = None if self._framing.start else bytearray()

    def feed(self, data: bytes) -> Iterator[str | Damage]:
        """The lines that `data` completes, without their checksums and ends, and the damage found, in order."""
        for byte in data:
            found = self._take(byte)
            if found is not None:
                yield found

    def _take(self, byte: int) -> str | Damage | None:
        framing, line = self._framing, self._line
        if byte in framing.ends:
            self._line = None if framing.start else bytearray()
            return self._judge(bytes(line)) if line else None
        if byte in framing.start:
            self._line = bytearray([byte])
            return None if line is None else Damage.UNFINISHED
        if line is None:
            return None
        if len(line) == framing.longest:
            self._line = None
            return Damage.TOO_LONG
        line.append(byte)
        return None

    def _judge(self, line: bytes) -> str | Damage | None:
        body = self._framing.check(line)
        if body is None:
            return Damage.CHECKSUM
        try:
            text = body.decode(self._framing.encoding)
        except UnicodeDecodeError:
            return Damage.STRANGE
        return text if text.replace("\t", "").isprintable() else Damage.STRANGE
