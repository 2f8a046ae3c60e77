"""The rows of a batch's samples: written at once, or when its catalogue and its boot's clock are known."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace

from buffer.catalogue import SeriesEntry
from buffer.header import JUDGED, ClockState, Header
from collector.receiving import boots, ledger
from collector.receiving.chain import Stream
from collector.receiving.incoming import Accepted
from collector.tables import arrivals
from collector.tables.database import Database
from collector.tables.parts import parts, places
from collector.tables.rows import Ids, Piece, value_at
from ext import Columns, unpack

logger = logging.getLogger(__name__)

MAX_CACHED_STREAMS = 1000  # series ids; about 5 kB a gateway of 50 points
HOUR_MS = 3_600_000
# What is said of the asset may change from catalogue to catalogue: the one with the highest number counts.
_ENTER_SERIES = """
    INSERT INTO series
        (gateway, stream, number, device, point, unit, type, asset_id, latitude, longitude, labels, public,
        described)
    VALUES {} ON CONFLICT (gateway, stream, number) DO UPDATE SET
        asset_id = excluded.asset_id, latitude = excluded.latitude, longitude = excluded.longitude,
        labels = excluded.labels, public = excluded.public, described = excluded.described
    WHERE series.device = excluded.device AND series.point = excluded.point
        AND series.described <= excluded.described"""


class Samples:
    """Writes the tables `samples`, `series`, `waiting` and `clockless`, within the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._db = database.connection
        self._series: dict[Stream, Ids] = {}

    def forget(self) -> None:
        """Read series ids again: to be called when a transaction was rolled back."""
        self._series.clear()

    def enter(self, accepted: Accepted, *, superseded: bool) -> None:
        """Write the rows of a batch that was just stored, or note what they wait for.

        Those of a superseded one are never written: another batch answers for its samples.
        """
        header = accepted.batch.header
        at = accepted.identity.at
        if not header.samples:
            return
        offset = boots.offset_of(self._db, header)
        if superseded:
            self._wait(at, header, "superseded")
        elif header.catalogue is None or not self._has_catalogue(at, header.catalogue.hex()):
            self._wait(at, header, "catalogue")
        elif offset is None:
            self._wait(at, header, "clock")
        else:
            self._write(accepted, offset)

    def add_catalogue(self, accepted: Accepted) -> str | None:
        """Enter the series of a catalogue; return why it cannot be, when a number stands for something else already."""
        identity = accepted.identity
        key = identity.at.gateway, identity.at.stream
        wanted = {entry.number: (entry.device, entry.point, entry.unit, entry.type) for entry in accepted.entries}
        for part in parts(accepted.entries):
            self._db.execute(
                _ENTER_SERIES.format(places(part, 13)),
                [
                    value
                    for entry in part
                    for value in (*key, entry.number, *wanted[entry.number], *asset_of(entry), identity.number)
                ],
            )
        found = self._db.execute(
            "SELECT number, device, point, unit, type FROM series WHERE gateway = ? AND stream = ?", key
        )
        for number, *there in found:
            if wanted.get(number, tuple(there)) != tuple(there):
                device, point, *_ = wanted[number]
                return f"series {number} is {there[0]}/{there[1]} already, not {device}/{point}"
        self._series.pop(identity.at, None)
        self._db.execute("INSERT INTO catalogues VALUES (?, ?, ?, ?)", (*key, identity.hash, identity.number))
        self._db.execute(
            "UPDATE waiting SET state = 'ready'"
            " WHERE gateway = ? AND stream = ? AND state = 'catalogue' AND catalogue = ?",
            (*key, identity.hash),
        )
        return None

    def date_boot(self, gateway: str, boot: str) -> None:
        """Note that the batches of a boot without a clock can be dated, or must be dated anew."""
        self._db.execute(
            "UPDATE waiting SET state = 'ready' WHERE gateway = ? AND boot = ? AND state = 'clock'", (gateway, boot)
        )
        self._db.execute(
            "INSERT INTO waiting SELECT gateway, stream, number, 'ready', NULL, boot, 0, 'dated anew'"
            " FROM clockless WHERE gateway = ? AND boot = ? AND offset_ms IS NOT NULL"
            " ON CONFLICT (gateway, stream, number) DO NOTHING",
            (gateway, boot),
        )

    def enter_again(self, accepted: Accepted) -> None:
        """Write the rows of a batch that was `ready`, in place of those dated otherwise."""
        header, at = accepted.batch.header, accepted.identity.at
        self._take_back(accepted)
        self._db.execute(
            "DELETE FROM waiting WHERE gateway = ? AND stream = ? AND number = ?", (*_key(at), header.number)
        )
        self.enter(accepted, superseded=False)  # one that is stays so, and waits for nothing

    def fail(self, at: Stream, number: int, reason: str) -> None:
        """Leave the samples of a waiting batch aside for good."""
        self._db.execute(
            "UPDATE waiting SET state = 'failed', reason = ? WHERE gateway = ? AND stream = ? AND number = ?",
            (reason, *_key(at), number),
        )
        logger.error("%s %s: the samples of batch %d stay aside: %s", at.gateway, at.stream, number, reason)

    def _has_catalogue(self, at: Stream, digest: str) -> bool:
        found = self._db.execute(
            "SELECT 1 FROM catalogues WHERE gateway = ? AND stream = ? AND hash = ?", (*_key(at), digest)
        )
        return found.fetchone() is not None

    def _wait(self, at: Stream, header: Header, state: str) -> None:
        digest = header.catalogue.hex() if header.catalogue else None
        self._db.execute(
            "INSERT INTO waiting VALUES (?, ?, ?, ?, ?, ?, ?, '')",
            (*_key(at), header.number, state, digest, header.boot.hex(), header.samples),
        )

    def piece(self, accepted: Accepted, offset: int) -> Piece | None:
        """The rows of a batch's samples; None when one of them is of a series in no catalogue."""
        at, columns = accepted.identity.at, accepted.columns
        if columns is None:
            return None
        numbers = set(columns.series)
        if not numbers <= self._ids(at).by_number.keys():
            self._series.pop(at)  # another collector may have entered a catalogue
        if not numbers <= self._ids(at).by_number.keys():
            return None
        judged = JUDGED.get(accepted.batch.header.clock_state)
        return Piece(at.gateway, at.stream, accepted.identity.number, columns, self._ids(at), offset, judged)

    def add(self, pieces: Sequence[Piece]) -> None:
        """Write the rows, and note that they came."""
        self._database.add_samples(pieces)
        self.mark_due(pieces)
        arrivals.note(self._db, pieces)

    def mark_due(self, pieces: Sequence[Piece]) -> None:
        """Note that the sums of these hours are to be made anew; a mark that is there is locked against its removal."""
        marks = {(p.gateway, p.stream, hour * HOUR_MS) for p in pieces for hour in p.spans(HOUR_MS)}
        for part in parts(sorted(marks)):
            self._db.execute(
                f"INSERT INTO rollups_due VALUES {places(part, 3)} ON CONFLICT (gateway, stream, start_ms)"  # noqa: S608 - ?
                " DO UPDATE SET start_ms = excluded.start_ms",
                [value for mark in part for value in mark],
            )

    def _write(self, accepted: Accepted, offset: int) -> None:
        header, at = accepted.batch.header, accepted.identity.at
        piece = self.piece(accepted, offset)
        if piece is None:
            unknown = set(accepted.columns.series if accepted.columns else ()) - self._ids(at).by_number.keys()
            self._wait(at, header, "failed")
            self.fail(at, header.number, f"series {min(unknown)} is in no catalogue")
            return
        kept = self._without_known(at, header, piece.columns) if header.window_ms else None
        self.add([replace(piece, kept=kept)])
        if header.clock_state is ClockState.UNSET:
            self._db.execute(
                "UPDATE clockless SET offset_ms = ? WHERE gateway = ? AND stream = ? AND number = ?",
                (offset, *_key(at), header.number),
            )

    def _take_back(self, accepted: Accepted) -> None:
        """Remove the rows of a batch that was dated by an estimate which is not the first any more."""
        header, at = accepted.batch.header, accepted.identity.at
        row = self._db.execute(
            "SELECT offset_ms FROM clockless WHERE gateway = ? AND stream = ? AND number = ?",
            (*_key(at), header.number),
        ).fetchone()
        if row is None or row[0] is None or (piece := self.piece(accepted, row[0])) is None:
            return
        self._db.execute(
            "UPDATE clockless SET offset_ms = NULL WHERE gateway = ? AND stream = ? AND number = ?",
            (*_key(at), header.number),
        )
        arrivals.forget(self._db, piece)
        times, ids = piece.columns.boot_ms, piece.ids.by_number
        first, last = min(times) + piece.offset, max(times) + piece.offset
        self._db.executemany(
            "DELETE FROM samples WHERE series = ? AND ts_ms BETWEEN ? AND ? AND batch = ?",
            [(ids[number], first, last, header.number) for number in set(piece.columns.series)],
        )
        self.mark_due([piece])

    def _without_known(self, at: Stream, header: Header, found: Columns) -> list[int]:
        """The places of statistics that no thinned batch has which this one replaces and which is stored."""
        known: set[str] = set()
        for blocks in ledger.thinned_members(self._db, at, header):
            known.update(repr(sample) for sample in unpack(blocks))
        samples = (
            (found.series[place], found.boot_ms[place], value_at(found, place), found.quality[place])
            for place in range(len(found))
        )
        return [place for place, sample in enumerate(samples) if repr(sample) not in known]

    def _ids(self, at: Stream) -> Ids:
        if at not in self._series:
            if len(self._series) >= MAX_CACHED_STREAMS:
                self._series.clear()
            found = self._db.execute("SELECT number, id FROM series WHERE gateway = ? AND stream = ?", _key(at))
            self._series[at] = Ids.of(dict(found.fetchall()))
        return self._series[at]


def asset_of(entry: SeriesEntry) -> tuple[str, float | None, float | None, str, int]:
    """What a catalogue says of the asset, as the columns of `series` have it."""
    latitude, longitude = entry.location or (None, None)
    return entry.asset_id, latitude, longitude, json.dumps(dict(entry.labels), ensure_ascii=False), int(entry.public)


def _key(at: Stream) -> tuple[str, str]:
    return at.gateway, at.stream
