"""Find in a damaged store what can still be proved, row by row: `python -m buffer.salvage STORE ASIDE GATEWAY KEY`.

A process of its own, so that neither its time, its memory nor its end is the daemon's. Sealed batches whose signature
verifies keep their identity. Blocks committed but not sealed, whose check values are right, are sealed in a stream of
their own, named by what is in it: doing it again makes the same batches. The rest is told for the ledger.
"""

import hashlib
import os
import sqlite3
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from buffer import batch, catalogue, header
from buffer.block import CATALOGUE_PART, Block, OpenBatch
from buffer.cose import Kind
from buffer.errors import BatchBoundary, BatchFormatError, BufferFault
from buffer.header import (
    KIND_CODES,
    NO_HASH,
    PRIORITIES,
    STATES,
    STREAM_BYTES,
    Clock,
    Header,
    LedgerEntry,
    entry_loads,
)
from buffer.keys import PublicKey, SigningKey
from buffer.memory import NO_ENDS, ends_of
from buffer.migrate import VERSION
from buffer.pages import Pages, Row, SqlValue
from buffer.salvage_report import Report
from buffer.spool import PLACE, Spool, assemble
from ext import unpack

NICE = 10  # sampling goes first
PUT_BATCHES = 64  # a transaction
MAX_LOST = 256  # ledger entries of one salvage: one for each boot, and those that were waiting in the file
MAX_BLOCKS = 65_536  # of one open batch; also what one batch is assembled from
REASON = "damaged on disk: {count} batches of stream {stream}"

Columns = Mapping[str, Sequence[str]]
Found = dict[str, SqlValue]


