"""The link layer's frames (EN 13757-2, which takes format class FT 1.2 of EN 60870-5-1): bytes in, whole frames out."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

START_SHORT = 0x10
START_LONG = 0x68
STOP = 0x16
ACK = 0xE5

MIN_LENGTH = 3  # C, A and CI: the control frame
MAX_LENGTH = 255  # the L field is one byte
OVERHEAD = 6  # start, L, L, start; checksum, stop
SHORT_SIZE = 5
MAX_FRAME = MAX_LENGTH + OVERHEAD

# C fields of a master and of a slave (EN 13757-2)
SND_NKE = 0x40
SND_UD = 0x53
REQ_UD2 = 0x5B
FCB = 0x20  # frame count bit of a master; the ACD bit of a slave
RSP_UD = 0x08
_SLAVE_BITS = 0x30  # ACD and DFC: what a slave says about itself, whatever the answer

# Addresses (EN 13757-2)
MAX_PRIMARY = 250
SELECTED = 253
NOBODY = 255  # for all, and none answers


class Damage(StrEnum):
    """Why bytes were thrown away."""

    NO_FRAME = "bytes that are no frame"
    LENGTH = "the two lengths differ or are too small"
    CHECKSUM = "wrong checksum"
    STOP = "no stop byte"
    UNFINISHED = "the frame ends too early"


@dataclass(frozen=True, slots=True)
class Ack:
    """The single character E5."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A short frame (no data), or a long one: control, address, and from the CI field on the data."""

    control: int
    address: int
    data: bytes = b""

    @property
    def answer(self) -> bool:
        """Whether it is the answer of a slave with user data (RSP_UD)."""
        return bool(self.data) and self.control & ~_SLAVE_BITS == RSP_UD

    def encode(self) -> bytes:
        """Its bytes; raises `ValueError` for more data than a frame holds."""
        body = bytes((self.control, self.address)) + self.data
        tail = bytes((sum(body) & 0xFF, STOP))
        if not self.data:
            return bytes((START_SHORT,)) + body + tail
        if len(body) > MAX_LENGTH:
            raise ValueError(f"{len(body)} bytes do not fit in a frame")
        return bytes((START_LONG, len(body), len(body), START_LONG)) + body + tail


Found = Ack | Frame | Damage


class Framer:
    """Finds frames in any split of the bytes; holds at most one frame. Damage costs the frame it is in."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._lost: Damage | None = None

    def feed(self, data: bytes) -> Iterator[Found]:
        """What is complete now, in order; bytes thrown away in a row count as one damage."""
        for at in range(0, len(data), MAX_FRAME):
            self._held += data[at : at + MAX_FRAME]
            yield from self._take()

    def end(self) -> Iterator[Found]:
        """What is left when no more bytes come: frames that stood behind a damaged start, and the damage."""
        while self._held:
            self._drop(Damage.UNFINISHED)
            yield from self._take()
        yield from self._told()

    def _take(self) -> Iterator[Found]:
        while self._held:
            size = self._size()
            if isinstance(size, Damage):
                self._drop(size)
            elif len(self._held) < size:
                return
            else:
                yield from self._frame(size)

    def _frame(self, size: int) -> Iterator[Found]:
        held = self._held
        if size == 1:
            found: Ack | Frame = Ack()
        else:
            body = held[1:3] if size == SHORT_SIZE else held[4 : size - 2]
            if sum(body) & 0xFF != held[size - 2]:
                self._drop(Damage.CHECKSUM)
                return
            if held[size - 1] != STOP:
                self._drop(Damage.STOP)
                return
            found = Frame(body[0], body[1], bytes(body[2:]))
        del held[:size]
        yield from self._told()
        yield found

    def _size(self) -> int | Damage:
        """How long the frame at the start of what is held is, as far as its header is there."""
        held = self._held
        if held[0] == ACK:
            return 1
        if held[0] == START_SHORT:
            return SHORT_SIZE
        if held[0] != START_LONG:
            return Damage.NO_FRAME
        if len(held) >= 2 and (held[1] < MIN_LENGTH or held[1:3] not in (held[1:2], held[1:2] * 2)):
            return Damage.LENGTH
        if len(held) >= 4 and held[3] != START_LONG:
            return Damage.LENGTH
        return held[1] + OVERHEAD if len(held) >= 4 else 4

    def _drop(self, why: Damage) -> None:
        self._lost = self._lost or why
        del self._held[0]

    def _told(self) -> Iterator[Damage]:
        lost, self._lost = self._lost, None
        if lost is not None:
            yield lost
