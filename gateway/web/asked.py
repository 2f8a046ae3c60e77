"""The agent, as the page asks it: over `status.sock`, in threads, a few at a time."""

import asyncio
import time
from pathlib import Path
from typing import Any

from gateway.control.client import Client
from gateway.control.sockets import status_socket

TOGETHER = 4
"""Questions at once: the agent takes 32 conversations, and others have theirs."""
FRESH_S = 0.8
"""A status this young is told again: any number of phones cost the agent one look a second."""
ANSWER_S = 10.0
DOCTOR_S = 45.0
"""The doctor looks at network and lines."""


class Asked:
    """Asks the agent of `run_dir`; raises what `Client` does."""

    def __init__(self, run_dir: Path) -> None:
        self._path = status_socket(run_dir)
        self._room = asyncio.Semaphore(TOGETHER)
        self._one = asyncio.Lock()
        self._status: dict[str, Any] = {}
        self._at = float("-inf")

    async def call(self, verb: str, answer_s: float = ANSWER_S, **args: object) -> Any:  # noqa: ANN401 - any JSON
        """What the agent answers."""
        async with self._room:
            return await asyncio.to_thread(self._call, verb, answer_s, args)

    async def status(self) -> dict[str, Any]:
        """The state of everything, at most `FRESH_S` old."""
        async with self._one:
            if time.monotonic() - self._at >= FRESH_S:
                self._status = await self.call("status")
                self._at = time.monotonic()
            return self._status

    def _call(self, verb: str, answer_s: float, args: dict[str, object]) -> Any:  # noqa: ANN401
        with Client(self._path, answer_s) as client:
            return client.call(verb, **args)
