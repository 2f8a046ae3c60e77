"""What came of a salvage, as its process tells the daemon."""

import json
from dataclasses import dataclass, field

from buffer.header import LedgerEntry, entry_dumps, entry_loads


@dataclass
class Report:
    """What came of it; `lost` are entries for the ledger."""

    stream: bytes = b""
    batches: int = 0
    samples: int = 0
    lost: list[LedgerEntry] = field(default_factory=list)

    @property
    def lost_samples(self) -> int:
        """How many samples are known to be lost."""
        return sum(entry.samples or 0 for entry in self.lost)

    def dumps(self) -> str:
        """As a line of JSON."""
        lost = [entry_dumps(entry).hex() for entry in self.lost]
        return json.dumps({"stream": self.stream.hex(), "batches": self.batches, "samples": self.samples, "lost": lost})

    @classmethod
    def loads(cls, line: str | bytes) -> "Report":
        """What `dumps` made."""
        found = json.loads(line)
        lost = [entry_loads(bytes.fromhex(entry)) for entry in found["lost"]]
        return cls(bytes.fromhex(found["stream"]), found["batches"], found["samples"], lost)
