"""Two ptys and what lies between them: the driver has one end, a server of another kind the other."""

import asyncio
import os
import tty
from types import TracebackType
from typing import Self


class Cable:
    """Passes bytes between the device files `ours` and `theirs`; with `echo` we hear ourselves as well."""

    def __init__(self, *, echo: bool = False) -> None:
        self._ours, self.ours = _pty()
        self._theirs, self.theirs = _pty()
        self._echo = echo
        self.broken = False

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._ours, self._pass, self._ours, self._theirs)
        loop.add_reader(self._theirs, self._pass, self._theirs, self._ours)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for master in (self._ours, self._theirs):
            loop.remove_reader(master)
            os.close(master)

    def _pass(self, source: int, target: int) -> None:
        try:
            data = os.read(source, 4096)
        except (BlockingIOError, OSError):  # EIO: nobody holds that end now
            return
        if not self.broken:
            os.write(target, data)
        if self._echo and source == self._ours:
            os.write(self._ours, data)


def _pty() -> tuple[int, str]:
    """Our end and the path of the other, which stays open: an end that nobody holds yet is silent, not hung up."""
    master, slave = os.openpty()
    tty.setraw(master)
    os.set_blocking(master, False)
    return master, os.ttyname(slave)
