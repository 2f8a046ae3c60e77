"""Questions and their answers, whatever carries them; no I/O.

APP is the Modbus Application Protocol Specification V1.1b3.
"""

import struct
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, Self

from drivers.errors import BadAnswer, ExceptionAnswer, NoAnswer

MAX_REGISTERS = 125  # of one read: APP 6.3, 6.4
MAX_BITS = 2000  # of one read: APP 6.1, 6.2
ADDRESSES = 65536  # of one table, the first is 0: APP 4.4
MAX_PDU = 253  # bytes: APP 4.1

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

_READ = struct.Struct(">BHH")

# The eight bits of a byte as eight bytes, the least significant first: APP 6.1.
_BITS = tuple(bytes(byte >> bit & 1 for bit in range(8)) for byte in range(256))


class Table(StrEnum):
    """The four tables of the Modbus data model (APP 4.3): name, function code, whether an address is a bit."""

    function: int
    """The function code that reads it (APP 6.1 to 6.4)."""
    single_bits: bool
    """Whether an address holds one bit, not a register of 16."""

    COIL = "coil", 1, True
    DISCRETE = "discrete", 2, True
    HOLDING = "holding", 3, False
    INPUT = "input", 4, False

    def __new__(cls, name: str, function: int = 0, single_bits: bool = False) -> Self:
        """The member whose value is `name`."""
        table = str.__new__(cls, name)
        table._value_ = name
        table.function, table.single_bits = function, single_bits
        return table


_TABLES = {table.function: table for table in Table}


class Question(Protocol):
    """What is asked of a unit."""

    @property
    def unit(self) -> int:
        """The unit asked."""

    @property
    def pdu(self) -> bytes:
        """Function code and data, as they travel."""

    @property
    def head(self) -> bytes:
        """How the PDU of the right answer begins, as far as that is known before."""

    @property
    def length(self) -> int:
        """Bytes of the PDU of the right answer."""

    def take(self, pdu: bytes) -> bytes:
        """The data of an answer that has the right unit and function; raises `BadAnswer`."""


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

    @property
    def pdu(self) -> bytes:
        """Function, first address, count (APP 6.1 to 6.4)."""
        return _READ.pack(self.table.function, self.address, self.count)

    @property
    def head(self) -> bytes:
        """Function and byte count."""
        return bytes((self.table.function, self.size))

    @property
    def length(self) -> int:
        """Function, byte count, data."""
        return 2 + self.size

    def take(self, pdu: bytes) -> bytes:
        """Registers as they came, coils as a byte each, 0 or 1."""
        if len(pdu) < 2:
            raise BadAnswer("the answer ends after the function code")
        if len(pdu) != 2 + self.size or pdu[1] != self.size:
            raise BadAnswer(f"asked for {self.size} bytes, the answer says {pdu[1]} and has {len(pdu) - 2}")
        if not self.table.single_bits:
            return pdu[2:]
        return b"".join([_BITS[byte] for byte in pdu[2:]])[: self.count]

    def wider(self, more: int) -> "Request":
        """The same read with `more` addresses behind it."""
        return replace(self, count=self.count + more)


def parse_request(unit: int, pdu: bytes) -> Request | None:
    """The read that the PDU of a request asks for, None when it is something else."""
    table = _TABLES.get(pdu[0])
    if table is None or len(pdu) != 5:
        return None
    return Request(unit, table, int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big"))


def payload(question: Question, unit: int, pdu: bytes) -> bytes:
    """The data of the answer `pdu` that `unit` gave.

    Raises `ExceptionAnswer`, `NoAnswer` when a gateway says that the device is silent, and `BadAnswer` for anything
    that is not the answer to `question`.
    """
    if unit != question.unit:
        raise BadAnswer(f"asked unit {question.unit}, unit {unit} answered")
    function = question.head[0]
    if pdu[0] == function | ERROR_BIT and len(pdu) == 2:
        raise _exception(pdu[1])
    if pdu[0] != function:
        raise BadAnswer(f"asked function {function}, function {pdu[0]} answered with {len(pdu)} bytes")
    return question.take(pdu)


def _exception(code: int) -> ExceptionAnswer | NoAnswer:
    text = EXCEPTIONS.get(code, "not a code of the standard")
    return NoAnswer(f"exception {code}: {text}") if code == TARGET_SILENT else ExceptionAnswer(code, text)
