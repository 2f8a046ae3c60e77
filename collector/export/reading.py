"""The samples of a database in the order in which they came, of the points that are meant."""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from collector.receiving.chain import Stream
from collector.tables.database import Database

PAGE = 500  # batches looked up at once; nothing is locked between pages
CACHED_STREAMS = 1000

FOREVER = (-(1 << 62), 1 << 62)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which samples: of public points only, unless `everything`; from `since_ms` to before `until_ms` (UTC).

    `points` are shell patterns of `device/point` or `gateway/device/point`; none means all.
    """

    points: tuple[str, ...] = ()
    gateway: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    everything: bool = False

    def names(self, gateway: str, point: str) -> bool:
        """Whether the point `device/point` of a gateway is meant."""
        if self.gateway not in {None, gateway}:
            return False
        names = point, f"{gateway}/{point}"
        return not self.points or any(fnmatch.fnmatchcase(name, one) for one in self.points for name in names)

    @property
    def span(self) -> tuple[int, int]:
        """First and last ms that are meant."""
        since, until = self.since_ms, self.until_ms
        return FOREVER[0] if since is None else since, FOREVER[1] if until is None else until - 1


@dataclass(frozen=True, slots=True)
class Line:
    """A series, as it is exported."""

    id: int
    gateway: str
    device: str
    point: str
    unit: str
    type: str
    asset_id: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample: `value`, `exact` and `text` as the table has them (docs/collector.md)."""

    line: Line
    ts_ms: int
    value: float | None
    exact: str | None
    text: str | None
    quality: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """A batch whose rows are in the table; `id` grows in the order in which they came there."""

    id: int
    at: Stream
    number: int
    written_at: int


_ARRIVAL = "SELECT id, gateway, stream, number, written_at, from_ms, to_ms FROM arrivals"


class Source:
    """Reads in pages: a collector may go on writing, and what it dates anew meanwhile comes with the next export."""

    def __init__(self, database: Database, selection: Selection) -> None:
        self._db = database.connection
        self._database = database
        self._selection = selection
        self._lines = lru_cache(CACHED_STREAMS)(self._read_lines)
        self.newest: Arrival | None = None
        """The last arrival that `readings` has been through."""

    def readings(self, after: int = 0) -> Iterator[Reading]:
        """Yield what came after an arrival, up to what there is now; in the order of arrival, then of time."""
        with self._database.quiet() as db:
            (upto,) = db.execute("SELECT coalesce(max(id), 0) FROM arrivals").fetchone()
        with self._database.errors():
            while rows := self._page(after, upto):
                for arrival, from_ms, to_ms in rows:
                    yield from self._rows(arrival, from_ms, to_ms)
                    self.newest = arrival
                after = rows[-1][0].id

    def find(self, number: int) -> Arrival | None:
        """The arrival of that id; None when there is none, or its batch was dated anew and came again."""
        row = self._db.execute(f"{_ARRIVAL} WHERE id = ?", (number,)).fetchone()
        return None if row is None else _arrival(row)[0]

    def again(self, at: Stream, number: int, after: int) -> bool:
        """Whether a batch came again after an arrival."""
        row = self._db.execute(
            "SELECT 1 FROM arrivals WHERE gateway = ? AND stream = ? AND number = ? AND id > ?",
            (at.gateway, at.stream, number, after),
        ).fetchone()
        return row is not None

    def _page(self, after: int, upto: int) -> list[tuple[Arrival, int, int]]:
        since, until = self._selection.span
        rows = self._db.execute(
            f"{_ARRIVAL} WHERE id > ? AND id <= ? AND to_ms >= ? AND from_ms <= ? ORDER BY id LIMIT ?",
            (after, upto, since, until, PAGE),
        ).fetchall()
        return [_arrival(row) for row in rows]

    def _rows(self, arrival: Arrival, from_ms: int, to_ms: int) -> list[Reading]:
        since, until = self._selection.span
        low, high = max(from_ms, since), min(to_ms, until)
        sql = (
            "SELECT ts_ms, value, exact, text, quality FROM samples"
            " WHERE series = ? AND ts_ms BETWEEN ? AND ? AND batch = ?"
        )
        found = [
            Reading(line, *sample)
            for line in self._lines(arrival.at)
            for sample in self._db.execute(sql, (line.id, low, high, arrival.number))
        ]
        return sorted(found, key=lambda reading: reading.ts_ms)

    def _read_lines(self, at: Stream) -> list[Line]:
        table = "series" if self._selection.everything else "public_series"
        rows = self._db.execute(
            f"SELECT id, gateway, device, point, unit, type, asset_id FROM {table}"  # noqa: S608 - a name of our own
            " WHERE gateway = ? AND stream = ? ORDER BY number",
            (at.gateway, at.stream),
        )
        lines = [Line(*row) for row in rows.fetchall()]
        return [line for line in lines if self._selection.names(line.gateway, f"{line.device}/{line.point}")]


def _arrival(row: tuple[int, str, str, int, int, int, int]) -> tuple[Arrival, int, int]:
    return Arrival(row[0], Stream(row[1], row[2]), row[3], row[4]), row[5], row[6]
