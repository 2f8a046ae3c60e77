"""Ten thousand hostile answers: none becomes a value that was not served for that question.

Each value served is unique, so a value in the wrong place or of an earlier question shows. Left out are forgeries: an
answer with a valid checksum (RTU) or number (TCP), unit, function and length that is not the answer. An answer of
another unit, function or length than was asked is one, too, when it is late: another question would be answered so.
"""

import asyncio
import os
import random
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from drivers.errors import BusError, DeviceError
from drivers.modbus.bus import RtuBus
from drivers.modbus.client import Client, LineClient, MbapClient, Timing
from drivers.modbus.pdu import Request, Table
from drivers.modbus.rtu import RtuFraming
from drivers.modbus.transport import client
from tests.drivers.line import Line
from tests.drivers.modbus.wires import Wire, run

ANSWERS = 10_000
TIMEOUT_S = 0.2
BYTE_S = 11 / 9600
UNITS = (1, 3, 5, 17)
LENGTHS = (1, 2, 3, 4, 20, 21, 125)
KINDS = (
    "right", "late", "twice late", "short", "long", "foreign unit", "foreign function", "wrong count", "damaged",
    "echoed", "merged", "split", "noise before", "noise after", "silent", "exception", "late and next", "cut", "lost",
)  # fmt: skip


class Sender(Protocol):
    """What takes answers to the client."""

    def deliver(self, data: bytes, after_s: float, pair: int = 0) -> None:
        """That much later."""

    def lose(self, after_s: float) -> None:
        """The link breaks that much later; what was to be delivered comes on the next."""


class Pty:
    """A serial line: the same device, in real time."""

    def __init__(self, device: "Hostile") -> None:
        self.line = Line()
        self._device = device
        device.wire = self

    def attach(self) -> None:
        asyncio.get_running_loop().add_reader(self.line.master, self._asked)

    def detach(self) -> None:
        asyncio.get_running_loop().remove_reader(self.line.master)

    def deliver(self, data: bytes, after_s: float, pair: int = 0) -> None:  # noqa: ARG002 - lines mix everything
        asyncio.get_running_loop().call_later(after_s, self._send, data)

    def lose(self, after_s: float) -> None:
        """A pty that is hung up is another one afterwards."""

    def _send(self, data: bytes) -> None:
        if self.line.master >= 0:
            self.line.send(data)

    def _asked(self) -> None:
        with suppress(OSError):  # EIO: the port is not open yet
            self._device.answer(os.read(self.line.master, 8))


