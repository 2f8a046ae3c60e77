"""Samples as Parquet files in a folder for each day (UTC), as DuckDB, Spark and pandas read them."""

from collections import Counter, defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any

from collector.errors import FileFault, UsageError
from collector.export.reading import Reading
from collector.export.texts import UNDATED, moment

BUFFERED = 200_000  # rows in memory, some 100 MB of Python objects
OPEN_DAYS = 64  # files that are open at once
COLUMNS = ("time", "gateway", "device", "point", "asset_id", "unit", "value", "exact", "text", "quality")


def _library() -> Any:  # noqa: ANN401 - an optional library, which has no types
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow: pip install 'lamppost[parquet]'") from error


class ParquetFolder:
    """Writes `date=2026-11-23/part-<after>-<n>.parquet` below a folder; nothing has its name before `close`.

    An export that was broken off and is done again has the same names, and so writes over what it had written.
    """

    def __init__(self, folder: Path, after: int) -> None:
        self._pa = _library()
        self._folder = folder
        self._after = after
        self._rows: defaultdict[str, list[Reading]] = defaultdict(list)
        self._buffered = 0
        self._open: dict[str, tuple[Any, Path]] = {}
        self._made: list[Path] = []
        self._parts: Counter[str] = Counter()
        self._schema = self._make_schema()
        self.written = 0
        self.left_out: Counter[str] = Counter()

    def write(self, reading: Reading) -> None:
        """One sample."""
        day = moment(reading.ts_ms)[:10]
        if not day:
            self.left_out[UNDATED] += 1
            return
        self._rows[day].append(reading)
        self.written += 1
        self._buffered += 1
        if self._buffered >= BUFFERED:
            self._flush()

    def close(self) -> None:
        """Give every file its name; raises FileFault."""
        self._flush()
        try:
            for day in list(self._open):
                self._end(day)
            for path in self._made:
                path.replace(path.with_name(path.name.removesuffix(".new").lstrip(".")))
        except OSError as error:
            raise FileFault(f"{self._folder}: {error.strerror or error}") from error
        self._made.clear()

    def abandon(self) -> None:
        """Leave nothing behind of an export that failed; after `close` there is nothing to leave."""
        for writer, _ in self._open.values():
            writer.close()
        self._open.clear()
        for path in self._made:
            path.unlink(missing_ok=True)

    def _flush(self) -> None:
        try:
            for day, rows in self._rows.items():
                self._writer(day).write_table(self._table(rows))
        except OSError as error:
            raise FileFault(f"{self._folder}: {error.strerror or error}") from error
        self._rows.clear()
        self._buffered = 0

    def _writer(self, day: str) -> Any:  # noqa: ANN401 - pyarrow's
        if day not in self._open:
            if len(self._open) >= OPEN_DAYS:
                self._end(next(iter(self._open)))
            self._parts[day] += 1
            folder = self._folder / f"date={day}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f".part-{self._after}-{self._parts[day]}.parquet.new"
            self._made.append(path)
            self._open[day] = self._pa.parquet.ParquetWriter(path, self._schema, compression="zstd"), path
        return self._open[day][0]

    def _end(self, day: str) -> None:
        writer, _ = self._open.pop(day)
        writer.close()

    def _make_schema(self) -> Any:  # noqa: ANN401 - pyarrow's
        pa = self._pa
        name = pa.dictionary(pa.int32(), pa.string())
        types = (pa.timestamp("ms", "UTC"), *[name] * 5, pa.float64(), pa.string(), pa.string(), pa.uint8())
        return pa.schema(list(zip(COLUMNS, types, strict=True)))

    def _table(self, rows: list[Reading]) -> Any:  # noqa: ANN401 - pyarrow's
        columns = zip(
            *(
                (r.ts_ms, r.line.gateway, r.line.device, r.line.point, r.line.asset_id, r.line.unit, r.value, r.exact,
                 r.text, r.quality)
                for r in rows
            ),
            strict=True,
        )  # fmt: skip
        arrays = [self._pa.array(column, f.type) for column, f in zip(columns, self._schema, strict=True)]
        return self._pa.Table.from_arrays(arrays, schema=self._schema)
