"""Bytes in any split -> frames: start, length, end, escapes, checksum. Sans-IO."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from drivers.checksums import Checksum

Order = Literal["big", "little"]

# Bytes that may be judged for each byte that has come. Noise needs 4 at most: every 256th byte is a start of one byte,
# and a frame has up to 1024. A stream of nothing but starts would need 1024, which a fast line makes all of a core.
WORK = 32


class Damage(StrEnum):
    """Why bytes that begin like a frame are none."""

    LENGTH = "a length that no frame has"
    END = "no end where it should be"
    CHECKSUM = "wrong checksum"
    ESCAPE = "an escape that means nothing"
    STARTS = "more starts than frames can have"


@dataclass(frozen=True, slots=True)
class Length:
    """Where a frame says how long it is: `width` bytes at `at`, and what to add for the whole frame."""

    at: int
    width: int
    order: Order
    add: int


@dataclass(frozen=True, slots=True)
class Check:
    """Which checksum, of which bytes, and where it stands; places below 0 count from the frame's end."""

    sum: Checksum
    first: int
    end: int
    at: int
    order: Order

    @property
    def size(self) -> int:
        """Bytes of the checksum."""
        return self.sum.width // 8

    def holds(self, frame: bytes) -> bool:
        """Whether the frame has the checksum of its bytes."""
        at = self.at if self.at >= 0 else len(frame) + self.at
        said = frame[at : at + self.size]
        return len(said) == self.size and int.from_bytes(said, self.order) == self.sum(frame[self.first : self.end])


@dataclass(frozen=True, slots=True)
class Framing:
    """How a protocol tells where a frame begins and ends, and whether it came whole."""

    start: bytes
    end: bytes
    size: int | Length
    """Bytes of a whole frame, start and end included; of one with escapes after these are taken out."""
    longest: int
    check: Check | None
    escape: int | None = None
    escape_xor: int = 0


class Framer:
    """Finds frames in a stream; holds at most three times the longest one.

    Bytes that only looked like a frame are looked through again for a true one, as long as that is not `WORK` times as
    much work as the bytes that came; what is then dropped depends on the bytes alone, not on their split.
    """

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._held = bytearray()
        self._work = WORK * framing.longest

    def forget(self) -> None:
        """Begin anew: what is held belongs to nothing that will come."""
        self._held.clear()

    def feed(self, data: bytes) -> Iterator[bytes | Damage]:
        """The frames that `data` completes and the damage found, in order."""
        for at in range(0, len(data), self._framing.longest):
            self._held += data[at : at + self._framing.longest]
            yield from self._search()

    def _search(self) -> Iterator[bytes | Damage]:
        start = self._framing.start
        while self._align():
            found = self._escaped() if self._framing.escape is not None else self._plain()
            if found is None:
                return
            frame, size = found
            yield frame
            # of what was no frame only the start is known to be wrong: a true one may begin behind it
            self._drop(size if isinstance(frame, bytes) else len(start))

    def _align(self) -> bool:
        """Throw away what no frame can begin with; whether a whole start is held."""
        held, start = self._held, self._framing.start
        at = held.find(start)
        if at >= 0:
            self._drop(at)
            return True
        keep = next((size for size in range(len(start) - 1, 0, -1) if held.endswith(start[:size])), 0)
        self._drop(len(held) - keep)
        return False

    def _drop(self, size: int) -> None:
        """Be done with `size` bytes; they pay for the work on those behind them."""
        del self._held[:size]
        self._work = min(WORK * self._framing.longest, self._work + WORK * size)

    def _affords(self, size: int) -> bool:
        """Whether `size` more bytes may be judged; they are counted then."""
        if size > self._work:
            return False
        self._work -= size
        return True

    def _plain(self) -> tuple[bytes | Damage, int] | None:
        size = self._size(self._held)
        if size is None:
            return None
        if not self._possible(size):
            return Damage.LENGTH, 0
        if len(self._held) < size:
            return None
        if not self._affords(size):
            return Damage.STARTS, 0
        frame = bytes(self._held[:size])
        return self._judge(frame), size

    def _escaped(self) -> tuple[bytes | Damage, int] | None:
        """The frame up to the next end, which stands nowhere inside: the escapes see to that."""
        framing, held = self._framing, self._held
        at = held.find(framing.end, len(framing.start))
        if at == len(framing.start) and framing.start == framing.end:
            return Damage.END, 0  # one end and the next start: the frame begins at the second
        if at < 0:
            return (Damage.LENGTH, 0) if len(held) > 2 * framing.longest else None
        size = at + len(framing.end)
        if not self._affords(size):
            return Damage.STARTS, 0
        inside = self._unescaped(held[len(framing.start) : at])
        if inside is None:
            return Damage.ESCAPE, 0
        frame = framing.start + inside + framing.end
        said = self._size(bytearray(frame))
        return (self._judge(frame) if said == len(frame) <= framing.longest else Damage.LENGTH), size

    def _unescaped(self, data: bytearray) -> bytes | None:
        found, escaped = bytearray(), False
        for byte in data:
            if escaped:
                found.append(byte ^ self._framing.escape_xor)
            elif byte != self._framing.escape:
                found.append(byte)
            escaped = not escaped and byte == self._framing.escape
        return None if escaped else bytes(found)

    def _size(self, frame: bytearray) -> int | None:
        """What the frame says of its length; None while the length has not come."""
        size = self._framing.size
        if isinstance(size, int):
            return size
        if len(frame) < size.at + size.width:
            return None
        return int.from_bytes(frame[size.at : size.at + size.width], size.order) + size.add

    def _possible(self, size: int) -> bool:
        framing = self._framing
        check = 0 if framing.check is None else framing.check.size
        return len(framing.start) + len(framing.end) + check <= size <= framing.longest

    def _judge(self, frame: bytes) -> bytes | Damage:
        if not frame.endswith(self._framing.end):
            return Damage.END
        check = self._framing.check
        return frame if check is None or check.holds(frame) else Damage.CHECKSUM