class Salvage:
    """One file that was set aside, read once from its first page to its last."""

    def __init__(self, aside: Path, pages: Pages, spool: Spool, key: SigningKey, gateway: str) -> None:
        self._name = aside.name
        self._pages = pages
        self._spool = spool
        self._key = key
        self._public: PublicKey = key.public(gateway, gateway)  # the site is no part of what was signed
        self._gateway = gateway
        self._columns, roots = reference()
        self._roots = dict(roots)
        self._index = sqlite3.connect("", isolation_level=None)  # on disk when it grows: memory stays bounded
        self._index.execute("CREATE TABLE places (id INTEGER, part INTEGER, page INTEGER, PRIMARY KEY (id, page))")
        self._index.execute(
            "CREATE TABLE rows (number INTEGER, acked INTEGER, part INTEGER, last INTEGER, page INTEGER,"
            " PRIMARY KEY (number, page))"
        )
        self._catalogues: dict[bytes, bytes] = {}
        self._damaged: dict[bytes, list[Header]] = defaultdict(list)
        self._untold: list[LedgerEntry] = []
        self.report = Report()

    def run(self) -> Report:
        """Read, verify, and put what is proved into the spool."""
        self._scan()
        self._sealed()
        self._open()
        self._account()
        return self.report

    def _scan(self) -> None:
        free = self._pages.free()
        self._index.execute("BEGIN")
        for page in range(1, self._pages.count + 1):
            for row in self._pages.rows(page) if page not in free else ():
                self._enter(page, row)
        self._index.execute("COMMIT")

    def _enter(self, page: int, row: Row) -> None:
        number, values = row
        if is_row(found := self._named("batches", row), {"header": bytes, "signature": bytes, "kid": bytes}):
            if isinstance(found["hash"], bytes) and len(found["hash"]) == len(NO_HASH):
                entry = (number, found["acked_utc_ms"], found["part"], found["last_block"], page)
                self._index.execute("INSERT OR IGNORE INTO rows VALUES (?, ?, ?, ?, ?)", entry)
        elif is_row(found := self._named("blocks", row), {"boot": bytes, "data": bytes, "part": int}):
            self._index.execute("INSERT OR IGNORE INTO places VALUES (?, ?, ?)", (number, found["part"], page))
        elif len(values) == 2 and isinstance(values[1], bytes):  # a ledger entry that no batch had taken yet
            try:
                self.report.lost.append(entry_loads(values[1]))
            except BatchFormatError:
                return
        elif values[:2] == ("table", "batches") and isinstance(values[3], int):
            self._roots["batches"] = values[3]

    def _named(self, table: str, row: Row) -> Found:
        """The columns of a row by name, those that an older version did not have as null."""
        number, values = row
        names = self._columns[table]
        if not 0 < len(values) <= len(names):
            return {}
        found = dict.fromkeys(names) | dict(zip(names, values, strict=False))
        return found | {names[0]: number}

    def _sealed(self) -> None:
        query = "SELECT number, max(acked), min(page) FROM rows GROUP BY number ORDER BY number"
        rows = []
        for number, acked, page in self._index.execute(query):
            if (made := self._verified(number, bool(acked), page)) is not None:
                rows.append(made)
            if len(rows) == PUT_BATCHES:
                self._spool.put(rows)
                rows = []
        self._spool.put(rows)

    def _verified(self, number: int, acked: bool, page: int) -> tuple[object, ...] | None:
        """The row of the spool for a batch that can be proved; one that cannot is noted."""
        values = next(row for row in self._pages.rows(page) if row[0] == number)
        found = self._named("batches", values)
        kind, part, first, last = (found[name] for name in ("kind", "part", "first_block", "last_block"))
        if not found["header"] or (acked and kind != KIND_CODES[Kind.CATALOGUE]) or not isinstance(last, int):
            return None
        query = "SELECT id, min(page) FROM places WHERE id BETWEEN ? AND ? AND part = ? GROUP BY id LIMIT ?"
        places = b"".join(PLACE.pack(*at) for at in self._index.execute(query, (first, last, part, MAX_BLOCKS)))
        kid, encoded, signature = (bytes(found[name]) for name in ("kid", "header", "signature"))  # type: ignore[arg-type]
        message = assemble(self._pages, int(str(part)), kid, encoded, signature, places)
        try:
            made = batch.decode(message, self._public)
        except BufferFault:
            self._missed(found["header"], acked=acked)
            return None
        head = made.header
        if made.hash != found["hash"] or head.number != number:
            return None
        self._count(made, acked=acked)
        about = (self._name, head.stream, number, KIND_CODES[head.kind], part, head.samples, len(message), int(acked))
        return (*about, made.hash, b"", kid, encoded, signature, places)

    def _count(self, made: batch.Batch, *, acked: bool) -> None:
        self.report.stream = made.header.stream
        if made.header.kind is Kind.CATALOGUE:
            self._catalogues[made.hash] = made.blocks[0]
        if not acked:
            self.report.batches += 1
            self.report.samples += made.header.samples

    def _missed(self, encoded: SqlValue, *, acked: bool) -> None:
        try:
            head = header.loads(encoded if isinstance(encoded, bytes) else b"")
        except BatchFormatError:
            return
        if head.gateway == self._gateway and not acked:
            self._untold += head.ledger
            if head.samples and not head.window_ms:  # statistics are nobody's samples: the ledger tells of those
                self._damaged[head.boot].append(head)

    def _account(self) -> None:
        """One entry a boot for the batches that have come to harm, and the entries that were in them."""
        for boot, heads in self._damaged.items():
            newest = heads[-1]
            reason = REASON.format(count=len(heads), stream=newest.stream.hex())
            times = (min(head.first_ms for head in heads), max(head.last_ms for head in heads))
            samples = sum(head.samples for head in heads)
            self.report.lost.append(LedgerEntry(boot, *times, newest.clock_ms, newest.clock_state, samples, reason))
        self.report.lost += self._untold
        del self.report.lost[MAX_LOST:]

    def _open(self) -> None:
        """Seal what was committed and not sealed, when it is certain that it was not."""
        ends = self._ends()
        made = [one for part in sorted(ends) if (one := self._open_batch(part, ends[part])) is not None]
        if made and (block := self._catalogue_of(made)) is not None:
            self._spool.put(self._chain(made, block))

    def _ends(self) -> dict[int, int]:
        """For each part the last block that was sealed; none when the newest batch is not certain."""
        row = self._last(self._roots["batches"])
        marks = self._named("batches", row)["sealed_to"] if row else None
        if not isinstance(marks, bytes) or len(marks) != len(NO_ENDS):
            return {}
        seen: dict[int, int] = dict(self._index.execute("SELECT part, max(last) FROM rows GROUP BY part"))
        return {part: max(end, seen.get(part, 0)) for part, end in enumerate(ends_of(marks))}

    def _last(self, page: int) -> Row | None:
        """The last row of a table, by the rightmost pages of its tree (1.6)."""
        for _ in range(20):
            data = self._pages.read(page)
            if data[0] != 0x05:
                rows = self._pages.rows(page)
                return rows[-1] if rows else None
            page = int.from_bytes(data[8:12], "big")
        return None

    def _open_batch(self, part: int, end: int) -> tuple[OpenBatch, list[bytes]] | None:
        """The blocks of a part after `end`, as far as each follows from the one before."""
        query = "SELECT id, min(page) FROM places WHERE id > ? AND part = ? GROUP BY id ORDER BY id LIMIT ?"
        found: OpenBatch | None = None
        blocks: list[bytes] = []
        for number, page in self._index.execute(query, (end, part, MAX_BLOCKS)):
            row = self._named("blocks", next(row for row in self._pages.rows(page) if row[0] == number))
            try:
                block = _block(part, row)
                longer = OpenBatch.of(block, number) if found is None else found.extended(block, number)
            except (LookupError, TypeError, ValueError, BatchBoundary):
                break
            if longer.digest != row.get("digest"):
                break
            found = longer
            blocks.append(block.data)
        return None if found is None or not _decodes(found, blocks) else (found, blocks)

    def _catalogue_of(self, made: list[tuple[OpenBatch, list[bytes]]]) -> bytes | None:
        """The newest catalogue that knows every series in the blocks."""
        wanted = {number for _, blocks in made for number, *_ in unpack(blocks)}
        for block in reversed(self._catalogues.values()):
            if wanted <= {entry.number for entry in catalogue.decode([block])}:
                return block
        return None

    def _chain(self, made: list[tuple[OpenBatch, list[bytes]]], described: bytes) -> Iterator[tuple[object, ...]]:
        content = b"".join([described, *(data for _, blocks in made for data in blocks)])
        stream = hashlib.sha256(b"salvage" + self.report.stream + content).digest()[:STREAM_BYTES]
        first = made[0][0]
        head = Header(
            kind=Kind.CATALOGUE, gateway=self._gateway, stream=stream, number=1, previous=NO_HASH,
            boot=first.clock.boot, clock_ms=first.clock.clock_ms, clock_state=first.clock.state, catalogue=None,
            samples=0, priority=PRIORITIES[0],
        )  # fmt: skip
        message = batch.encode(head, [described], self._key)
        named = previous = batch.batch_hash(message)
        yield self._own(head, CATALOGUE_PART, message)
        for number, (one, blocks) in enumerate(made, 2):
            part = self._part(one)
            head = replace(
                head, kind=Kind.BATCH, number=number, previous=previous, boot=one.clock.boot,
                clock_ms=one.clock.clock_ms, clock_state=one.clock.state, catalogue=named, samples=one.samples,
                priority=PRIORITIES[part], first_ms=one.first_ms, last_ms=one.last_ms,
            )  # fmt: skip
            message = batch.encode(head, blocks, self._key)
            previous = batch.batch_hash(message)
            self.report.batches += 1
            self.report.samples += one.samples
            yield self._own(head, part, message)

    def _part(self, one: OpenBatch) -> int:
        query = "SELECT part FROM places WHERE id = ?"
        return int(self._index.execute(query, (one.first,)).fetchone()[0])

    def _own(self, head: Header, part: int, message: bytes) -> tuple[object, ...]:
        about = (self._name, head.stream, head.number, KIND_CODES[head.kind], part, head.samples, len(message), 0)
        return (*about, batch.batch_hash(message), message, b"", b"", b"", b"")


