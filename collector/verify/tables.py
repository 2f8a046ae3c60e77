"""The tables `series` and `samples`: every row must follow from a signed batch, every signed sample have a row."""

from collections import Counter
from typing import TYPE_CHECKING

from buffer import catalogue
from buffer.batch import Batch
from buffer.catalogue import SeriesEntry
from buffer.cose import Kind
from buffer.errors import BufferFault
from buffer.header import JUDGED
from collector.receiving import boots
from collector.receiving.chain import Stream
from collector.receiving.samples import asset_of
from collector.tables import rollups
from collector.tables.database import Sql
from collector.tables.rows import Ids, Piece, SampleRow
from collector.verify.report import Fault, Report
from ext import FormatError, unpack_columns

if TYPE_CHECKING:
    from collector.verify.account import Account

_SERIES = (
    "SELECT number, id, described, device, point, unit, type, asset_id, latitude, longitude, labels, public"
    " FROM series WHERE gateway = ? AND stream = ?"
)


class Tables:
    """Those of one stream."""

    def __init__(self, db: Sql, at: Stream, report: Report) -> None:
        self._db = db
        self._at = at
        self._report = report
        key = at.gateway, at.stream
        self._series = {row[0]: row[1:] for row in db.execute(_SERIES, key)}
        self._ids = Ids.of({number: row[0] for number, row in self._series.items()})
        self._kept_from = rollups.kept_from(db)
        found = db.execute("SELECT number, state FROM waiting WHERE gateway = ? AND stream = ?", key)
        self._waiting = dict(found.fetchall())
        self._described: dict[int, tuple[int, SeriesEntry]] = {}
        self._superseded: set[int] = set()
        self._rows = 0

    def check(self, batch: Batch) -> None:
        """A verified batch beside its rows."""
        number = batch.header.number
        try:
            if batch.header.kind is Kind.CATALOGUE:
                self._described.update({entry.number: (number, entry) for entry in catalogue.decode(batch.blocks)})
            elif batch.header.samples:
                self._check_samples(batch)
        except (BufferFault, FormatError, ValueError) as error:
            self._report.fault(Fault.SAMPLES, f"cannot be decoded: {error}", number)

    def finish(self, account: "Account") -> None:
        """What only the whole can tell: series, rows that no batch has, batches that were left out."""
        for number, row in self._series.items():
            self._check_series(number, row)
        for number in sorted(self._described.keys() - self._series.keys()):
            self._report.fault(Fault.SERIES, f"series {number} is not in the table")
        for number in sorted(self._superseded):
            if not account.claims(number) and not account.others_answer(number):
                self._report.fault(Fault.SAMPLES, "its samples are left out, and no other batch has them", number)
        total = sum(
            self._db.execute("SELECT count(*) FROM samples WHERE series = ?", (found,)).fetchone()[0]
            for found in self._ids.ids
        )
        if total != self._rows and "ready" not in self._waiting.values():
            self._report.fault(Fault.SAMPLES, f"{total} rows are in the table, {self._rows} belong to stored batches")

    def _check_series(self, number: int, row: tuple[object, ...]) -> None:
        by, entry = self._described.get(number, (0, None))
        if entry is None:
            self._report.fault(Fault.SERIES, f"series {number} is in no catalogue")
            return
        signed: tuple[object, ...] = entry.device, entry.point, entry.unit, entry.type, *asset_of(entry)
        told = row[2:] if row[1] else (*row[2:6], *asset_of(entry))  # of before: not described until a rebuild
        if told != signed or row[1] not in {0, by}:
            self._report.fault(Fault.SERIES, f"series {number} is {told} in the table, signed is {signed}", by)

    def _check_samples(self, batch: Batch) -> None:
        header, columns = batch.header, unpack_columns(batch.blocks)
        state = self._waiting.get(header.number)
        if state is not None:
            self._report.waiting += 1
            if state == "superseded":
                self._superseded.add(header.number)
            return
        offset = boots.offset_of(self._db, header)
        unknown = set(columns.series) - self._ids.by_number.keys()
        if offset is None or unknown:
            detail = "no clock dates it" if offset is None else "a series is unknown"
            self._report.fault(Fault.SAMPLES, detail, header.number)
            return
        judged = JUDGED.get(header.clock_state)
        piece = Piece(self._at.gateway, self._at.stream, header.number, columns, self._ids, offset, judged)
        signed = Counter(row for row in piece.rows() if row[1] >= self._kept_from)
        told = self._stored(signed, header.number)
        self._rows += told.total()
        self._report.samples += told.total()
        missing = Counter() if header.window_ms else signed - told  # thinned: what another one has is left out
        if missing or told - signed:
            first = next(iter((missing or told - signed).elements()))
            counts = f"{missing.total()} signed rows are not in the table, {(told - signed).total()} are others"
            detail = f"{counts}: {first}"
            self._report.fault(Fault.SAMPLES, detail, header.number)

    def _stored(self, signed: Counter[SampleRow], number: int) -> Counter[SampleRow]:
        """The rows that the table has of a batch."""
        spans: dict[int, tuple[int, int]] = {}
        for series, ts_ms, *_ in signed:
            low, high = spans.get(series, (ts_ms, ts_ms))
            spans[series] = min(low, ts_ms), max(high, ts_ms)
        found: Counter[SampleRow] = Counter()
        for series, (low, high) in spans.items():
            found.update(
                self._db.execute(
                    "SELECT series, ts_ms, value, exact, text, quality, batch FROM samples"
                    " WHERE series = ? AND ts_ms BETWEEN ? AND ? AND batch = ?",
                    (series, low, high, number),
                ).fetchall()
            )
        return found
