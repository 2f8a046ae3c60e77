"""What rides with the next transaction: it is not worth an fsync of its own, for a power cut costs only work."""

import sqlite3
from dataclasses import dataclass, field

from buffer.header import STATE_CODES
from buffer.memory import Memory, lowest_held


@dataclass(slots=True)
class Riders:
    """Acknowledged numbers and their ms UTC (lost: sent again, and acknowledged again), and the clock of the memory."""

    acked: dict[int, int] = field(default_factory=dict)
    clock: bool = False

    def __bool__(self) -> bool:
        return bool(self.acked) or self.clock

    def write(self, connection: sqlite3.Connection, memory: Memory) -> None:
        """Put them into the caller's transaction; they stay until `clear`."""
        if self.acked:
            query = "UPDATE batches SET acked_utc_ms = ? WHERE number = ? AND acked_utc_ms = 0"
            connection.executemany(query, [(when, number) for number, when in self.acked.items()])
            memory.lowest_held = lowest_held(connection, memory.lowest_held)
        if self.clock:
            clock = (memory.clock.clock_ms, STATE_CODES[memory.clock.state]) if memory.clock else (0, -1)
            query = "UPDATE state SET clock_ms = ?, clock_state = ?, floor_ms = ?"
            connection.execute(query, (*clock, memory.floor_ms))

    def clear(self) -> None:
        """The transaction is on the disk."""
        self.acked.clear()
        self.clock = False
