"""A batch that waits, as JSON; for the daemon's verb and for `lamppost queue` on a file."""

from typing import Any

from buffer.delivery import Held


def held_json(batch: Held) -> dict[str, Any]:
    """A batch that waits, as `lamppost queue` shows it; one salvaged from a damaged buffer has a negative number."""
    return {
        "number": batch.number,
        "kind": batch.kind,
        "priority": batch.priority,
        "samples": batch.samples,
        "bytes": batch.bytes,
        "refused": batch.refused,
        "thinned_s": batch.thinned_ms // 1000 or None,
        "salvaged": batch.number < 0,
    }
