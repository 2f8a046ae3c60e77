"""Meters on a line that is a pty, as the standard has them: EN 13757-2 (answers, FCB) and EN 13757-7 (selection).

Written from the standard and without our frames: what they say is given as bytes.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.drivers.line import Line

ACK = b"\xe5"


def long_frame(body: bytes) -> bytes:
    """`body` from the C field on, as a long frame."""
    return bytes((0x68, len(body), len(body), 0x68)) + body + bytes((sum(body) & 0xFF, 0x16))


@dataclass
class Slave:
    """One meter: its address, its telegrams (whole frames), how often it keeps silent first."""

    address: int
    telegrams: Sequence[bytes]
    deaf: int = 0
    spoils: int = 0
    selected: bool = False
    last_control: int | None = None
    at: int = -1
    asked: list[bytes] = field(default_factory=list)

    @property
    def identity(self) -> bytes:
        """Number, manufacturer, version and medium: the first eight bytes of the header of its first telegram."""
        return self.telegrams[0][7:15]

    def hear(self, frame: bytes) -> bytes:
        """Its answer; empty when it has none."""
        control, address = (frame[1], frame[2]) if frame[0] == 0x10 else (frame[4], frame[5])
        if frame[0] == 0x68 and address == 253 and frame[6] == 0x52:
            return self._select(frame[7:15])
        mine = address in (self.address, 254) or (address == 253 and self.selected)
        if not mine:
            return b""
        self.asked.append(frame)
        if self.deaf:
            self.deaf -= 1
            return b""
        if control == 0x40:
            self.last_control, self.at = None, -1
            if address == 253:
                self.selected = False
            return ACK
        return self._answer(control) if control in (0x5B, 0x7B) else b""

    def _select(self, mask: bytes) -> bytes:
        number = all(
            m in (0xF, n)
            for a, b in zip(mask[:4], self.identity[:4], strict=True)
            for m, n in ((a >> 4, b >> 4), (a & 0xF, b & 0xF))
        )
        maker = mask[4:6] in (b"\xff\xff", self.identity[4:6])
        rest = all(m in (0xFF, n) for m, n in zip(mask[6:], self.identity[6:], strict=True))
        self.selected = number and maker and rest
        self.last_control, self.at = None, -1
        return ACK if self.selected else b""

    def _answer(self, control: int) -> bytes:
        if control != self.last_control:  # a toggled FCB: the next telegram; else the same again
            self.at = (self.at + 1) % len(self.telegrams)
        self.last_control = control
        if self.spoils:
            self.spoils -= 1
            return self.telegrams[self.at][:-2] + b"\x00\x16"
        return self.telegrams[self.at]


class Bus:
    """Meters that hear everything on `line`; answers at once fall on each other. `echo` is that of the converter."""

    def __init__(self, line: Line, *slaves: Slave, echo: bool = False, byte_s: float = 0.0, noise: bytes = b"") -> None:
        self._line, self._slaves, self._echo, self._byte_s, self._noise = line, slaves, echo, byte_s, noise
        self.heard: list[bytes] = []

    async def serve(self) -> None:
        """Answer until cancelled."""
        held = b""
        while True:
            held += await self._line.heard(1)
            size = 5 if held[0] == 0x10 else 4 if len(held) < 4 else held[1] + 6
            if len(held) == size and (held[0] == 0x10 or size > 4):
                self.heard.append(held)
                await self._answer(held)
                held = b""

    async def _answer(self, frame: bytes) -> None:
        if self._echo:
            await self._say(frame)
        answers = [answer for slave in self._slaves if (answer := slave.hear(frame))]
        if not answers:
            return
        longest = max(map(len, answers))
        mixed = bytearray(b"\xff" * longest)
        for answer in answers:
            for at, byte in enumerate(answer):
                mixed[at] &= byte
        await self._say(self._noise + bytes(mixed))

    async def _say(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for byte in data:
            if self._line.master < 0:
                return
            os.write(self._line.master, bytes([byte]))
            due += self._byte_s  # by the clock: on a loaded machine each sleep is too long by a little
            await asyncio.sleep(max(0.0, due - loop.time()))
