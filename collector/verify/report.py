"""What a walk found in one stream."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_FAULTS = 100  # told of one stream; all are counted


class Fault(StrEnum):
    """What can be wrong; docs/collector.md says what each means."""

    SIGNATURE = "signature"
    ALTERED = "altered"
    CHAIN = "chain"
    REMOVED = "removed"
    FORK = "fork"
    SERIES = "series"
    SAMPLES = "samples"
    LEDGER = "ledger"
    GAPS = "gaps"
    CLOCK = "clock"


@dataclass(slots=True)
class Report:
    """One stream: `last` and `hash` are its head, `missing` the ranges of numbers that have not arrived."""

    gateway: str
    stream: str
    batches: int = 0
    samples: int = 0
    waiting: int = 0
    replaced: int = 0
    ledgered: int = 0
    last: int = 0
    hash: str = ""
    missing: list[tuple[int, int]] = field(default_factory=list)
    fault_count: int = 0
    faults: list[dict[str, Any]] = field(default_factory=list)

    def fault(self, kind: Fault, detail: str, number: int | None = None) -> None:
        """Something is not as it was signed."""
        self.fault_count += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append({"kind": kind.value, "number": number, "detail": detail})

    @property
    def state(self) -> str:
        """`proved`, `incomplete` when nothing is wrong but numbers have not arrived, or `broken`."""
        if self.fault_count:
            return "broken"
        return "incomplete" if self.missing else "proved"

    @property
    def row(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "gateway": self.gateway,
            "stream": self.stream,
            "state": self.state,
            "batches": self.batches,
            "samples": self.samples,
            "waiting": self.waiting,
            "replaced": self.replaced,
            "ledgered": self.ledgered,
            "last": self.last,
            "hash": self.hash,
            "missing": [list(found) for found in self.missing],
            "fault_count": self.fault_count,
            "faults": self.faults,
        }
