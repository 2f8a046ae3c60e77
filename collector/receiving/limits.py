"""So many messages and bytes a second from one topic, before anything is read of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

MESSAGES_A_SECOND = 500.0  # ten times a gateway that sends every scan at once; verifying them takes a tenth of a core
BURST_MESSAGES = 5000.0
BYTES_A_SECOND = 8.0 * (1 << 20)  # more than the uplink of any gateway; a backlog of 72 hours has some 200 MB
BURST_BYTES = 16.0 * (1 << 20)
MAX_TOPICS = 100_000  # that are remembered: some 30 MB


@dataclass(slots=True)
class _Bucket:
    messages: float
    bytes: float
    at: float


class Limits:
    """Token buckets, one a topic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def allow(self, topic: str, size: int) -> bool:
        """Whether a message of a topic may be read now; if so it is counted."""
        now = self._clock()
        bucket = self._buckets.get(topic)
        if bucket is None:
            if len(self._buckets) >= MAX_TOPICS:
                self._buckets.clear()  # whoever makes up so many topics gains a burst each; the broker's ACL stops it
            bucket = self._buckets[topic] = _Bucket(BURST_MESSAGES, BURST_BYTES, now)
        else:
            passed = now - bucket.at
            bucket.messages = min(bucket.messages + passed * MESSAGES_A_SECOND, BURST_MESSAGES)
            bucket.bytes = min(bucket.bytes + passed * BYTES_A_SECOND, BURST_BYTES)
            bucket.at = now
        if bucket.messages < 1 or bucket.bytes < size:
            return False
        bucket.messages -= 1
        bucket.bytes -= size
        return True