@dataclass
class Hostile:
    """A device that answers each question in a way drawn by lot, over RTU or Modbus TCP frames."""

    dice: random.Random
    rtu: bool
    timeout_s: float = TIMEOUT_S
    byte_s: float = BYTE_S
    served: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """value -> question number, address"""
    asked: int = 0
    held: list[tuple[float, bytes]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    last: int = 0
    lies: set[int] = field(default_factory=set)
    """Questions whose answers are forgeries for others, once they are late."""
    wire: "Sender" = field(init=False)

    def attach(self) -> Wire:
        made = Wire(self.answer)
        self.wire = made
        return made

    def answer(self, frame: bytes) -> None:
        """Called with each request as it is sent."""
        self.asked += 1
        kind = self.dice.choice(KINDS)
        self.kinds[kind] += 1
        delay = len(frame) * self.byte_s + self.dice.uniform(0, 0.9 * self.timeout_s)
        getattr(self, "_" + kind.replace(" ", "_"))(frame, delay)

    def _send(self, data: bytes, delay: float) -> None:
        self.wire.deliver(data, delay + (len(data) * self.byte_s if self.rtu else 0))

    def _soon(self, data: bytes) -> None:
        self.lies.add(self.asked)
        self.wire.deliver(data, self.dice.uniform(0, 0.9) * self.timeout_s)

    def _right(self, frame: bytes, delay: float) -> None:
        self._send(self._frame(frame, self._values(frame)), delay)

    def _late(self, frame: bytes, delay: float) -> None:
        self._send(self._frame(frame, self._values(frame)), delay + self.dice.uniform(0.2, 3) * self.timeout_s)

    def _twice_late(self, frame: bytes, _: float) -> None:
        answer = self._frame(frame, self._values(frame))
        for late in (self.dice.uniform(2, 3.9), self.dice.uniform(2, 3.9)):
            self._send(answer, late * self.timeout_s)

    def _short(self, frame: bytes, _: float) -> None:
        self._soon(self._frame(frame, self._values(frame)[: self.dice.randrange(3)]))

    def _long(self, frame: bytes, _: float) -> None:
        self._soon(self._frame(frame, self._values(frame, self.dice.randrange(1, 4))))

    def _foreign_unit(self, frame: bytes, _: float) -> None:
        unit = self.dice.choice([u for u in (*UNITS, 0, 255) if u != self._unit(frame)])
        self._soon(self._frame(frame, self._values(frame), unit=unit))

    def _foreign_function(self, frame: bytes, _: float) -> None:
        self._soon(self._frame(frame, self._values(frame), function=self.dice.choice((1, 2, 4, 5, 6, 43, 99))))

    def _wrong_count(self, frame: bytes, _: float) -> None:
        values = self._values(frame)
        count = len(values) + self.dice.choice((-2, -1, 1, 2))
        self._soon(self._frame(frame, values, count=count & 0xFF))

    def _damaged(self, frame: bytes, delay: float) -> None:
        answer = bytearray(self._frame(frame, self._values(frame)))
        if self.rtu:
            answer[self.dice.randrange(len(answer))] ^= 1 << self.dice.randrange(8)
        else:  # TCP has no checksum of its own in the frame: what can be seen is its header
            answer[self.dice.randrange(9)] ^= 1 << self.dice.randrange(8)
        self._send(bytes(answer), delay)

    def _echoed(self, frame: bytes, delay: float) -> None:
        self._send(frame, delay / 10)
        if self.dice.random() < 0.7:
            self._right(frame, delay)

    def _merged(self, frame: bytes, delay: float) -> None:
        first, second = (self._frame(frame, self._values(frame)) for _ in range(2))
        cut = self.dice.randrange(1, len(first))
        start = self.dice.choice([place for place in range(1, len(second)) if self.rtu or place != cut])
        self._send(first[:cut] + second[start:], delay)  # over TCP two halves without a seam are a forgery

    def _split(self, frame: bytes, delay: float) -> None:
        answer = self._frame(frame, self._values(frame))
        cut = self.dice.randrange(1, len(answer))
        pair = 0 if self.rtu else self.asked  # TCP never mixes what was written at once
        self.wire.deliver(answer[:cut], delay, pair)
        self.wire.deliver(answer[cut:], delay + self.dice.uniform(0, 2) * self.timeout_s, pair)

    def _noise_before(self, frame: bytes, delay: float) -> None:
        self._send(self.dice.randbytes(self.dice.randrange(1, 40)) + self._frame(frame, self._values(frame)), delay)

    def _noise_after(self, frame: bytes, delay: float) -> None:
        self._send(self._frame(frame, self._values(frame)) + self.dice.randbytes(self.dice.randrange(1, 40)), delay)

    def _silent(self, frame: bytes, delay: float) -> None:
        """Nothing."""

    def _exception(self, frame: bytes, delay: float) -> None:
        pdu = bytes((self._pdu(frame)[0] | 0x80, self.dice.choice((1, 2, 3, 4, 6, 11))))
        self._send(self._wrap(frame, self._unit(frame), pdu), delay + self.dice.choice((0, 0, 2)) * self.timeout_s)

    def _late_and_next(self, frame: bytes, _: float) -> None:
        """The answer to this question comes in one piece with the next, if that is not too late by then."""
        self.held.append((asyncio.get_running_loop().time(), self._frame(frame, self._values(frame))))

    def _cut(self, frame: bytes, delay: float) -> None:
        """The answer never comes to its end."""
        answer = self._frame(frame, self._values(frame))
        self._send(answer[: self.dice.randrange(1, len(answer))], delay)

    def _lost(self, frame: bytes, delay: float) -> None:
        """The link is lost before the answer, which comes when it is there again."""
        self.wire.lose(delay / 2)
        self._late(frame, delay)

    def _values(self, frame: bytes, more: int = 0) -> bytes:
        address, count = struct.unpack(">HH", self._pdu(frame)[1:5])
        numbers = []
        for place in range(count + more):
            number = self._unique()
            self.served[number] = self.asked, self._unit(frame), address + place
            numbers.append(number)
        return struct.pack(f">{count + more}H", *numbers)

    def _unique(self) -> int:
        """A number that was not served within the last 65,000."""
        self.last = self.last % 65_535 + 1
        return self.last

    def _frame(self, frame: bytes, values: bytes, **changed: int) -> bytes:
        unit = changed.get("unit", self._unit(frame))
        function = changed.get("function", self._pdu(frame)[0])
        answer = self._wrap(frame, unit, bytes((function, changed.get("count", len(values) & 0xFF))) + values)
        oldest = asyncio.get_running_loop().time() - 3 * self.timeout_s
        before, self.held = b"".join(data for since, data in self.held if since > oldest), []
        return before + answer

    def _wrap(self, frame: bytes, unit: int, pdu: bytes) -> bytes:
        if self.rtu:
            return _with_crc(bytes((unit,)) + pdu)
        return frame[:2] + b"\0\0" + (1 + len(pdu)).to_bytes(2, "big") + bytes((unit,)) + pdu

    def _unit(self, frame: bytes) -> int:
        return frame[0] if self.rtu else frame[6]

    def _pdu(self, frame: bytes) -> bytes:
        return frame[1:-2] if self.rtu else frame[7:]


def _with_crc(body: bytes) -> bytes:
    """Modbus over Serial Line V1.02, 6.2.2: the algorithm bit by bit, unlike ours by table."""
    crc = 0xFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return body + crc.to_bytes(2, "little")


async def _ask(device: Hostile, asking: Client, answers: int) -> tuple[Counter[str], int]:
    """Ask until there were so many answers; how it went, and how many values were wrong."""
    dice, outcome, wrong = device.dice, Counter[str](), 0
    await asking.open()
    while device.asked < answers:
        request = Request(dice.choice(UNITS), Table.HOLDING, dice.randrange(1000), dice.choice(LENGTHS))
        first = device.asked + 1
        try:
            data = await asking.ask(request, room=min(4, 125 - request.count))
        except DeviceError as error:
            outcome[type(error).__name__] += 1
        except BusError:
            await asking.open()
        else:
            outcome["good"] += 1
            for place, (value,) in enumerate(struct.iter_unpack(">H", data)):
                asked, unit, address = device.served.get(value, (0, 0, 0))
                right = asked >= first and (unit, address) == (request.unit, request.address + place)
                wrong += not right and not (asked < first and asked in device.lies)
        if dice.random() < 0.3:
            await asyncio.sleep(dice.uniform(0, 5) * device.timeout_s)
    return outcome, wrong


def _line(wire: Wire) -> LineClient:
    return LineClient(wire, RtuFraming(), Timing(BYTE_S, 3.5 * BYTE_S, TIMEOUT_S))


@pytest.mark.parametrize("seed", [5, 6])
@pytest.mark.parametrize("kind", ["rtu", "tcp"])
def test_no_hostile_answer_becomes_a_value(kind: str, seed: int) -> None:
    device = Hostile(random.Random(seed), kind == "rtu")
    wire = device.attach()
    asking: Client = _line(wire) if kind == "rtu" else MbapClient(wire, int(1000 * TIMEOUT_S))
    outcome, wrong = run(_ask(device, asking, ANSWERS // 2))
    assert wrong == 0
    assert min(device.kinds[name] for name in KINDS) > 100
    assert outcome["good"] > ANSWERS // 40


async def test_nor_on_a_serial_port_in_real_time() -> None:
    device = Hostile(random.Random(7), rtu=True, timeout_s=0.05, byte_s=11 / 115200)
    pty = Pty(device)
    serial = client(RtuBus(transport="rtu", port=pty.line.path, baud=115200, timeout=50))
    pty.attach()
    outcome, wrong = await _ask(device, serial, 40)
    pty.detach()
    await serial.close()
    pty.line.unplug()
    assert wrong == 0
    assert outcome["good"] > 2
