"""Frames of Modbus TCP, which carry a transaction number; no I/O.

TCP is the Modbus Messaging on TCP/IP Implementation Guide V1.0b.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from drivers.errors import BadAnswer, BusError, DeviceError, NoAnswer
from drivers.modbus.framing import Framing
from drivers.modbus.pdu import MAX_PDU, Question, payload

HEADER = 7  # bytes of the MBAP header: TCP 3.1.3
MAX_LENGTH = 1 + MAX_PDU  # the largest length field: the unit and a PDU
MAX_FRAME = 6 + MAX_LENGTH
RECENT = 256  # transactions whose late answers are known as frames in the middle of another that never ended
MAX_UNASKED = 1 << 20
"""Bytes after a question: no fault sends so many, and who floods is left before it costs the other buses."""

_HEAD = Struct(">HHHB")


@dataclass(frozen=True, slots=True)
class Frame:
    """One MBAP frame (TCP 3.1.3)."""

    transaction: int
    unit: int
    pdu: bytes


class FrameStream:
    """Cuts what a connection delivers into frames and stays in step with it; holds less than one frame."""

    def __init__(self) -> None:
        self._rest = b""
        self.dropped = 0
        """Bytes that were no frame."""

    def feed(self, data: bytes, transaction: int) -> Iterator[Frame]:
        """The frames that `data` completes; `transaction` is the newest that was asked.

        A frame that never came to its end swallows nothing: a piece that begins like the answer to a recent question
        ends it. No frame is believed that has something behind it that is no header.
        """
        if self._rest and _begins_recent(data, transaction):
            self._drop()
        held, at = self._rest + data, 0
        self._rest = b""
        while len(held) >= at + HEADER:
            length = _length(held[at : at + HEADER])
            if length is None:
                self.dropped += len(held) - at
                return
            end = at + 6 + length
            if len(held) < end:
                break
            if len(held) == end or _length(held[end : end + HEADER]) is not None:
                yield _frame(held[at:end])
            else:
                self.dropped += end - at
            at = end
        self._rest = held[at:]

    def _drop(self) -> None:
        self.dropped += len(self._rest)
        self._rest = b""


class MbapFraming(Framing):
    """Numbers each question, and takes only the answer that has its number."""

    def __init__(self) -> None:
        super().__init__()
        self._transaction = random.randrange(0x10000)  # registers often hold small numbers, as headers do
        self._stream = FrameStream()
        self._dropped = 0
        self._came = 0

    def reset(self) -> None:
        """Forget what came on the connection before."""
        self._came = 0
        self._stream = FrameStream()

    def begin(self, question: Question) -> bytes:
        """The frame that asks it, with the next number."""
        self._question = question
        self._came = 0
        self._dropped = self._stream.dropped
        self._transaction = number = self._transaction + 1 & 0xFFFF
        pdu = question.pdu
        return _HEAD.pack(number, 0, 1 + len(pdu), question.unit) + pdu

    def feed(self, data: bytes) -> bytes | None:
        """The data of the answer once it has come; raises `DeviceError` for one that is none, `BusError` in a flood."""
        self._came += len(data)
        if self._came > MAX_UNASKED:
            raise BusError(f"the other side sends without end, {self._came} bytes since it was asked last")
        answer = None
        for frame in self._stream.feed(data, self._transaction):
            if frame.transaction == self._transaction and answer is None and self._question is not None:
                answer = frame
        if answer is None or self._question is None:
            return None
        question, self._question = self._question, None
        return payload(question, answer.unit, answer.pdu)

    def end(self, patience: str) -> DeviceError:
        """What to tell when no answer has come within `patience`."""
        self._question = None
        strange = self._stream.dropped - self._dropped
        if strange:
            return BadAnswer(f"{strange} bytes came that are no Modbus TCP frame, and no answer")
        return NoAnswer(f"no answer within {patience}")


def parse_frame(data: bytes) -> Frame:
    """The one frame that `data` is; raises `BadAnswer`."""
    if not HEADER < len(data) <= MAX_FRAME or _length(data) != len(data) - 6:
        raise BadAnswer(f"{data[:MAX_FRAME].hex(' ')} is no Modbus TCP frame")
    return _frame(data)


def _frame(data: bytes) -> Frame:
    return Frame(int.from_bytes(data[:2], "big"), data[6], data[HEADER:])


def _length(data: bytes) -> int | None:
    """The length field of the header that `data` begins with; None when it is no header."""
    length = int.from_bytes(data[4:6], "big")
    return length if len(data) >= 6 and data[2:4] == b"\0\0" and 2 <= length <= MAX_LENGTH else None


def _begins_recent(data: bytes, newest: int) -> bool:
    """Whether `data` begins with the header of an answer to a question asked not long ago."""
    return _length(data) is not None and newest - int.from_bytes(data[:2], "big") & 0xFFFF < RECENT
