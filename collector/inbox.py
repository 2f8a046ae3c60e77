"""Messages between the broker and the database: bounded in number and bytes, handed on in groups."""

import asyncio
import logging
from collections import deque

from collector.incoming import Message
from collector.receive import GROUP_BYTES, GROUP_MESSAGES

logger = logging.getLogger(__name__)

MAX_MESSAGES = 20_000  # small ones, some seconds of a city
MAX_BYTES = 64 << 20  # what the collector may hold in memory while the disk is slow or full


class Inbox:
    """What does not fit is let go: it was not acknowledged, so its gateway sends it again."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._dropped = 0

    def put(self, message: Message) -> None:
        """Take a message in, or let it go when there is no room; that is said once until there is room again."""
        if len(self._messages) >= MAX_MESSAGES or self._bytes + len(message.payload) > MAX_BYTES:
            if not self._dropped:
                logger.warning("more comes in than can be stored; what is let go will be sent again by the gateways")
            self._dropped += 1
            return
        self._messages.append(message)
        self._bytes += len(message.payload)
        self._arrived.set()

    @property
    def empty(self) -> bool:
        """Whether nothing has arrived that was not handed on."""
        return not self._messages

    async def group(self) -> list[Message]:
        """Wait for a message, and return what has arrived, at most one transaction full."""
        while not self._messages:
            self._arrived.clear()
            await self._arrived.wait()
        group: list[Message] = []
        size = 0
        while self._messages and len(group) < GROUP_MESSAGES and (not group or size < GROUP_BYTES):
            message = self._messages.popleft()
            group.append(message)
            size += len(message.payload)
        self._bytes -= size
        if self._dropped and not self._messages:
            logger.warning("all that waited is stored; %d messages had been let go meanwhile", self._dropped)
            self._dropped = 0
        return group
