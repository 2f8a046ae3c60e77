"""Registers as a document or capture shows them, for the tests of profiles and for decoding by hand."""

import re
from typing import Annotated, Any, Self, cast

from pydantic import BeforeValidator, Field, model_validator

from drivers.base import Driver, Sink, Vector
from drivers.errors import BadAnswer
from drivers.modbus.pdu import ADDRESSES, Request, Table

MAX_WORDS = ADDRESSES  # a table has no more


def _words(value: object) -> bytes:
    """Registers in hex, four digits each, with blanks where they please."""
    digits = "".join(value.split()) if isinstance(value, str) else ""
    if not 4 <= len(digits) <= 4 * MAX_WORDS or not re.fullmatch(r"(?:[0-9A-Fa-f]{4})+", digits):
        raise ValueError('must be registers in hex, four digits each, for example "4366 3334"')
    return bytes.fromhex(digits)


def _bits(value: object) -> bytes:
    """Coils or discrete inputs, 0 or 1 each, as a byte each."""
    digits = "".join(value.split()) if isinstance(value, str) else ""
    if not 1 <= len(digits) <= ADDRESSES or digits.strip("01"):
        raise ValueError('must be bits, the lowest address first, for example "1101"')
    return bytes(int(digit) for digit in digits)


class RegisterVector(Vector):
    """Consecutive registers (or coils, as bits) of one table, from `address` on."""

    table: Table
    address: Annotated[int, Field(strict=True, ge=0, lt=ADDRESSES)]
    registers: Annotated[bytes, BeforeValidator(_words)] | None = None
    bits: Annotated[bytes, BeforeValidator(_bits)] | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        wanted, other = ("bits", self.registers) if self.table.single_bits else ("registers", self.bits)
        if getattr(self, wanted) is None or other is not None:
            raise ValueError(f"what a {self.table} holds is given as {wanted}")
        return self

    @classmethod
    def keys_of(cls, data: bytes, where: dict[str, object]) -> dict[str, object]:
        """Registers as they stand in an answer; coils and discrete inputs packed as there, eight a byte (APP 6.1)."""
        if where.get("table") in [table.value for table in Table if table.single_bits]:
            return {**where, "bits": "".join(f"{byte:08b}"[::-1] for byte in data)}
        return {**where, "registers": data.hex()}

    def stand_in(self, kind: type[Driver]) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ARG002 there is one
        """A unit behind a host."""
        return {"transport": "tcp", "host": "captured"}, {"address": 1}

    def feed(self, driver: Driver, sink: Sink) -> None:
        """Answer each read of the driver that these registers answer; an error for any other."""
        for read in driver.reads():
            request = cast("Request", read.request)
            data = self._answer(request)
            if data is None:
                last = request.address + request.count - 1
                names = ", ".join(name.partition("/")[2] for name in read.names)
                text = f"{request.table} {request.address} to {last} are not given, but wanted for {names}"
                sink.failed(read.device, BadAnswer(text))
            else:
                sink.scan(read, data)

    def _answer(self, request: Request) -> bytes | None:
        """The data that answers `request`; None when these registers do not hold all of it."""
        data, width = (self.bits, 1) if self.table.single_bits else (self.registers, 2)
        start = (request.address - self.address) * width
        end = start + request.count * width
        if data is None or request.table != self.table or start < 0 or end > len(data):
            return None
        return data[start:end]
