"""RTU frames: unit, PDU, CRC; no I/O. LINE is Modbus over Serial Line, Specification and Implementation Guide V1.02."""

from drivers.checksums import CRCS
from drivers.errors import BadAnswer
from drivers.modbus.encode import MASK_WRITE, WRITE_COIL, WRITE_COILS, WRITE_REGISTER, WRITE_REGISTERS
from drivers.modbus.framing import LineFraming
from drivers.modbus.identification import IDENTIFY, IdentityQuestion, measure
from drivers.modbus.pdu import ERROR_BIT, Question

MAX_FRAME = 256  # LINE 2.5.1
FAST_BAUD = 19200  # above it the silent interval is fixed: LINE 2.5.1.1
FAST_SILENCE = 1.75  # ms
EXCEPTION_FRAME = 5  # bytes: unit, function, code, CRC

_crc = CRCS["CRC-16/MODBUS"]  # LINE 2.5.1.2
_FIXED = {WRITE_COIL: 8, WRITE_REGISTER: 8, WRITE_COILS: 8, WRITE_REGISTERS: 8, MASK_WRITE: 10}  # whole answers


def silence_ms(baud: int, byte_ms: float) -> float:
    """The silence between two frames, t3.5 of LINE 2.5.1.1, in ms."""
    return FAST_SILENCE if baud > FAST_BAUD else 3.5 * byte_ms


def encode(unit: int, pdu: bytes) -> bytes:
    """The frame of a PDU; the low byte of the CRC goes first."""
    body = bytes((unit,)) + pdu
    return body + _crc(body).to_bytes(2, "little")


def decode(frame: bytes) -> tuple[int, bytes]:
    """Unit and PDU of one whole frame; raises `BadAnswer`."""
    if not 4 <= len(frame) <= MAX_FRAME or _crc(frame):
        raise BadAnswer(f"{frame[:MAX_FRAME].hex(' ')} is no Modbus RTU frame")
    return frame[0], frame[1:-2]


class RtuFraming(LineFraming):
    """Finds the answer by unit, function, length and CRC among whatever the line brings."""

    _fresh = 0
    """Bytes at the end of what is held that no search has seen."""

    def begin(self, question: Question) -> bytes:
        """The frame that asks it."""
        self._fresh = 0
        return super().begin(question)

    def feed(self, data: bytes) -> bytes | None:
        """The data of the answer, found among whatever else is on the line."""
        self._fresh += len(data)
        return super().feed(data)

    def encode(self, unit: int, pdu: bytes) -> bytes:
        """The frame of a PDU."""
        return encode(unit, pdu)

    def length(self, size: int) -> int:
        """Unit, PDU, CRC."""
        return size + 3

    def _find(self, question: Question) -> bytes | None:
        while self._held:
            if self._own(question):
                return None
            if self._answer_at(question, 0):
                return self._judge(question, *decode(self._cut(self._size(question, 0))))
            if not self._foreign(question):
                break
        return self._search(question)

    def _own(self, question: Question) -> bool:
        """Take our own frame away; whether what is held may still become it."""
        if self._held.startswith(self._asked) and self._is_echo(question):
            self._echoed = True
            self._cut(len(self._asked))
            return not self._held
        return not self._echoed and len(self._held) < len(self._asked) and self._asked.startswith(self._held)

    def _foreign(self, question: Question) -> bool:
        """Take another's whole frame away, if what is held begins with one; raises for our unit's that is no answer."""
        size = declared(self._held)
        if size is None or len(self._held) < size or _crc(self._held[:size]):
            return False
        self._judge(question, *decode(self._cut(size)))
        return True

    def _search(self, question: Question) -> bytes | None:
        """The answer behind noise; raises `BadAnswer` when what begins like it is whole and damaged.

        Only frames that end in fresh bytes are looked at: a line that babbles must not cost a search of all each time.
        """
        unit, function = bytes((question.unit,)), question.head[0]
        longest = max(question.length + 3, EXCEPTION_FRAME)
        first = max(1, len(self._held) - self._fresh - longest + 1)
        for head in (unit + question.head, unit + bytes((function | ERROR_BIT,))):
            place = self._held.find(head, first)
            while place >= 0:
                if self._answer_at(question, place):
                    self._cut(place)
                    return self._find(question)
                place = self._held.find(head, place + 1)
        self._fresh = 0
        if self._held.startswith(unit + question.head) and len(self._held) >= self._size(question, 0):
            raise BadAnswer("the answer's CRC is wrong")
        return None

    def _answer_at(self, question: Question, place: int) -> bool:
        """Whether a whole, undamaged answer to `question` begins there."""
        size = self._size(question, place)
        frame = self._held[place : place + size]
        return len(frame) == size and not _crc(frame)

    def _size(self, question: Question, place: int) -> int:
        """Bytes of the answer that begins there; more than are held when none does."""
        head = self._held[place : place + 1 + len(question.head)]
        if head[:1] == bytes((question.unit,)):
            if head[1:] == question.head:
                if isinstance(question, IdentityQuestion):  # alone in saying itself how long it is
                    size = question.measure(self._held[place + 1 :])
                    return len(self._held) + 1 if size is None else size + 3
                return question.length + 3
            if head[1:2] == bytes((question.head[0] | ERROR_BIT,)):
                return EXCEPTION_FRAME
        return len(self._held) + 1

    def _cut(self, size: int) -> bytes:
        frame, self._held = self._held[:size], self._held[size:]
        return frame


def declared(frame: bytes) -> int | None:
    """How long a frame says that it is: APP 6, of answers; None when that is not known (yet)."""
    if len(frame) < 3:
        return None
    if frame[1] & ERROR_BIT:
        return EXCEPTION_FRAME
    if 1 <= frame[1] <= 4:
        return 5 + frame[2]
    if frame[1:3] == IDENTIFY:
        size = measure(frame[1:])
        return None if size is None else size + 3
    return _FIXED.get(frame[1])
