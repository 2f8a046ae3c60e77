"""Messages between the broker and the database: bounded in number and bytes, handed on in groups, in fair turns."""

import asyncio
import logging
from collections import deque

from collector.metrics import Metrics
from collector.receiving.incoming import Message
from collector.receiving.limits import Limits
from collector.receiving.receive import GROUP_BYTES, GROUP_MESSAGES

logger = logging.getLogger(__name__)

MAX_MESSAGES = 20_000  # small ones, some seconds of a city
MAX_BYTES = 64 << 20  # what the collector may hold in memory while the disk is slow or full
MAX_SHARE = 8  # of these bounds one topic has at most this part, so that there is room for the others


class Inbox:
    """What does not fit is let go: it was not acknowledged, so its gateway sends it again.

    Each topic has a queue of its own, and they take turns: who sends a thousand waits for a thousand turns.
    """

    def __init__(self, metrics: Metrics | None = None, limits: Limits | None = None) -> None:
        self.metrics = metrics or Metrics()
        self._limits = limits or Limits()
        self._queues: dict[str, deque[Message]] = {}
        self._held: dict[str, int] = {}  # bytes of each topic
        self.messages = 0
        self.bytes = 0
        self._arrived = asyncio.Event()
        self._dropped = 0

    def put(self, message: Message) -> None:
        """Take a message in, or let it go when there is no room; that is said once until there is room again."""
        size = len(message.payload)
        if not self._limits.allow(message.topic, size):
            self.metrics.limited += 1
            return
        queue = self._queues.get(message.topic)
        if self._is_full(queue, message.topic, size):
            if not self._dropped:
                logger.warning("more comes in than can be stored; what is let go will be sent again by the gateways")
            self._dropped += 1
            self.metrics.dropped += 1
            return
        if queue is None:
            queue = self._queues[message.topic] = deque()
        queue.append(message)
        self._held[message.topic] = self._held.get(message.topic, 0) + size
        self.messages += 1
        self.bytes += size
        self._arrived.set()

    @property
    def empty(self) -> bool:
        """Whether nothing has arrived that was not handed on."""
        return not self.messages

    async def group(self) -> list[Message]:
        """Wait for a message, and return what has arrived, at most one transaction full."""
        while not self.messages:
            self._arrived.clear()
            await self._arrived.wait()
        group: list[Message] = []
        size = 0
        while self.messages and len(group) < GROUP_MESSAGES and (not group or size < GROUP_BYTES):
            message = self._next()
            group.append(message)
            size += len(message.payload)
        if self._dropped and not self.messages:
            logger.warning("all that waited is stored; %d messages had been let go meanwhile", self._dropped)
            self._dropped = 0
        return group

    def _next(self) -> Message:
        """The first of the topic whose turn it is, which goes to the end."""
        topic = next(iter(self._queues))
        queue = self._queues.pop(topic)
        message = queue.popleft()
        self._held[topic] -= len(message.payload)
        if queue:
            self._queues[topic] = queue
        else:
            del self._held[topic]
        self.messages -= 1
        self.bytes -= len(message.payload)
        return message

    def _is_full(self, queue: deque[Message] | None, topic: str, size: int) -> bool:
        if self.messages >= MAX_MESSAGES or self.bytes + size > MAX_BYTES:
            return True
        if queue is None:
            return False
        return len(queue) >= MAX_MESSAGES // MAX_SHARE or self._held[topic] + size > MAX_BYTES // MAX_SHARE
