"""The rows of a batch's samples: written at once, or when its catalogue and its boot's clock are known."""

import json
import logging
import sqlite3
from collections.abc import Sequence
from operator import itemgetter
from typing import TypeAlias

from buffer.catalogue import SeriesEntry
from buffer.header import ClockState, Header
from collector import boots, ledger
from collector.chain import Stream
from collector.incoming import Accepted, Sample
from collector.values import columns
from ext import CLOCK, GOOD, unpack

logger = logging.getLogger(__name__)

MAX_CACHED_STREAMS = 1000  # series ids; about 5 kB a gateway of 50 points

# A database of before has series without what is said of their asset: the next catalogue fills it in.
_ENTER_SERIES = """
    INSERT INTO series
        (gateway, stream, number, device, point, unit, type, asset_id, latitude, longitude, labels, public)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (gateway, stream, number) DO UPDATE SET
        asset_id = excluded.asset_id, latitude = excluded.latitude, longitude = excluded.longitude,
        labels = excluded.labels, public = excluded.public
    WHERE device = excluded.device AND point = excluded.point"""

_Row: TypeAlias = tuple[int, int, float | None, str | None, str | None, int, int]


class Samples:
    """Writes the tables `samples`, `series`, `waiting` and `clockless`, within the caller's transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._series: dict[Stream, dict[int, int]] = {}

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
            self._write(at, header, accepted.samples, offset)

    def add_catalogue(self, accepted: Accepted) -> str | None:
        """Enter the series of a catalogue; return why it cannot be, when a number stands for something else already."""
        identity = accepted.identity
        key = identity.at.gateway, identity.at.stream
        for entry in accepted.entries:
            wanted = entry.device, entry.point, entry.unit, entry.type
            self._db.execute(_ENTER_SERIES, (*key, entry.number, *wanted, *_asset(entry)))
            found = self._db.execute(
                "SELECT device, point, unit, type FROM series WHERE gateway = ? AND stream = ? AND number = ?",
                (*key, entry.number),
            ).fetchone()
            if found != wanted:
                return f"series {entry.number} is {found[0]}/{found[1]} already, not {entry.device}/{entry.point}"
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
            "INSERT OR IGNORE INTO waiting SELECT gateway, stream, number, 'ready', NULL, boot, 0, 'dated anew'"
            " FROM clockless WHERE gateway = ? AND boot = ? AND offset_ms IS NOT NULL",
            (gateway, boot),
        )

    def enter_again(self, accepted: Accepted) -> None:
        """Write the rows of a batch that was `ready`, in place of those dated otherwise."""
        header, at = accepted.batch.header, accepted.identity.at
        self._take_back(at, header, accepted.samples)
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

    def _write(self, at: Stream, header: Header, samples: Sequence[Sample], offset: int) -> None:
        ids = self._ids(at)
        unknown = {number for number, *_ in samples if number not in ids}
        if unknown:
            self._wait(at, header, "failed")
            self.fail(at, header.number, f"series {min(unknown)} is in no catalogue")
            return
        unset = header.clock_state is ClockState.UNSET
        if header.window_ms:
            samples = self._without_known(at, header, samples)
        rows = _rows(samples, ids, offset, header.number, clock_known_now=unset)
        rows.sort(key=itemgetter(0))  # the index is then entered series by series
        self._db.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        if unset:
            self._db.execute(
                "UPDATE clockless SET offset_ms = ? WHERE gateway = ? AND stream = ? AND number = ?",
                (offset, *_key(at), header.number),
            )

    def _take_back(self, at: Stream, header: Header, samples: Sequence[Sample]) -> None:
        """Remove the rows of a batch that was dated by an estimate which is not the first any more."""
        row = self._db.execute(
            "SELECT offset_ms FROM clockless WHERE gateway = ? AND stream = ? AND number = ?",
            (*_key(at), header.number),
        ).fetchone()
        if row is None or row[0] is None:
            return
        self._db.execute(
            "UPDATE clockless SET offset_ms = NULL WHERE gateway = ? AND stream = ? AND number = ?",
            (*_key(at), header.number),
        )
        ids = self._ids(at)
        first, last = min(s[1] for s in samples) + row[0], max(s[1] for s in samples) + row[0]
        self._db.executemany(
            "DELETE FROM samples WHERE series = ? AND ts_ms BETWEEN ? AND ? AND batch = ?",
            [(ids[number], first, last, header.number) for number in {s[0] for s in samples}],
        )

    def _without_known(self, at: Stream, header: Header, samples: Sequence[Sample]) -> list[Sample]:
        """Leave out statistics that a thinned batch, which this one replaces and which is stored, has as well."""
        known: set[str] = set()
        for blocks in ledger.thinned_members(self._db, at, header):
            known.update(repr(sample) for sample in unpack(blocks))
        return [sample for sample in samples if repr(sample) not in known]

    def _ids(self, at: Stream) -> dict[int, int]:
        if at not in self._series:
            if len(self._series) >= MAX_CACHED_STREAMS:
                self._series.clear()
            found = self._db.execute("SELECT number, id FROM series WHERE gateway = ? AND stream = ?", _key(at))
            self._series[at] = dict(found.fetchall())
        return self._series[at]


def _rows(
    samples: Sequence[Sample], ids: dict[int, int], offset: int, batch: int, *, clock_known_now: bool
) -> list[_Row]:
    """The rows; a sample that was uncertain only for its unset clock is good once that is known."""
    if clock_known_now:
        samples = [(number, at, value, GOOD if quality == CLOCK else quality) for number, at, value, quality in samples]
    return [
        (ids[number], boot_ms + offset, *columns(value), quality, batch) for number, boot_ms, value, quality in samples
    ]


def _asset(entry: SeriesEntry) -> tuple[str, float | None, float | None, str, bool]:
    latitude, longitude = entry.location or (None, None)
    return entry.asset_id, latitude, longitude, json.dumps(dict(entry.labels), ensure_ascii=False), entry.public


def _key(at: Stream) -> tuple[str, str]:
    return at.gateway, at.stream
