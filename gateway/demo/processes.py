"""The demo's child processes: started, stopped and killed by their own id, their words kept in files."""

import asyncio
import contextlib
import os
import signal
import socket
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_S = 10.0


class Children:
    """All processes of a demo; none outlives it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, Process] = {}

    async def start(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> Process:
        """Start `command`; its stdout is a pipe, its stderr is added to `NAME.log`."""
        with await asyncio.to_thread((self._folder / f"{name}.log").open, "ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command, stdout=PIPE, stderr=log, stdin=asyncio.subprocess.DEVNULL, env={**os.environ, **(env or {})}
            )
        self._running[name] = process
        return process

    def pid(self, name: str) -> int:
        """The id of a process that was started."""
        return self._running[name].pid

    def running(self, name: str) -> bool:
        """Whether the process is there."""
        return name in self._running and self._running[name].returncode is None

    async def stop(self, name: str) -> int:
        """SIGTERM, and SIGKILL after ten seconds; the exit code."""
        return await self._end(name, signal.SIGTERM)

    async def kill(self, name: str) -> int:
        """SIGKILL: no word of farewell."""
        return await self._end(name, signal.SIGKILL)

    async def stop_all(self) -> None:
        """End whatever runs, the last started first."""
        for name in reversed(list(self._running)):
            await self.stop(name)

    async def _end(self, name: str, number: signal.Signals) -> int:
        process = self._running.pop(name, None)
        if process is None:
            return 0
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        try:
            return await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            return await process.wait()


def free_port() -> int:
    """A TCP port of this host that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def wait_for_port(port: int, seconds: float = 10.0, host: str = "127.0.0.1") -> None:
    """Wait until something listens on `port`; raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
