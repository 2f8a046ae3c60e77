"""The walk over the stored batches of a gateway, by number: signature, identity, joints, numbers that are missing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from buffer import batch as batches
from buffer.batch import Batch
from buffer.errors import BufferFault
from collector.errors import CollectorError
from collector.identity.registry import Keys
from collector.receiving.chain import Stream
from collector.tables.database import Database, Sql
from collector.verify.account import Account
from collector.verify.clocks import Clocks
from collector.verify.report import Fault, Report
from collector.verify.tables import Tables

PAGE = 64  # stored batches in memory

Heads = Mapping[tuple[str, str], tuple[int, str]]
"""Number and hash of the last batch of a stream, as an earlier walk told them."""

_STREAMS = """
    SELECT gateway, stream FROM batches WHERE gateway = ? UNION SELECT gateway, stream FROM streams WHERE gateway = ?
    UNION SELECT gateway, stream FROM series WHERE gateway = ? ORDER BY 1, 2"""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A row of `batches`."""

    number: int
    hash: str
    previous: str
    kind: str
    boot: str
    message: bytes


def walk(database: Database, gateway: str | None = None, heads: Heads | None = None) -> Iterator[Report]:
    """Yield a report for each stream; each gateway is read as it was at one moment, also while a collector runs."""
    keys, db = Keys(database), database.connection
    found = db.execute("SELECT gateway FROM gateways UNION SELECT gateway FROM batches ORDER BY 1").fetchall()
    known = {name for name, _ in heads or {}}
    for name in sorted({row[0] for row in found} | known if gateway is None else {gateway}):
        with database.snapshot():
            reports = _gateway(db, keys, name, heads or {})
        yield from reports


def _gateway(db: Sql, keys: Keys, gateway: str, heads: Heads) -> list[Report]:
    clocks = Clocks(db, gateway)
    streams = {row[1] for row in db.execute(_STREAMS, (gateway,) * 3)} | {s for name, s in heads if name == gateway}
    reports = [_Walker(db, keys, Stream(gateway, stream), clocks).run(heads) for stream in sorted(streams)]
    if reports:
        clocks.finish(reports[0])
    return reports


class _Walker:
    """One stream."""

    def __init__(self, db: Sql, keys: Keys, at: Stream, clocks: Clocks) -> None:
        self._db = db
        self._keys = keys
        self._at = at
        self._clocks = clocks
        self._report = Report(at.gateway, at.stream)
        self._account = Account(db, at, self._report)
        self._tables = Tables(db, at, self._report)

    def run(self, heads: Heads) -> Report:
        """Walk, then judge what only the whole can tell."""
        report, head = self._report, heads.get((self._at.gateway, self._at.stream))
        before: tuple[int, str] = (0, "00" * 32)
        for stored in self._stored():
            self._account.arrived(stored.number, before)
            batch = self._verified(stored)
            if batch is not None:
                self._joint(stored, batch, before)
                self._account.learn(batch.header)
                self._clocks.learn(batch.header)
                self._tables.check(batch)
            if head is not None and stored.number == head[0] and stored.hash != head[1]:
                report.fault(Fault.ALTERED, f"its hash was {head[1]} at an earlier walk", stored.number)
            before = stored.number, stored.hash
            report.batches += 1
        report.last, report.hash = before
        self._account.finish(before[0])
        self._tables.finish(self._account)
        self._end(head)
        return report

    def _stored(self) -> Iterator[_Stored]:
        sql = (
            "SELECT number, hash, previous, kind, boot, bytes FROM batches"
            " WHERE gateway = ? AND stream = ? AND number > ? ORDER BY number LIMIT ?"
        )
        last = -1
        while rows := self._db.execute(sql, (self._at.gateway, self._at.stream, last, PAGE)).fetchall():
            yield from (_Stored(*row) for row in rows)
            last = rows[-1][0]

    def _verified(self, stored: _Stored) -> Batch | None:
        """The batch that a row holds, when its key signed it and it is the one that the row says."""
        message = bytes(stored.message)
        try:
            batch = batches.decode(message, self._keys.of_message(message))
        except (BufferFault, CollectorError) as error:
            self._report.fault(Fault.SIGNATURE, str(error), stored.number)
            return None
        header = batch.header
        told = (stored.number, stored.hash, stored.previous, stored.kind, stored.boot)
        signed = (header.number, batch.hash.hex(), header.previous.hex(), header.kind.value, header.boot.hex())
        if (header.gateway, header.stream.hex()) != (self._at.gateway, self._at.stream) or told != signed:
            detail = f"the row says {told}, signed is {header.gateway} {header.stream.hex()} {signed}"
            self._report.fault(Fault.ALTERED, detail, stored.number)
            return None
        return batch

    def _joint(self, stored: _Stored, batch: Batch, before: tuple[int, str]) -> None:
        if before[0] == stored.number - 1 and before[1] != batch.header.previous.hex():
            detail = f"it names {batch.header.previous.hex()}, the one before has {before[1]}"
            self._report.fault(Fault.CHAIN, detail, stored.number)

    def _end(self, head: tuple[int, str] | None) -> None:
        """What is gone at the end leaves no gap: the book-keeping, or an earlier walk, knows of it."""
        report = self._report
        filled = max(report.last, self._account.last_claimed)
        row = self._db.execute(
            "SELECT newest, forked_at, forked_number FROM streams WHERE gateway = ? AND stream = ?",
            (self._at.gateway, self._at.stream),
        ).fetchone()
        newest, forked_at, forked_number = row or (0, None, None)
        known = max(newest, head[0] if head else 0)
        if known > filled:
            report.fault(Fault.REMOVED, f"numbers up to {known} were stored, the last is {filled}")
        elif newest != filled:
            report.fault(Fault.GAPS, f"the table streams knows numbers up to {newest}, stored are {filled}")
        if head is not None and head[0] <= filled and not self._account.accounts_for(head[0]):
            report.fault(Fault.REMOVED, "it was stored at an earlier walk", head[0])
        if forked_at is not None:
            report.fault(Fault.FORK, "two stores claim the identity; it waits for gateways confirm", forked_number)
