"""What a metered link has carried in this day and this month: remembered over restarts."""

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of the day and the month, each named as ISO 8601 does ("2026-11-23", "2026-11"); "" is before the first."""

    day: str = ""
    day_bytes: int = 0
    month: str = ""
    month_bytes: int = 0

    @classmethod
    def kept(cls, connection: sqlite3.Connection) -> "Usage":
        """What was kept last."""
        return cls(*connection.execute("SELECT day, day_bytes, month, month_bytes FROM usage").fetchone())

    def keep(self, connection: sqlite3.Connection) -> None:
        """Have the store remember it; in the caller's transaction."""
        row = (self.day, self.day_bytes, self.month, self.month_bytes)
        connection.execute("UPDATE usage SET day = ?, day_bytes = ?, month = ?, month_bytes = ?", row)
