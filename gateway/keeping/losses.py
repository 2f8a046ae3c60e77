"""What memory had to give up while the disk took nothing, until the ledger has it."""

from dataclasses import replace

from buffer.block import Block
from buffer.header import ClockState, LedgerEntry, Priority

REASON = "memory full while the disk took nothing: {} samples"


class Losses:
    """One entry a priority at most: what is given up is the oldest, so that entry follows on entry."""

    def __init__(self) -> None:
        self._entries: dict[Priority, LedgerEntry] = {}
        self.samples = 0
        """All that were given up in this life."""

    def __bool__(self) -> bool:
        return bool(self._entries)

    def add(self, block: Block) -> None:
        """A block is given up."""
        clock = block.clock
        self.samples += block.samples
        self._put(
            block.priority,
            LedgerEntry(
                boot=clock.boot, from_ms=block.first_ms, to_ms=block.last_ms, clock_ms=clock.clock_ms,
                clock_state=clock.state, samples=block.samples, reason=REASON.format(block.priority),
            ),
        )  # fmt: skip

    def take(self) -> tuple[Priority, LedgerEntry]:
        """An entry for the ledger; `give_back` it if the disk does not take it."""
        return self._entries.popitem()

    def give_back(self, priority: Priority, entry: LedgerEntry) -> None:
        """The disk has not taken `entry`, nor anything given up or committed since."""
        self._put(priority, entry)

    def _put(self, priority: Priority, entry: LedgerEntry) -> None:
        known = self._entries.get(priority)
        self._entries[priority] = entry if known is None else _joined(known, entry)


def _joined(one: LedgerEntry, other: LedgerEntry) -> LedgerEntry:
    """Both in one entry, dated by a clock that was set if either was."""
    dated = one if other.clock_state is ClockState.UNSET else other
    ends = [entry.to_ms for entry in (one, other) if entry.to_ms is not None]
    counts = [entry.samples for entry in (one, other) if entry.samples is not None]
    return replace(dated, from_ms=min(one.from_ms, other.from_ms), to_ms=max(ends), samples=sum(counts))
