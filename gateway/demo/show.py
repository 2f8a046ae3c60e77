"""What the demo shows while it runs: the newest value of each point as the collector has stored it."""

import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ext import describe

NEWEST = """
SELECT series.device || '/' || series.point, series.unit, coalesce(text, exact, value), quality, max(ts_ms), count(*)
FROM samples JOIN series ON series.id = samples.series GROUP BY series.device, series.point ORDER BY 1
"""


OTHER_LINES = 12
"""Lines of the picture that are not points."""
EVENTS = 6

Row = tuple[str, str, object, int, int, int]
"""point, unit, value, quality, ts_ms, count"""


class Show:
    """A live table on a terminal; plain lines of events elsewhere."""

    def __init__(self, database: Path, console: Console) -> None:
        self._database = database
        self._console = console
        self._events: list[str] = []
        self._live = Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None
        if self._live is not None:
            self._live.start()

    def event(self, text: str) -> None:
        """Something happened."""
        self._events.append(text)
        if self._live is None:
            self._console.print(Text(text))

    def refresh(self, state: Mapping[str, str]) -> None:
        """Draw the table; `state` is shown above it."""
        if self._live is not None:
            self._live.update(Group(self._head(state), self._table(), *map(Text, self._events[-EVENTS:])), refresh=True)

    def close(self) -> None:
        """The last picture stays."""
        if self._live is not None:
            self._live.stop()

    def _head(self, state: Mapping[str, str]) -> Text:
        head = Text()
        for name, value in state.items():
            bad = value in {"CUT", "KILLED"}
            head.append(f"{name} ", "dim").append(value, "bold red" if bad else "bold green").append("   ")
        return head

    def _table(self) -> Table:
        table = Table(box=None, header_style="bold", title="as the platform has stored it", title_justify="left")
        for name in ("point", "value", "unit", "quality", "age", "samples"):
            table.add_column(name, justify="right" if name in {"value", "age", "samples"} else "left")
        now = time.time_ns() // 1_000_000
        rows = self._rows()
        room = max(self._console.height - OTHER_LINES, 5)
        for point, unit, value, quality, ts_ms, count in sorted(_spread(rows)[:room]):
            age = f"{(now - ts_ms) / 1000:.0f} s"
            table.add_row(Text(point), Text(_shown(value)), Text(unit), describe(quality), age, str(count))
        if len(rows) > room:
            table.add_row(f"and {len(rows) - room} points more")
        return table

    def _rows(self) -> list[Row]:
        try:
            with sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=1) as db:
                return db.execute(NEWEST).fetchall()
        except sqlite3.OperationalError:  # not there yet
            return []


def _spread(rows: Sequence[Row]) -> list[Row]:
    """The rows in an order that begins with the first point of each device."""
    seen: Counter[str] = Counter()
    turns = []
    for row in rows:
        device = row[0].partition("/")[0]
        turns.append((seen[device], row))
        seen[device] += 1
    return [row for _, row in sorted(turns, key=lambda turn: turn[0])]


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.6g}"
    return str(value)
