"""What the demo shows while it runs: the newest value of each point as the collector has stored it."""

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

NEWEST = """
SELECT series.device || '/' || series.point, series.unit, coalesce(text, exact, value), quality, max(ts_ms), count(*)
FROM samples JOIN series ON series.id = samples.series GROUP BY series.device, series.point ORDER BY 1
"""


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
            self._live.update(Group(self._head(state), self._table(), *map(Text, self._events[-6:])), refresh=True)

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
        for name, side in (
            ("point", "left"),
            ("value", "right"),
            ("unit", "left"),
            ("age", "right"),
            ("samples", "right"),
        ):
            table.add_column(name, justify="right" if side == "right" else "left")
        now = time.time_ns() // 1_000_000
        for point, unit, value, _, ts_ms, count in self._rows():
            shown = f"{value:.6g}" if isinstance(value, float) else str(value)
            table.add_row(point, shown, unit, f"{(now - ts_ms) / 1000:.0f} s", str(count))
        return table

    def _rows(self) -> list[tuple[str, str, object, int, int, int]]:
        try:
            with sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=1) as db:
                return db.execute(NEWEST).fetchall()
        except sqlite3.OperationalError:  # not there yet
            return []
