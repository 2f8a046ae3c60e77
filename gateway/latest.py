"""Does one thing at a time, and once more for whoever asked meanwhile: their wish may have come too late for it."""

import asyncio
from collections.abc import Awaitable, Callable


class Latest:
    """`work` is done after each wish; wishes that come while it is being done share one more turn."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._again = False
        self._doing: asyncio.Future[None] | None = None

    def wish(self) -> None:
        """Have it done from the beginning, now or as the next thing."""
        self._again = True
        if self._doing is None or self._doing.done():
            self._doing = asyncio.ensure_future(self._do())

    async def _do(self) -> None:
        while self._again:
            self._again = False
            await self._work()
