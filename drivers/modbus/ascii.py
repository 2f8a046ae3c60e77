"""ASCII frames: a colon, unit, PDU and LRC in hexadecimal, CR LF; no I/O.

LINE is Modbus over Serial Line, Specification and Implementation Guide V1.02.
"""

from drivers.errors import BadAnswer
from drivers.modbus.framing import LineFraming
from drivers.modbus.pdu import Question

START, END = b":", b"\r\n"  # LINE 2.5.2.1
MAX_FRAME = 513  # characters: LINE 2.5.2.1


def encode(unit: int, pdu: bytes) -> bytes:
    """The frame of a PDU; the LRC is the two's complement of the sum (LINE 2.5.2.2)."""
    body = bytes((unit,)) + pdu
    return START + (body + bytes((-sum(body) & 0xFF,))).hex().upper().encode() + END


def decode(frame: bytes) -> tuple[int, bytes]:
    """Unit and PDU of one frame without its CR LF; raises `BadAnswer`."""
    try:
        body = bytes.fromhex(frame[1:].decode("ascii")) if frame.isalnum() or frame[1:].isalnum() else b""
    except ValueError:
        body = b""
    if not frame.startswith(START) or len(frame) > MAX_FRAME or len(body) < 3:
        raise BadAnswer(f"{frame[:MAX_FRAME]!r} is no Modbus ASCII frame")
    if sum(body) & 0xFF:
        raise BadAnswer("the answer's LRC is wrong")
    return body[0], body[1:-1]


class AsciiFraming(LineFraming):
    """Finds the answer by colon, unit, function, length and LRC among whatever the line brings."""

    def encode(self, unit: int, pdu: bytes) -> bytes:
        """The frame of a PDU."""
        return encode(unit, pdu)

    def length(self, size: int) -> int:
        """Colon, two characters for each of unit, PDU and LRC, CR LF."""
        return 2 * size + 7

    def _find(self, question: Question) -> bytes | None:
        while END in self._held:
            line, _, self._held = self._held.partition(END)
            start = line.rfind(START)  # a colon begins a new frame wherever it comes: LINE 2.5.2.1
            if start < 0:
                continue
            frame = line[start:]
            if frame + END == self._asked and self._is_echo(question):
                self._echoed = True
                continue
            found = self._judge(question, *decode(frame))
            if found is not None:
                return found
        return None