def _block(part: int, row: Found) -> Block:
    """A row as a block; raises `LookupError`, `TypeError` or `ValueError` for one that is none."""
    boot, clock_ms, state, samples, first_ms, last_ms, data = (
        row[name] for name in ("boot", "clock_ms", "clock_state", "samples", "first_ms", "last_ms", "data")
    )
    numbers = (clock_ms, state, samples, first_ms, last_ms)
    if not isinstance(boot, bytes) or not isinstance(data, bytes) or not all(isinstance(n, int) for n in numbers):
        raise TypeError("a column of another type")
    found = [n for n in numbers if isinstance(n, int)]
    return Block(PRIORITIES[part], Clock(boot, found[0], STATES[found[1]]), found[2], found[3], found[4], data)


def _decodes(found: OpenBatch, blocks: list[bytes]) -> bool:
    try:
        return len(unpack(blocks)) == found.samples
    except ValueError:
        return False


def is_row(found: Found, types: Mapping[str, type]) -> bool:
    """Whether the columns named have these types."""
    return bool(found) and all(isinstance(found.get(name), kind) for name, kind in types.items())


@cache
def reference() -> tuple[Columns, dict[str, int]]:
    """Columns and first page of each table of a new store: what an old one looked like as well."""
    from buffer.schema import migrate

    with tempfile.TemporaryDirectory(prefix="lamppost-") as folder:
        path = Path(folder) / "new.db"
        migrate(path, VERSION)
        connection = sqlite3.connect(path)
        try:
            tables = dict(connection.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'"))
            columns = {
                name: [row[1] for row in connection.execute("SELECT * FROM pragma_table_info(?)", (name,)).fetchall()]
                for name in tables
            }
        finally:
            connection.close()
    return columns, tables


def salvage(store: Path, aside: Path, gateway: str, key: SigningKey) -> Report:
    """Put what can be proved of `aside` into the spool of `store`; raises `OSError` when a file cannot be opened."""
    spool = Spool(store)
    try:
        with Pages(aside) as pages:
            return Salvage(aside, pages, spool, key, gateway).run()
    finally:
        spool.close()


def main(arguments: Sequence[str]) -> int:
    """Salvage one file and print the report; 0, or an exit code of sysexits with the reason on stderr."""
    store, aside, gateway, key = arguments
    os.nice(NICE)
    try:
        report = salvage(Path(store), Path(aside), gateway, SigningKey.load(Path(key)))
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return getattr(error, "exit_code", 74)  # EX_IOERR
    sys.stdout.write(report.dumps() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
