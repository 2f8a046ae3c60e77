"""Proof that a gateway signed what the tables say of it, from the stored bytes alone."""

from collections import OrderedDict

from buffer import batch as batches
from buffer import catalogue
from buffer.batch import Batch
from buffer.catalogue import SeriesEntry
from buffer.cose import Kind
from buffer.errors import BufferFault
from collector.errors import CollectorError
from collector.identity.registry import Keys
from collector.query import Row
from collector.tables.database import Database
from ext import FormatError, unpack

CACHED = 64  # batches and catalogues that are verified once for many of their samples; a megabyte each at most


class Batches:
    """Verified batches of a database, by gateway, stream and number."""

    def __init__(self, database: Database) -> None:
        self._db = database.connection
        self._keys = Keys(database)
        self._read: OrderedDict[tuple[str, str, int], tuple[Batch, frozenset[tuple[int, str]]]] = OrderedDict()
        self._entries: OrderedDict[tuple[str, str, bytes], dict[int, SeriesEntry]] = OrderedDict()

    def faults(self, event: Row) -> list[str]:
        """Why a text sample (`gateway, stream, batch, hash, series, point, text`) is not proved; empty when it is."""
        try:
            batch, texts = self._batch(event["gateway"], event["stream"], event["batch"])
            entry = self._catalogue(event["gateway"], event["stream"], batch).get(event["series"])
        except (BufferFault, CollectorError, FormatError) as error:
            return [f"batch {event['batch']}: {error}"]
        faults = []
        if batch.hash.hex() != event["hash"]:
            faults.append(f"batch {event['batch']} has the hash {batch.hash.hex()}")
        if (event["series"], event["text"]) not in texts:
            faults.append(f"batch {event['batch']} does not say this")
        if entry is None or (entry.device, entry.point) != ("gateway", event["point"]):
            faults.append(f"series {event['series']} is not gateway/{event['point']} in the catalogue")
        before = self._db.execute(
            "SELECT hash FROM batches WHERE gateway = ? AND stream = ? AND number = ?",
            (event["gateway"], event["stream"], event["batch"] - 1),
        ).fetchone()
        if before is not None and before[0] != batch.header.previous.hex():
            faults.append(f"batch {event['batch']} does not follow batch {event['batch'] - 1}: the chain is broken")
        return faults

    def _batch(self, gateway: str, stream: str, number: int) -> tuple[Batch, frozenset[tuple[int, str]]]:
        place = gateway, stream, number
        if place not in self._read:
            batch = self._verify(place)
            said = unpack(batch.blocks) if batch.header.kind is Kind.BATCH else ()
            texts = frozenset((series, value) for series, _, value, _ in said if isinstance(value, str))
            self._read[place] = batch, texts
            if len(self._read) > CACHED:
                self._read.popitem(last=False)
        return self._read[place]

    def _verify(self, place: tuple[str, str, int]) -> Batch:
        found = self._db.execute(
            "SELECT bytes FROM batches WHERE gateway = ? AND stream = ? AND number = ?", place
        ).fetchone()
        if found is None:
            raise CollectorError("is not stored")
        message = bytes(found[0])
        batch = batches.decode(message, self._keys.of_message(message))
        header = batch.header
        if (header.gateway, header.stream.hex(), header.number) != place:
            raise CollectorError(f"is number {header.number} of {header.gateway} {header.stream.hex()}")
        return batch

    def _catalogue(self, gateway: str, stream: str, batch: Batch) -> dict[int, SeriesEntry]:
        digest = batch.header.catalogue or b""
        place = gateway, stream, digest
        if place not in self._entries:
            found = self._db.execute(
                "SELECT number FROM catalogues WHERE gateway = ? AND stream = ? AND hash = ?",
                (gateway, stream, digest.hex()),
            ).fetchone()
            if found is None:
                raise CollectorError("its catalogue is not stored")
            described = self._verify((gateway, stream, found[0]))
            if described.hash != digest:
                raise CollectorError("its catalogue is another one")
            self._entries[place] = {entry.number: entry for entry in catalogue.decode(described.blocks)}
            if len(self._entries) > CACHED:
                self._entries.popitem(last=False)
        return self._entries[place]
