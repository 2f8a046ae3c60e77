"""Everything that follows from a stored batch: boots, series, samples, gaps, the chain."""

import logging

from buffer import batch as batches
from buffer.cose import Kind
from buffer.errors import BatchFormatError, SignatureError
from buffer.header import ClockState, Header
from collector.errors import Unstorable
from collector.identity.registry import Keys
from collector.receiving import boots, chain, ledger
from collector.receiving.chain import Link, Stream
from collector.receiving.incoming import Accepted, Identity, Message, Reason, Refusal, parse
from collector.receiving.ledger import Conflict
from collector.receiving.samples import Samples
from collector.tables import rollups
from collector.tables.database import Database
from collector.tables.schema import DERIVED

logger = logging.getLogger(__name__)


class Deriver:
    """Writes the derived tables, within the caller's transaction."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._db = database.connection
        self._keys = keys
        self.samples = Samples(database)
        self._database = database

    def forget(self) -> None:
        """Drop what was remembered of a transaction that was rolled back."""
        self.samples.forget()

    def enter(self, accepted: Accepted) -> None:
        """Derive everything from a batch whose bytes are in `batches`; raises Refusal with part of it written."""
        header, identity = accepted.batch.header, accepted.identity
        if (offset := boots.learn(self._db, header)) is not None:
            self._date_boot(header.gateway, header.boot.hex(), offset)
        if header.clock_state is ClockState.UNSET and header.samples:
            self._note_clockless(identity, header)
        if header.kind is Kind.CATALOGUE and (wrong := self.samples.add_catalogue(accepted)):
            raise Refusal(Reason.CATALOGUE, wrong, accepted.key, identity)
        try:
            counts = ledger.enter(self._db, identity.at, header)
        except Conflict as conflict:
            raise Refusal(Reason.FORK, str(conflict), accepted.key, identity) from conflict
        self.samples.enter(accepted, superseded=not counts)
        if ledger.replacement_of(self._db, identity.at, identity.number) is None:
            chain.fill(self._db, identity.at, self._link(identity, header))

    def ready_gateway(self) -> str | None:
        """One that `settle` has something to do for."""
        row = self._db.execute("SELECT gateway FROM waiting WHERE state = 'ready' LIMIT 1").fetchone()
        return None if row is None else str(row[0])

    def settle(self, limit: int, gateway: str | None = None) -> int:
        """Write the rows of some batches that lack nothing any more; return how many were seen to."""
        ready = self._db.execute(
            "SELECT gateway, stream, number FROM waiting"
            " WHERE state = 'ready' AND (?1 IS NULL OR gateway = ?1) LIMIT ?2",
            (gateway, limit),
        ).fetchall()
        for gateway, stream, number in ready:
            self._settle(Stream(gateway, stream), number)
        return len(ready)

    def read(self, at: Stream, number: int) -> Accepted:
        """Verify and parse a stored batch again; raises BatchFormatError, SignatureError or Refusal."""
        (message,) = self._db.execute(
            "SELECT bytes FROM batches WHERE gateway = ? AND stream = ? AND number = ?", (at.gateway, at.stream, number)
        ).fetchone()
        key = self._keys.of_message(message)
        return parse(Message("", message), key, batches.decode(message, key))

    def _settle(self, at: Stream, number: int) -> None:
        try:
            with self._database.savepoint():
                self.samples.enter_again(self.read(at, number))
        except (BatchFormatError, SignatureError, Refusal, Unstorable) as error:
            self.samples.fail(at, number, str(error))

    def _note_clockless(self, identity: Identity, header: Header) -> None:
        self._db.execute(
            "INSERT INTO clockless VALUES (?, ?, ?, ?, ?, ?, NULL)",
            (
                identity.at.gateway,
                identity.at.stream,
                identity.number,
                header.boot.hex(),
                header.first_ms,
                header.last_ms,
            ),
        )

    def _date_boot(self, gateway: str, boot: str, offset_ms: int) -> None:
        self.samples.date_boot(gateway, boot)
        ledger.date(self._db, gateway, boot, offset_ms)
        known = self._db.execute(
            "SELECT stream, number, first_boot_ms, last_boot_ms FROM clockless WHERE gateway = ? AND boot = ?",
            (gateway, boot),
        ).fetchall()
        for stream, number, first, last in known:
            chain.date(self._db, Stream(gateway, stream), number, first + offset_ms, last + offset_ms)

    def _link(self, identity: Identity, header: Header) -> Link:
        offset = boots.offset_of(self._db, header) if header.samples else None
        first, last = (None, None) if offset is None else (header.first_ms + offset, header.last_ms + offset)
        return Link(identity.number, identity.hash, header.previous.hex(), first, last)


def rebuild(database: Database) -> int:
    """Make the derived tables anew from the stored batches, in one transaction; return how many batches there are.

    A batch that cannot be derived from any more is logged and stays out.
    """
    deriver = Deriver(database, Keys(database))
    with database.transaction() as db:
        for table in DERIVED:
            db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
        db.execute("UPDATE streams SET newest = 0, newest_ms = NULL")
        identities = db.execute("SELECT gateway, stream, number FROM batches ORDER BY rowid").fetchall()
        for gateway, stream, number in identities:
            try:
                with database.savepoint():
                    deriver.enter(deriver.read(Stream(gateway, stream), number))
            except (BatchFormatError, SignatureError, Refusal, Unstorable) as error:
                deriver.forget()
                logger.error("%s %s: batch %d stays out: %s", gateway, stream, number, error)
        while deriver.settle(1000):
            pass
        rollups.make_all(db)
        database.drop_samples(rollups.kept_from(db))
    return len(identities)
