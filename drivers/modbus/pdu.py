"""Read requests, their answers and the frames they travel in; no I/O.

APP is the Modbus Application Protocol Specification V1.1b3, TCP the Modbus Messaging on TCP/IP Implementation Guide
V1.0b.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from drivers.errors import BadAnswer, ExceptionAnswer, NoAnswer

MAX_REGISTERS = 125  # of one read: APP 6.3, 6.4
MAX_BITS = 2000  # of one read: APP 6.1, 6.2
ADDRESSES = 65536  # of one table, the first is 0: APP 4.4
HEADER = 7  # bytes of the MBAP header: TCP 3.1.3
MAX_LENGTH = 254  # the largest length field: the unit and a PDU of 253 bytes, APP 4.1
MAX_FRAME = 6 + MAX_LENGTH

ERROR_BIT = 0x80  # of the function code in an exception answer: APP 7
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3
DEVICE_FAILURE = 4
TARGET_SILENT = 11
EXCEPTIONS = {  # APP 7
    1: "illegal function",
    ILLEGAL_ADDRESS: "illegal data address",
    ILLEGAL_VALUE: "illegal data value",
    DEVICE_FAILURE: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    TARGET_SILENT: "gateway target device failed to respond",
}

# The eight bits of a byte as eight bytes, the least significant first: APP 6.1.
_BITS = tuple(bytes(byte >> bit & 1 for bit in range(8)) for byte in range(256))


class Table(StrEnum):
    """The four tables of the Modbus data model (APP 4.3)."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"

    @property
    def function(self) -> int:
        """The function code that reads it (APP 6.1 to 6.4)."""
        return _FUNCTIONS[self]

    @property
    def single_bits(self) -> bool:
        """Whether an address holds one bit, not a register of 16."""
        return self in (Table.COIL, Table.DISCRETE)


_FUNCTIONS = {Table.COIL: 1, Table.DISCRETE: 2, Table.HOLDING: 3, Table.INPUT: 4}
_TABLES = {function: table for table, function in _FUNCTIONS.items()}


@dataclass(frozen=True, slots=True)
class Request:
    """A read of `count` addresses of one table of one unit."""

    unit: int
    table: Table
    address: int
    count: int

    @property
    def size(self) -> int:
        """Data bytes that its answer has."""
        return (self.count + 7) // 8 if self.table.single_bits else 2 * self.count


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

    def feed(self, data: bytes, transaction: int, unit: int) -> Iterator[Frame]:
        """The frames that `data` completes.

        A frame that never came to its end does not swallow the answer of (`transaction`, `unit`) when that arrives in
        a piece of its own.
        """
        if self._rest and _starts_frame(data, transaction, unit):
            self.dropped += len(self._rest)
            self._rest = b""
        self._rest += data
        while len(self._rest) >= HEADER:
            length = int.from_bytes(self._rest[4:6], "big")
            if self._rest[2:4] != b"\0\0" or not 2 <= length <= MAX_LENGTH:
                self.dropped += len(self._rest)
                self._rest = b""
            elif len(self._rest) < 6 + length:
                return
            else:
                yield _frame(self._rest[: 6 + length])
                self._rest = self._rest[6 + length :]


def parse_frame(data: bytes) -> Frame:
    """The one frame that `data` is; raises `BadAnswer`."""
    if not HEADER < len(data) <= MAX_FRAME or data[2:4] != b"\0\0" or int.from_bytes(data[4:6], "big") != len(data) - 6:
        raise BadAnswer(f"{data[:MAX_FRAME].hex(' ')} is no Modbus TCP frame")
    return _frame(data)


def parse_request(frame: Frame) -> Request | None:
    """The read that a request frame asks for, None when it is something else."""
    table = _TABLES.get(frame.pdu[0])
    if table is None or len(frame.pdu) != 5:
        return None
    return Request(frame.unit, table, int.from_bytes(frame.pdu[1:3], "big"), int.from_bytes(frame.pdu[3:5], "big"))


def payload(request: Request, unit: int, pdu: bytes) -> bytes:
    """The data of an answer: registers as they came, coils as a byte each, 0 or 1.

    Raises `ExceptionAnswer`, `NoAnswer` when a gateway says that the device is silent, and `BadAnswer` for anything
    that is not the answer to `request`.
    """
    if unit != request.unit:
        raise BadAnswer(f"asked unit {request.unit}, unit {unit} answered")
    function = request.table.function
    if pdu[0] == function | ERROR_BIT and len(pdu) == 2:
        raise _exception(pdu[1])
    if pdu[0] != function:
        raise BadAnswer(f"asked function {function}, function {pdu[0]} answered with {len(pdu)} bytes")
    if len(pdu) < 2:
        raise BadAnswer("the answer ends after the function code")
    if len(pdu) != 2 + request.size or pdu[1] != request.size:
        raise BadAnswer(f"asked for {request.size} bytes, the answer says {pdu[1]} and has {len(pdu) - 2}")
    if not request.table.single_bits:
        return pdu[2:]
    return b"".join([_BITS[byte] for byte in pdu[2:]])[: request.count]


def _exception(code: int) -> ExceptionAnswer | NoAnswer:
    text = EXCEPTIONS.get(code, "not a code of the standard")
    return NoAnswer(f"exception {code}: {text}") if code == TARGET_SILENT else ExceptionAnswer(code, text)


def _frame(data: bytes) -> Frame:
    return Frame(int.from_bytes(data[:2], "big"), data[6], data[HEADER:])


def _starts_frame(data: bytes, transaction: int, unit: int) -> bool:
    """Whether `data` is exactly one frame with this transaction number and unit: 56 bits that must all fit."""
    head = transaction.to_bytes(2, "big") + b"\0\0" + (len(data) - 6 & 0xFFFF).to_bytes(2, "big") + bytes([unit])
    return len(data) > HEADER and data.startswith(head)
