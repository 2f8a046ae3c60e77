"""A device that speaks by itself on a serial line: a pty, and bytes no faster than the baud rate has them."""

import asyncio
import os
import select
import time
import tty
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drivers.simulated.log import Served, ServedLog

BITS = 10  # of a byte on the line: a start bit, 8 data bits and a stop bit
PIECE_SECONDS = 0.002  # what is written at once: shorter than that, sleeping would take longer than the bytes

Samples = list[tuple[str, Served]]


@dataclass(frozen=True, slots=True)
class Spoken:
    """What goes over the line in one go, a sentence or a telegram, and what it says."""

    data: bytes
    samples: Samples


class Speaker:
    """Says each of `turns` once in `interval` seconds while somebody has the line open; `turns` are told the round.

    What was said to somebody who listened from the first byte to the last goes to `log`.
    """

    def __init__(self, log: ServedLog, interval: float, baud: int, turns: Sequence[Callable[[int], Spoken]]) -> None:
        self._log = log
        self._interval = interval
        self._byte_seconds = BITS / baud
        self._piece = max(1, round(PIECE_SECONDS / self._byte_seconds))
        self._turns = turns
        self._line, other_end = os.openpty()
        tty.setraw(other_end)
        os.set_blocking(self._line, False)
        self.path = os.ttyname(other_end)
        os.close(other_end)

    def close(self) -> None:
        """Hang up."""
        os.close(self._line)

    async def run(self) -> None:
        """Speak until cancelled; who has just opened the line, and may be clearing it still, waits for a round."""
        loop = asyncio.get_running_loop()
        n, begin, heard = 0, loop.time(), False
        while True:
            before, heard = heard, self._heard()
            if before and heard:
                await self._round(n)
                n += 1
            begin = max(begin + self._interval, loop.time())
            await asyncio.sleep(begin - loop.time())

    async def _round(self, n: int) -> None:
        for turn in self._turns:
            spoken = turn(n)
            if await self._speak(spoken.data):
                self._log.write(spoken.samples)

    async def _speak(self, data: bytes) -> bool:
        """Whether all of `data` went out to a listener who was there from the first byte to the last."""
        begin = time.monotonic()
        for start in range(0, len(data), self._piece):
            piece = data[start : start + self._piece]
            if not self._heard() or not self._put(piece):
                return False
            await asyncio.sleep(begin + (start + len(piece)) * self._byte_seconds - time.monotonic())
        return self._heard()

    def _put(self, piece: bytes) -> bool:
        try:
            return os.write(self._line, piece) == len(piece)
        except BlockingIOError:
            return False

    def _heard(self) -> bool:
        """Whether somebody has the other end open: a line that nobody holds hangs up."""
        poll = select.poll()
        poll.register(self._line, 0)
        return not poll.poll(0)
