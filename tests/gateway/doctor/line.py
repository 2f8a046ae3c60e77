"""An RS-485 line on a pty with Modbus RTU units whose faults are made from outside."""

import asyncio
import os
import struct
import termios
import tty
from dataclasses import dataclass

from drivers.modbus.rtu import encode

SPEEDS = {9600: termios.B9600, 19200: termios.B19200, 4800: termios.B4800, 38400: termios.B38400}
SECOND_S = 0.002  # a second device with the same address answers a moment later


@dataclass
class Unit:
    """One device: two float32 in input registers 0 and 2."""

    address: int
    values: tuple[float, float]
    alive: bool = True
    swapped: bool = False
    double: bool = False

    def answer(self, pdu: bytes) -> bytes:
        """Its registers."""
        data = b"".join(struct.pack(">f", value) for value in self.values)
        words = [data[at : at + 2] for at in range(0, len(data), 2)]
        if self.swapped:
            words = [words[at ^ 1] for at in range(len(words))]
        first, count = struct.unpack(">HH", pdu[1:5])
        found = b"".join(words[first : first + count])
        return encode(self.address, bytes((pdu[0], len(found))) + found)


class Line:
    """`path` is the port; `units` along the cable, which is open behind the first `reach` of them."""

    def __init__(self, units: list[Unit], baud: int = 9600) -> None:
        self.units = units
        self.baud = baud
        """What the devices are set to."""
        self.garbles = True
        """Whether devices at another rate say nonsense; else they say nothing."""
        self.reach = len(units)
        self._master, self._slave = os.openpty()  # held open: an end that nobody holds is hung up
        tty.setraw(self._master)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._held = b""

    def start(self) -> None:
        """Answer from now on."""
        asyncio.get_running_loop().add_reader(self._master, self._heard)

    def stop(self) -> None:
        """Be gone."""
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    def _heard(self) -> None:
        self._held += os.read(self._master, 4096)
        while len(self._held) >= 8:
            request, self._held = self._held[:8], self._held[8:]
            self._asked(request)

    def _asked(self, request: bytes) -> None:
        right = termios.tcgetattr(self._master)[5] == SPEEDS[self.baud]
        for unit in self.units[: self.reach]:
            if unit.alive and not right and self.garbles:
                os.write(self._master, bytes(byte ^ 0xA5 for byte in request[:5]))
                return
            if unit.alive and right and unit.address == request[0]:
                os.write(self._master, unit.answer(request[1:-2]))
                if unit.double:
                    answer = unit.answer(request[1:-2])
                    asyncio.get_running_loop().call_later(SECOND_S, os.write, self._master, answer)
