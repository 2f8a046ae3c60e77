"""A damaged store, 512 bytes at a time: the agent's way of opening it ends with one that works, and nothing untrue."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from buffer import batch, catalogue, migrate, schema
from buffer.ack import Ack
from buffer.batch import batch_hash
from buffer.block import Block
from buffer.cose import Kind
from buffer.errors import AckRefused, StoreCorrupt, StoreError, UnknownBatch
from buffer.header import Header, LedgerEntry, Priority
from buffer.keys import PublicKey, SigningKey
from buffer.opening import Opened, open_store
from buffer.recovery import UNCLEAN
from buffer.salvage import salvage
from buffer.salvage_report import Report
from buffer.spool import Spool, asides
from buffer.store import Store
from ext import Packer, Series, unpack
from tests.buffer.support import CLOCK, GATEWAY, OTHER_BOOT, SERIES, SIZE

SECTOR = 512
TWO_BATCHES = 400  # samples: no page has the rows of more
Values = dict[tuple[str, int], object]
"""(point, ms): value"""

ROUNDS = 6
FURTHER = 1_000_000  # the first time of what comes afterwards


class Field:
    """Two series of one device, packed as the agent packs them."""

    def __init__(self, store: Store, at: int = 0) -> None:
        self._store = store
        self._series = [Series(number) for number in store.assign(SERIES)]
        self._packers = {priority: Packer() for priority in (Priority.NORMAL, Priority.CRITICAL)}
        self._at = at
        self.committed: Values = {}

    def commit(self, priority: Priority, count: int) -> None:
        """One block."""
        packer = self._packers[priority]
        fresh, first = packer.samples == 0, self._at + 1
        for _ in range(count):
            self._at += 1
            which = self._at % 2
            value = Decimal(self._at * 7919 % 100_003) / 100
            packer.append(self._series[which], self._at, value)
            self.committed[SERIES[which].point, self._at] = value
        self._store.commit([Block(priority, CLOCK, count, first, self._at, packer.commit(), fresh)])

    def seal(self) -> None:
        """All open batches."""
        self._store.seal()
        for packer in self._packers.values():
            packer.reset()


class Platform:
    """What the collector makes of messages: samples by stream, catalogue and number; nothing counts twice."""

    def __init__(self, public: PublicKey) -> None:
        self._public = public
        self._batches: dict[tuple[bytes, int], batch.Batch] = {}
        self.values: Values = {}
        self.ledger: list[LedgerEntry] = []

    def take(self, message: bytes) -> Header:
        """Verify and store; a fork fails."""
        made = batch.decode(message, self._public)
        known = self._batches.setdefault((made.header.stream, made.header.number), made)
        assert known.hash == made.hash, "a fork"
        if known is made:
            self.ledger += made.header.ledger
        return made.header

    def read(self) -> Values:
        """Every sample, each of them once."""
        described = {
            made.hash: {entry.number: entry.point for entry in catalogue.decode(made.blocks)}
            for made in self._batches.values()
            if made.header.kind is Kind.CATALOGUE
        }
        found: Values = {}
        for made in self._batches.values():
            if made.header.samples and made.header.catalogue in described:
                for number, at, value, _ in unpack(made.blocks):
                    name = described[made.header.catalogue][number], at
                    assert name not in found, "delivered twice"
                    found[name] = value
        return found


def deliver(opened: Opened, platform: Platform) -> list[str]:
    """Send all that is held; what is not sent for damage."""
    damaged = []
    for held in [*opened.store.held(), *(opened.spool.held() if opened.spool is not None else ())]:
        source = opened.store if held.number > 0 else opened.spool
        assert source is not None
        try:
            platform.take(source.message(held.number))
        except StoreCorrupt as error:
            damaged.append(str(error))
    return damaged


class Damaged:
    """A store that a killed process left: some delivered, some sealed, some open, the log still there."""

    def __init__(self, folder: Path, template: Path, key: SigningKey) -> None:
        self.path = Path(shutil.copy(template, folder / "buffer.db"))
        self.key = key
        self.delivered: list[bytes] = []
        store = self.open().store
        field = Field(store)
        for turn in range(ROUNDS):
            field.commit(Priority.NORMAL, 150 + turn)
            field.commit(Priority.CRITICAL, 3)
            field.commit(Priority.NORMAL, 40)
            field.seal()
            if turn == 3:
                self.delivered = [store.message(held.number) for held in store.held()]
                store.acknowledge_numbers([held.number for held in store.held()], 1)
                store._connection.execute("PRAGMA wal_checkpoint")
        field.commit(Priority.NORMAL, 60)
        field.commit(Priority.CRITICAL, 5)
        field.commit(Priority.NORMAL, 60)
        self.committed = field.committed
        self.stream = store.stream
        self.files = {name: Path(f"{self.path}{name}").read_bytes() for name in ("", "-wal")}
        store._release()

    def open(self) -> Opened:
        """As the agent opens it."""
        return open_store(self.path, GATEWAY, self.key, OTHER_BOOT, size_limit=SIZE, now_ms=lambda: 5)

    def reset(self) -> None:
        """As it was before any damage."""
        for file in self.path.parent.glob(f"{self.path.name}*"):
            file.unlink()
        for name, data in self.files.items():
            Path(f"{self.path}{name}").write_bytes(data)

    def salvaged(self, opened: Opened) -> Report | None:
        """Do what the agent does in the background."""
        if opened.spool is None:
            return None
        (one,) = [state for state in opened.spool.state() if not state.done]
        report = salvage(self.path, self.path.with_name(one.name), GATEWAY, self.key)
        for entry in report.lost:
            opened.store.note(entry)
        opened.spool.done(one.name, report.samples, report.lost_samples)
        return report


@pytest.fixture
def damaged(template: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Damaged]:
    """A store to do harm to."""
    monkeypatch.setattr(migrate, "_run_child", lambda path: schema.migrate(path, migrate.VERSION))  # 0.4 s quicker
    memory = Path("/dev/shm")  # hundreds of stores: their syncs need not wait for a disk
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Damaged(Path(folder), template, key)


def life(damaged: Damaged, platform: Platform, at: int) -> tuple[bool, list[str]]:
    """One life of an agent: open, salvage, deliver, go on; False when it ended by what it found."""
    opened = damaged.open()
    try:
        damaged.salvaged(opened)
        broken = deliver(opened, platform)
        fresh = Field(opened.store, at)
        fresh.commit(Priority.NORMAL, 2)
        fresh.seal()
        deliver(opened, platform)
        for name in fresh.committed:
            assert platform.read().pop(name) == fresh.committed[name], "the store does not work"
    except StoreCorrupt:
        opened.store.set_aside()
        if opened.spool is not None:
            opened.spool.close()
        return False, []
    opened.close()
    return True, broken


@dataclass
class Outcome:
    """What arrived of what was committed, and how."""

    missing: Values
    platform: Platform
    aside: bool
    broken: list[str]


def outcome(damaged: Damaged, public: PublicKey) -> Outcome:
    """What became of it in at most three lives. Fails for anything untrue and for a loss that is not owned up to."""
    platform = Platform(public)
    for message in damaged.delivered:
        platform.take(message)
    broken: list[str] = []
    for turn in range(3):
        works, broken = life(damaged, platform, (turn + 1) * FURTHER)
        if works:
            break
    else:
        pytest.fail("no store that works")
    values = {name: value for name, value in platform.read().items() if name[1] < FURTHER}
    assert values.items() <= damaged.committed.items(), "a sample that nobody took"
    missing = {name: value for name, value in damaged.committed.items() if name not in values}
    aside = bool(asides(damaged.path))
    if aside:
        assert any("was damaged and set aside as" in entry.reason for entry in platform.ledger)
    unclean = min((entry.from_ms for entry in platform.ledger if entry.reason == UNCLEAN), default=FURTHER)
    assert aside or broken or all(at > unclean for _, at in missing), "a loss that nobody tells of"
    return Outcome(missing, platform, aside, broken)


def test_nothing_happens_to_a_store_that_is_whole(damaged: Damaged, public: PublicKey) -> None:
    damaged.reset()
    found = outcome(damaged, public)
    assert (found.missing, found.aside, found.broken) == ({}, False, [])


@pytest.mark.slow
@pytest.mark.parametrize("filling", ["zeros", "garbage"])
@pytest.mark.parametrize("file", ["", "-wal"])
def test_a_damaged_sector_costs_no_more_than_what_was_in_it(
    damaged: Damaged, public: PublicKey, file: str, filling: str
) -> None:
    data = damaged.files[file]
    found = []
    for at in range(0, len(data), SECTOR):
        damaged.reset()
        junk = bytes(SECTOR) if filling == "zeros" else random.Random(at).randbytes(SECTOR)
        Path(f"{damaged.path}{file}").write_bytes(data[:at] + junk + data[at + SECTOR :])
        found.append(outcome(damaged, public))
        assert len(found[-1].missing) <= TWO_BATCHES, f"at {at}"
    assert sum(not one.missing for one in found) > len(found) / 2  # the rest held what nobody else has
    assert any(one.aside and not one.missing for one in found)


@pytest.mark.parametrize("size", [100, 512, 3000])
def test_a_file_cut_short_is_replaced(damaged: Damaged, public: PublicKey, size: int) -> None:
    damaged.reset()
    Path(f"{damaged.path}-wal").unlink()
    damaged.path.write_bytes(damaged.files[""][:size])
    found = outcome(damaged, public)
    assert len(found.missing) < len(damaged.committed)  # what was delivered is delivered
    assert found.aside


def test_a_salvage_done_again_delivers_nothing_twice(damaged: Damaged, public: PublicKey) -> None:
    damaged.reset()
    hurt(damaged)
    platform = Platform(public)
    for message in damaged.delivered:
        platform.take(message)
    for turn in (1, 2):
        assert life(damaged, platform, turn * FURTHER)[0]
        for file in damaged.path.parent.glob("buffer.db-salvage*"):
            file.unlink()
        damaged.path.unlink()
    assert {n: v for n, v in platform.read().items() if n[1] < FURTHER} == damaged.committed


def hurt(damaged: Damaged) -> None:
    """Damage that costs nothing: the state of the store, which a new one has of its own."""
    data = damaged.files["-wal"]
    Path(f"{damaged.path}-wal").write_bytes(bytes(32) + data[32:])


def test_the_ledger_names_the_stream_before_first(damaged: Damaged, public: PublicKey) -> None:
    damaged.reset()
    hurt(damaged)
    opened = damaged.open()
    assert opened.store.stream != damaged.stream
    assert opened.spool is not None
    opened.store.assign(SERIES)
    (aside,) = asides(damaged.path)
    first = batch.decode(opened.store.message(1), public).header.ledger[0]
    assert first.reason == f"stream {damaged.stream.hex()} was damaged and set aside as {aside.name}"
    report = damaged.salvaged(opened)
    assert report is not None
    (state,) = opened.spool.state()
    assert (state.stream, state.done, state.samples, state.lost) == (damaged.stream, True, report.samples, 0)
    assert state.waiting == len(opened.spool.held()) > 5
    opened.close()
    again = damaged.open()
    assert again.spool is not None
    assert again.spool.new() == []
    again.close()


@pytest.fixture
def spool(damaged: Damaged) -> Iterator[Spool]:
    """What was salvaged."""
    damaged.reset()
    hurt(damaged)
    opened = damaged.open()
    damaged.salvaged(opened)
    assert opened.spool is not None
    yield opened.spool
    opened.close()


def test_only_an_acknowledgement_of_their_stream_frees_salvaged_batches(
    damaged: Damaged, spool: Spool, public: PublicKey
) -> None:
    held = {batch.decode(spool.message(one.number), public).header.number: one for one in spool.held()[-4:]}
    first, last = min(held), max(held)
    digest = batch_hash(spool.message(held[last].number))

    def ack(stream: bytes, named: bytes) -> Ack:
        return Ack(GATEWAY, stream, 0, bytes(32), ((first, last, named),), time=1)

    assert spool.acknowledge(ack(bytes(16), digest)) is None
    with pytest.raises(AckRefused):
        spool.acknowledge(ack(damaged.stream, bytes(32)))
    stream = batch.decode(spool.message(held[last].number), public).header.stream
    before = len(spool.held())
    assert spool.local(stream, last) == held[last].number < 0
    freed = spool.acknowledge(ack(stream, digest))
    assert freed is not None
    assert held[last].number in freed
    assert len(spool.held()) == before - len(freed)
    assert spool.acknowledge(ack(stream, digest)) == []
    assert spool.find(digest) == held[last].number
    assert spool.local(bytes(16), 1) is spool.find(bytes(32)) is None
    with pytest.raises(UnknownBatch):
        spool.message(-10_000)


def test_what_is_damaged_further_is_not_sent(damaged: Damaged, spool: Spool) -> None:
    (aside,) = asides(damaged.path)
    for name in (aside, Path(f"{aside}-wal")):
        name.write_bytes(bytes(name.stat().st_size))
    with pytest.raises((StoreCorrupt, StoreError), match="damaged since"):
        spool.message(spool.held()[-1].number)


def test_a_spool_that_is_damaged_is_made_again(damaged: Damaged, spool: Spool) -> None:
    spool.path.write_bytes(b"no database at all" * 100)
    Path(f"{spool.path}-wal").unlink(missing_ok=True)
    again = Spool(damaged.path)
    assert [file.name for file in again.new()] == [file.name for file in asides(damaged.path)]
    again.close()


def test_another_gateways_store_proves_nothing(damaged: Damaged, tmp_path: Path) -> None:
    damaged.reset()
    hurt(damaged)
    opened = damaged.open()
    other = SigningKey.create(tmp_path / "other")
    report = salvage(damaged.path, asides(damaged.path)[0], GATEWAY, other)
    assert (report.batches, report.samples) == (0, 0)
    assert report.lost_samples > 0
    assert Report.loads(report.dumps()) == report
    opened.close()
