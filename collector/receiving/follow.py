"""Batches that simply follow the newest of their stream, entered in bulk: what nearly all of them are.

Such a one has samples, or none, of a known catalogue and a known clock, names the hash of the newest number, claims
nothing and accounts for nothing. All others go the long way (`derive`); the tables are the same either way.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from buffer.cose import Kind
from buffer.header import ClockState
from collector.receiving import boots
from collector.receiving.chain import Stream
from collector.receiving.incoming import Accepted
from collector.receiving.samples import Samples
from collector.tables.database import Database
from collector.tables.parts import parts, places
from collector.tables.rows import BatchRow, Piece


@dataclass(slots=True)
class Head:
    """Where a stream ends; `run` is the first number of its last run, `wants` if a catalogue is waited for."""

    newest: int
    hash: str
    run: int
    wants: bool
    newest_ms: int | None = None
    moved: bool = False


class Followers:
    """The batches of one transaction, which holds the locks of their gateways."""

    def __init__(self, database: Database, samples: Samples, accepted: Collection[Accepted], now_ms: int) -> None:
        self._database = database
        self._db = database.connection
        self._samples = samples
        self._now_ms = now_ms
        self._heads = self._find_heads({one.identity.at for one in accepted})
        after = [one for one in accepted if one.identity.at in self._heads]
        self._boots = self._find_boots({(one.identity.at.gateway, one.batch.header.boot.hex()) for one in after})
        self._catalogues = self._find_catalogues(after)
        self._pending: list[Accepted] = []
        self._pieces: list[Piece] = []

    def take(self, accepted: Accepted) -> bool:
        """Take a batch for `flush` if it follows; else the stream's batches go the long way from here on."""
        at = accepted.identity.at
        head = self._heads.get(at)
        if head is None:
            return False
        offset = self._offset(accepted, head)
        piece = None
        if offset is not None and accepted.batch.header.samples:
            piece = self._samples.piece(accepted, offset)
        if offset is None or (piece is None and accepted.batch.header.samples):
            return False
        self._move(accepted, head, offset)
        if piece is not None:
            self._pieces.append(piece)
        return True

    def leave(self, at: Stream) -> None:
        """Take no more of a stream; to be called after a `flush`."""
        self._heads.pop(at, None)

    def flush(self) -> tuple[list[Accepted], dict[Stream, Head]]:
        """Write what was taken; return it and where its streams end now; raises Unstorable with nothing written."""
        taken, self._pending = self._pending, []
        pieces, self._pieces = self._pieces, []
        moved = {at: head for at, head in self._heads.items() if head.moved}
        if not taken:
            return [], {}
        try:
            with self._database.savepoint():
                self._database.add_batches([self._row(one) for one in taken])
                if pieces:
                    self._samples.add(pieces)
                self._move_streams(moved)
        except BaseException:  # whatever undid the group: what it was to be is forgotten
            self._heads.clear()
            self._pending = taken
            raise
        for head in moved.values():
            head.moved = False
        return taken, moved

    def left(self) -> list[Accepted]:
        """What a `flush` that raised Unstorable did not write; it goes the long way, one by one."""
        taken, self._pending = self._pending, []
        return taken

    def _offset(self, accepted: Accepted, head: Head) -> int | None:
        """UTC minus boot time if the batch follows, else None."""
        header, at = accepted.batch.header, accepted.identity.at
        plain = (
            header.number == head.newest + 1
            and header.previous.hex() == head.hash
            and header.kind is Kind.BATCH
            and header.clock_state is not ClockState.UNSET
            and not (header.ledger or header.replaces or header.window_ms)
        )
        if not plain or not boots.adds_nothing(self._boots.get((at.gateway, header.boot.hex())), header):
            return None
        if header.samples and (at.gateway, at.stream, (header.catalogue or b"").hex()) not in self._catalogues:
            return None
        return header.clock_ms

    def _move(self, accepted: Accepted, head: Head, offset: int) -> None:
        header = accepted.batch.header
        head.newest, head.hash, head.moved = header.number, accepted.identity.hash, True
        head.newest_ms = header.last_ms + offset if header.samples else None
        self._pending.append(accepted)

    def _row(self, one: Accepted) -> BatchRow:
        header, identity = one.batch.header, one.identity
        return BatchRow(
            identity.at.gateway, identity.at.stream, identity.number, identity.hash, header.previous.hex(),
            header.kind, header.boot.hex(), self._now_ms, one.message.payload,
        )  # fmt: skip

    def _move_streams(self, moved: dict[Stream, Head]) -> None:
        for part in parts(moved.items()):
            self._db.execute(
                "UPDATE streams SET newest = v.column3, newest_ms = CAST(v.column4 AS BIGINT)"  # noqa: S608 - ?
                f" FROM (VALUES {places(part, 4)}) AS v"
                " WHERE streams.gateway = v.column1 AND streams.stream = v.column2",
                [value for at, head in part for value in (at.gateway, at.stream, head.newest, head.newest_ms)],
            )
            self._db.execute(
                f"UPDATE runs SET last = v.column4 FROM (VALUES {places(part, 4)}) AS v"  # noqa: S608 - ?
                " WHERE runs.gateway = v.column1 AND runs.stream = v.column2 AND runs.first = v.column3",
                [value for at, head in part for value in (at.gateway, at.stream, head.run, head.newest)],
            )

    def _find_heads(self, streams: Iterable[Stream]) -> dict[Stream, Head]:
        """Of streams that are not forked, and of which nothing was refused that may have to be released."""
        sql = (
            "SELECT s.gateway, s.stream, s.newest, b.hash, r.first, EXISTS (SELECT 1 FROM waiting w"
            " WHERE w.gateway = s.gateway AND w.stream = s.stream AND w.state = 'catalogue')"
            " FROM streams s"
            " JOIN runs r ON r.gateway = s.gateway AND r.stream = s.stream AND r.last = s.newest"
            " JOIN batches b ON b.gateway = s.gateway AND b.stream = s.stream AND b.number = s.newest"
            " WHERE s.forked_at IS NULL AND (s.gateway, s.stream) IN (VALUES {})"
            " AND NOT EXISTS (SELECT 1 FROM rejects x WHERE x.gateway = s.gateway AND x.stream = s.stream)"
        )
        found = self._rows(sql, [(at.gateway, at.stream) for at in streams])
        return {
            Stream(gateway, stream): Head(newest, digest, run, bool(wants))
            for gateway, stream, newest, digest, run, wants in found
        }

    def _find_boots(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Any]:
        sql = (
            "SELECT gateway, boot, offset_ms, state, number, stream FROM boots NATURAL JOIN boot_sources"
            " WHERE (gateway, boot) IN (VALUES {})"
        )
        return {(row[0], row[1]): row[2:] for row in self._rows(sql, keys)}

    def _find_catalogues(self, accepted: Iterable[Accepted]) -> set[tuple[str, str, str]]:
        keys = {
            (one.identity.at.gateway, one.identity.at.stream, one.batch.header.catalogue.hex())
            for one in accepted
            if one.batch.header.catalogue is not None
        }
        sql = "SELECT gateway, stream, hash FROM catalogues WHERE (gateway, stream, hash) IN (VALUES {})"
        return {(gateway, stream, digest) for gateway, stream, digest in self._rows(sql, keys)}

    def _rows(self, sql: str, keys: Iterable[tuple[str, ...]]) -> list[Any]:
        found: list[Any] = []
        for part in parts(keys):
            values = [value for key in part for value in key]
            found += self._db.execute(sql.format(places(part, len(part[0]))), values).fetchall()
        return found
