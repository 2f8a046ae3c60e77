"""What is to be done on somebody's word, and what came of it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from buffer.command import Wanted, value_json
from config import Writable
from ext import MAX_TEXT_BYTES, Value
from gateway.polling.poller import PollingTask

REASON_MAX = 200
"""Characters of a reason in a result: a sentence."""


class Source(StrEnum):
    """On whose word."""

    REMOTE = "remote"
    LOCAL = "local"
    REVERT = "revert"
    SCHEDULE = "schedule"


class Status(StrEnum):
    """What came of a write, or of a command: the status of its first write that is neither of the first two."""

    VERIFIED = "verified"
    """The value was read back; of a dry run: it would have been written."""
    WRITTEN = "written"
    """The device confirmed it; it could not be read back, or it is a pulse."""
    REFUSED = "refused"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


DONE = frozenset((Status.VERIFIED, Status.WRITTEN))


@dataclass(frozen=True, slots=True)
class Planned:
    """One write that the configuration allows, and where it goes."""

    point: str
    value: Wanted
    device: str
    bus: PollingTask
    rule: Writable


@dataclass(frozen=True, slots=True)
class Task:
    """Writes in order. `expires_ms` (UTC; 0: none) and `deadline` (boot ms): no write begins from then on.

    `wanted` is asked at the moment of each write.
    """

    number: int
    source: Source
    who: str
    why: str
    key: str
    writes: tuple[Planned, ...]
    accepted_ms: int
    deadline: int
    expires_ms: int = 0
    dry_run: bool = False
    wanted: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class Done:
    """What came of one write; `ms` is how long it took. `answered`: it failed by the device's own word."""

    point: str
    value: Wanted
    status: Status
    reason: str = ""
    read_back: Value = None
    ms: int = 0
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of all; what follows the first failure in `done` was not begun."""

    status: Status
    reason: str
    done: tuple[Done, ...] = ()

    @classmethod
    def of(cls, done: Sequence[Done]) -> "Outcome":
        """The outcome of writes that were done one after the other until one failed."""
        for one in done:
            if one.status not in DONE:
                return cls(one.status, f"{one.point}: {one.reason}", tuple(done))
        read = all(one.status is Status.VERIFIED for one in done)
        return cls(Status.VERIFIED if read else Status.WRITTEN, "", tuple(done))


def result(
    number: int, source: Source, who: str, why: str, key: str, accepted_ms: int, finished_ms: int, outcome: Outcome, *,
    dry_run: bool = False,
) -> str:  # fmt: skip
    """What the platform is told, as JSON that fits into a sample (docs/format.md)."""
    told: dict[str, Any] = {
        "number": number,
        "status": outcome.status.value,
        "reason": outcome.reason[:REASON_MAX],
        "who": who,
        "why": why,
        "key": key,
        "source": source.value,
        "dry_run": dry_run,
        "accepted_ms": accepted_ms,
        "finished_ms": finished_ms,
        "writes": [_done(one) for one in outcome.done],
    }
    text = _dumps(told)
    if len(text.encode()) > MAX_TEXT_BYTES:  # 64 writes with long texts: which and what came of them is what counts
        told["writes"] = [{"point": one.point, "status": one.status.value} for one in outcome.done]
        text = _dumps(told)
    return text


def result_of(task: Task, outcome: Outcome, finished_ms: int) -> str:
    """The same of a task."""
    return result(
        task.number, task.source, task.who, task.why, task.key, task.accepted_ms, finished_ms, outcome,
        dry_run=task.dry_run,
    )  # fmt: skip


def readable(value: Value) -> Any:  # noqa: ANN401 - JSON's own types
    """A value that was read, as JSON can say it."""
    if isinstance(value, bool | int | Decimal | str):
        return value_json(value) if isinstance(value, bool | Decimal | str) else value
    return None if value is None else str(value) if isinstance(value, float) and value != value else value


def _done(one: Done) -> dict[str, Any]:
    return {
        "point": one.point,
        "value": value_json(one.value),
        "status": one.status.value,
        "reason": one.reason[:REASON_MAX],
        "read_back": readable(one.read_back),
        "ms": one.ms,
    }


def _dumps(told: dict[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
