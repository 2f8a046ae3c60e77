"""How questions and answers are put into bytes: what every transport's framing offers; no I/O."""

from abc import ABC, abstractmethod

from drivers.errors import BadAnswer, DeviceError, ExceptionAnswer, NoAnswer
from drivers.modbus.pdu import Question, payload
from drivers.modbus.write import Write

MAX_HELD = 2048  # bytes of an exchange that are kept: an echo and an answer in ASCII are less than 1100


class Framing(ABC):
    """One question at a time: `begin`, then `feed` what arrives until an answer comes, or `end`."""

    def __init__(self) -> None:
        self._question: Question | None = None

    @property
    def begun(self) -> bool:
        """Whether something has come that may become an answer, so that its end is worth waiting for."""
        return False

    @property
    def missing(self) -> int:
        """So many bytes must still come before the answer is whole."""
        return 0

    @property
    def left(self) -> int:
        """So many bytes came with the answer and behind it."""
        return 0

    @abstractmethod
    def reset(self) -> None:
        """The connection is a new one."""

    @abstractmethod
    def begin(self, question: Question) -> bytes:
        """The bytes that ask `question`."""

    @abstractmethod
    def feed(self, data: bytes) -> bytes | None:
        """Take bytes that arrived, asked for or not: the data of the answer once it is whole.

        Raises `DeviceError`; `BusError` when nothing shall be taken any more.
        """

    @abstractmethod
    def end(self, patience: str) -> DeviceError:
        """Stop waiting: what to tell when no answer has come within `patience`."""


class LineFraming(Framing):
    """Frames on a line without transaction numbers, where an adapter may hear what it sends itself (local echo)."""

    def __init__(self) -> None:
        super().__init__()
        self.echo: bool | None = None
        """Whether the line gives back what is sent; None until that is known."""
        self._asked = b""
        self._held = b""
        self._echoed = False
        self._strange = ""

    @property
    def begun(self) -> bool:
        """Bytes came that are not our own."""
        return bool(self._held)

    @property
    def missing(self) -> int:
        """As many as the answer lacks; an exception, which is shorter, is seen no later than the answer would be."""
        return 0 if self._question is None else self.length(self._question.length) - len(self._held)

    @property
    def left(self) -> int:
        """What is held when the answer was found."""
        return len(self._held)

    def reset(self) -> None:
        """Another adapter may be there now."""
        self.echo = None
        self._question = None

    def begin(self, question: Question) -> bytes:
        """The frame that asks it."""
        self._question = question
        self._asked = self.encode(question.unit, question.pdu)
        self._held, self._strange, self._echoed = b"", "", False
        return self._asked

    def feed(self, data: bytes) -> bytes | None:
        """The data of the answer, found among whatever else is on the line."""
        if self._question is None:
            return None
        self._held = (self._held + data)[-MAX_HELD:]
        try:
            found = self._find(self._question)
        except DeviceError as error:
            self._over(clean=isinstance(error, ExceptionAnswer))
            raise
        if found is not None:
            self._over(clean=True)
        return found

    def end(self, patience: str) -> DeviceError:
        """Silence, or what came instead of the answer."""
        self._over(clean=not self._strange and not self._held and self.echo is None)
        if self._strange:
            return BadAnswer(f"{self._strange}, and no answer")
        if self._held:
            return BadAnswer(f"{len(self._held)} bytes came that are no answer: {self._held[:16].hex(' ')}")
        return NoAnswer(f"no answer within {patience}")

    @abstractmethod
    def encode(self, unit: int, pdu: bytes) -> bytes:
        """The frame of a PDU."""

    @abstractmethod
    def length(self, size: int) -> int:
        """Bytes of the frame of a PDU of `size` bytes."""

    @abstractmethod
    def _find(self, question: Question) -> bytes | None:
        """The answer in what is held, if it is there; raises `DeviceError`."""

    def _over(self, *, clean: bool) -> None:
        """The exchange is over; when nothing but an answer came, or nothing at all, the line has no echo."""
        self._question = None
        if self._echoed:
            self.echo = True
        elif clean:
            self.echo = False

    def _is_echo(self, question: Question) -> bool:
        """Whether a frame that is the same as the request is our own: an answer can be that of some writes alone."""
        if isinstance(question, Write) and question.echoes:
            return self.echo is True and not self._echoed
        return True

    def _judge(self, question: Question, unit: int, pdu: bytes) -> bytes | None:
        """The answer; None for another unit's frame; raises `DeviceError` for what is no answer."""
        if unit != question.unit:
            self._strange = f"asked unit {question.unit}, unit {unit} answered"
            return None
        return payload(question, unit, pdu)
