"""The agent's event loop: a name server that does not answer holds up nothing but the look-up."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

NAME_THREADS = 16
"""Look-ups at a time; one that gets no answer takes up to half a minute: resolv.conf(5), timeout and attempts."""


class AgentLoop(asyncio.SelectorEventLoop):
    """Serial ports, files and the broker use the default threads; `getaddrinfo` does not."""

    def __init__(self) -> None:
        super().__init__()
        self._names = ThreadPoolExecutor(NAME_THREADS, thread_name_prefix="names")

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:  # noqa: ANN401 - as the base class has it
        """As `socket.getaddrinfo`, in a thread."""
        return await self.run_in_executor(self._names, lambda: socket.getaddrinfo(host, port, **hints))

    def close(self) -> None:
        """Let look-ups that still hang go on without us."""
        self._names.shutdown(wait=False, cancel_futures=True)
        super().close()
