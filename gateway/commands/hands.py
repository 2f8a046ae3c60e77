"""Which points somebody's command has written, and when: it stays until the schedule's next switch."""

import json
from collections.abc import Iterable

from buffer.orders import Order
from gateway.commands.task import DONE, Source

COMMANDED = (Source.REMOTE, Source.LOCAL)


class Hands:
    """The last command that was done to each point."""

    def __init__(self) -> None:
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def load(self, kept: Iterable[Order]) -> None:
        """What lives before have done, the newest first. One whose result is unknown holds nothing."""
        seen: set[str] = set()
        for order in kept:
            told = json.loads(order.result)
            if told["dry_run"] or not order.final:
                continue
            for write in told["writes"]:
                if write["status"] in DONE and write["point"] not in seen:
                    seen.add(write["point"])
                    if told["source"] in COMMANDED:
                        self._before[write["point"]] = order.accepted_ms

    def wrote(self, point: str, now: int) -> None:
        """A command has written it at `now` (boot ms)."""
        self._now[point] = now

    def gone(self, point: str) -> None:
        """What a command wrote was taken back."""
        self._now.pop(point, None)
        self._before.pop(point, None)

    def since(self, point: str, switched_ms: int, utc_ms: int | None, now: int) -> bool:
        """Whether it was written since `switched_ms` (UTC); it is `utc_ms` (None: nobody knows), and boot ms `now`."""
        at = self._now.get(point)
        if at is not None and (utc_ms is None or utc_ms - (now - at) >= switched_ms):
            return True
        return utc_ms is not None and self._before.get(point, -1) >= switched_ms
