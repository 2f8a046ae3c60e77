"""The account: every committed sample is held, stored once, or in the ledger once, whatever happens on the way.

A real store and a real collector, joined by a wire that loses, repeats and reorders; batches are evicted, thinned and
split at any moment, also those in flight, the store is killed, and old copies of it come back. A sample is known by its
time, which no other has. Each batch ever sealed is learned with the samples that it *answers for*: those it carries as
they were committed, and those of the batches whose place it took.
"""

import random
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from buffer import batch, chain, retention
from buffer.ack import Ack
from buffer.ack import read as read_ack
from buffer.block import Block
from buffer.catalogue import SeriesDefinition
from buffer.cose import Kind
from buffer.errors import AckRefused, UnknownBatch
from buffer.header import Clock, ClockState, Header, LedgerEntry, Priority, Replaced
from buffer.keys import SigningKey
from buffer.migrate import ensure
from buffer.store import MIN_SIZE, Store
from collector.receiving import derive
from collector.receiving.incoming import Message
from ext import BAD, CLOCK, GOOD, LIMITS, Packer, Series, Value, unpack
from tests.collector.maker import PLATFORM, Bench, Gateway

POINTS = [SeriesDefinition("meter1", name, "V", "float64") for name in ("a", "b", "c")]
BOOTS = (bytes(16), bytes([1]) * 16)
SPLIT_BYTES = ((700,), (900, 700), (1200, 900, 650))
EXAMPLES = 80
RETENTION = ("evicted", "thinned", "set aside")

VALUES = st.one_of(
    st.integers(-9, 9), st.floats(-9, 9), st.booleans(), st.sampled_from(["on", "off", b"\x00"]), st.none()
)
SAMPLES = st.lists(st.tuples(st.integers(1, 3), VALUES, st.integers(1, 40_000)), min_size=1, max_size=25)


@dataclass(frozen=True)
class Sealed:
    """A batch as it was sealed, and the times of the samples that it answers for and of those that it carries."""

    header: Header
    message: bytes
    answers: frozenset[int]
    carries: frozenset[int]


class Account(RuleBasedStateMachine):
    """`wire` and `acks` are what is under way; `number` maps to what this life of the store sealed under it."""

    template: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = Path(shutil.copy(self.template, self.folder / "buffer.db"))
        self.gateway = Gateway(key=SigningKey(Ed25519PrivateKey.generate()))
        self.public = self.gateway.key.public(self.gateway.gateway, self.gateway.site, "batch")
        self.bench = Bench(self.folder / "collector.db", self.gateway)
        self.bench.database.connection.execute("PRAGMA synchronous=OFF")
        self.ever: dict[int, tuple[int, Value, int]] = {}
        self.committed: set[int] = set()
        self.sealed: dict[int, Sealed] = {}
        self.by_hash: dict[str, Sealed] = {}
        self.leaves: dict[int, list[int]] = {}
        self.noted = 0
        self.wire: list[bytes] = []
        self.acks: list[Ack] = []
        self.now = 0
        self.clock = Clock(BOOTS[0], 10**12, ClockState.SYNCHRONIZED)
        self.copies: list[tuple[Path, dict[int, Sealed], set[int], int]] = []
        self.forked = False
        self.open_store()

    # the gateway ----------------------------------------------------------------------------------------------------

    def open_store(self) -> None:
        self.store = Store.open(
            self.path, self.gateway.gateway, self.gateway.key, self.clock.boot, size_limit=MIN_SIZE,
            now_ms=lambda: self.now,
        )  # fmt: skip
        self.store._connection.execute("PRAGMA synchronous=OFF")
        self.packers = {priority: Packer() for priority in Priority}
        self.series = {number: Series(number) for number in (1, 2, 3)}
        self.opened: dict[Priority, Clock] = {}
        self.learn()

    def learn(self) -> None:
        """Every number sealed since the last time: what it claims must be what those whose place it takes answered for.

        A number may be gone before it was learned, when it was replaced at once: then who replaced it says all.
        """
        for number in range(max(self.sealed, default=0) + 1, self.store.last_number + 1):
            try:
                message = self.store.message(number)
            except UnknownBatch:
                continue
            made = batch.decode(message, self.public)
            header = made.header
            raw = [] if header.window_ms or header.kind is Kind.CATALOGUE else [s[1] for s in unpack(made.blocks)]
            if not header.replaces:
                self.leaves[number] = raw
            claimed = [at for claim in header.replaces for at in self.claimed(claim)]
            assert len(claimed) == len(set(claimed)) == header.claimed
            assert not raw or not claimed or raw == claimed, "what is carried is what is claimed, in order"
            answers = frozenset(claimed if header.replaces else raw)
            self.sealed[number] = Sealed(header, message, answers, frozenset(raw))
            self.by_hash[made.hash.hex()] = self.sealed[number]

    def claimed(self, claim: Replaced) -> list[int]:
        found = [at for number in range(claim.first, claim.last + 1) for at in self.leaves.get(number, ())]
        if claim.start is not None:
            return found[claim.start : claim.start + claim.samples]
        assert len(found) == claim.samples
        return found

    def live(self) -> dict[int, Sealed]:
        """What no other batch took the place of."""
        gone = {
            number
            for sealed in self.sealed.values()
            for claim in sealed.header.replaces
            for number in range(claim.first, claim.last + 1)
        }
        return {number: sealed for number, sealed in self.sealed.items() if number not in gone}

    @initialize()
    def assign(self) -> None:
        assert self.store.assign(POINTS) == [1, 2, 3]
        self.learn()

    @rule(parts=st.lists(st.tuples(st.sampled_from(Priority), SAMPLES), min_size=1, max_size=3), seal=st.booleans())
    def commit(self, parts: list[tuple[Priority, list[tuple[int, Value, int]]]], seal: bool) -> None:
        for priority, samples in parts:
            packer, fresh = self.packers[priority], self.opened.get(priority) != self.clock
            if fresh:
                packer.reset()
            first = self.now + 1
            for number, value, step in samples:
                self.now += step
                quality = BAD if value is None else LIMITS if value == 9 else 0
                packer.append(self.series[number], self.now, value, quality)
                self.ever[self.now] = (number, value, quality)
                self.committed.add(self.now)
            made = Block(priority, self.clock, len(samples), first, self.now, packer.commit(), fresh)
            self.store.commit([made])
            self.opened[priority] = self.clock
        if seal:
            self.seal()
        self.learn()

    @rule(
        seed=st.integers(0, 1 << 16),
        sizes=st.lists(st.integers(1, 60), min_size=2, max_size=6),
        priority=st.sampled_from([Priority.BULK, Priority.BULK, Priority.NORMAL]),
    )
    def burst(self, seed: int, sizes: list[int], priority: Priority) -> None:
        """Batches of one priority, one after the other: what is thinned and evicted together."""
        rng = random.Random(seed)
        for size in sizes:
            samples = [(rng.randint(1, 3), rng.uniform(-9, 9), rng.choice((10, 5000, 40_000))) for _ in range(size)]
            self.commit([(priority, samples)], True)

    def seal(self) -> None:
        self.store.seal()
        self.opened.clear()
        self.learn()

    @rule(
        what=st.sampled_from(["seal", "clock", "note", "refuse", "prune", "restart", "copy", "restore"]),
        data=st.data(),
    )
    def oddity(self, what: str, data: st.DataObject) -> None:
        """What happens now and then."""
        if what == "clock":
            self.clock_steps(data.draw(st.sampled_from(ClockState)), data.draw(st.integers(101, 5000)))
        elif what == "refuse":
            self.refuse(data)
        elif what == "restart":
            self.restart(data.draw(st.sampled_from(BOOTS)), data.draw(st.booleans()))
        elif what == "copy" and not self.forked and not self.copies:
            self.copy()
        elif what == "restore" and self.copies:
            self.restore()
        elif what in {"seal", "note", "prune"}:
            getattr(self, what)()

    def clock_steps(self, state: ClockState, step: int) -> None:
        self.clock = Clock(self.clock.boot, self.clock.clock_ms + step, state)

    def note(self) -> None:
        self.noted += 1
        self.store.note(LedgerEntry(self.clock.boot, 0, self.noted, 0, ClockState.HOLDOVER, 1, f"noted {self.noted}"))

    @rule(data=st.data(), steps=st.integers(1, 4))
    def pressure(self, data: st.DataObject, steps: int) -> None:
        """Room is wanted: some of what is held must go, perhaps while it is under way."""
        numbers = [held.number for held in self.store.held()]
        some = st.frozensets(st.sampled_from(numbers), max_size=3) if numbers else st.just(frozenset[int]())
        self.store.in_flight = data.draw(st.just(frozenset[int]()) | some)
        for _ in range(steps):
            self.store._make_room()
            self.store._made.clear()
            self.learn()

    @rule(data=st.data(), sizes=st.sampled_from(SPLIT_BYTES))
    def split(self, data: st.DataObject, sizes: tuple[int, ...]) -> None:
        """A broker takes less and less: the last piece is split again."""
        held = [held.number for held in self.store.held() if held.samples > 1]
        if not held:
            return
        number = data.draw(st.sampled_from(held))
        for most in sizes:
            made = self.store.split(number, most)
            self.learn()
            assert all(len(self.sealed[piece].message) <= most for piece in made)
            assert {held.number for held in self.store.held()} >= set(made)
            number = made[-1] if made else number

    def refuse(self, data: st.DataObject) -> None:
        held = [held.number for held in self.store.held() if held.kind is Kind.BATCH]
        if held:
            self.store.refuse(data.draw(st.sampled_from(held)), "set aside by the test")

    def prune(self) -> None:
        self.store.prune(1 << 60)

    def restart(self, boot: bytes, clean: bool) -> None:
        if clean:
            self.store.close()
        else:
            self.store._release()
        self.clock = replace(self.clock, boot=boot)
        self.open_store()

    def copy(self) -> None:
        """Somebody makes a backup of the card."""
        to = self.folder / f"copy-{len(self.copies)}.db"
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(to)) as target:
            source.backup(target)
        open_now = self.committed - self.answered(self.live().values())
        self.copies.append((to, dict(self.sealed), open_now, self.noted))

    def restore(self) -> None:
        """The card is replaced by the backup: what only the card had is gone, and so is what it numbered."""
        path, sealed, open_then, self.noted = self.copies.pop()
        self.store._release()
        for suffix in ("-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        shutil.copy(path, self.path)
        arrived = [*self.received(), *(self.by_hash[batch.batch_hash(message).hex()] for message in self.wire)]
        self.forked = self.forked or any(one.header.number not in sealed for one in arrived)
        self.committed = self.answered(sealed.values()) | open_then | self.answered(self.received())
        self.leaves = {number: times for number, times in self.leaves.items() if number in sealed}
        self.sealed = sealed
        self.open_store()

    # the wire and the collector -------------------------------------------------------------------------------------

    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        held = [held.number for held in self.store.held()]
        if held:
            numbers = data.draw(st.lists(st.sampled_from(held), max_size=6, unique=True))
            self.wire += [self.store.message(number) for number in numbers]

    @rule(data=st.data())
    def answers_are_lost(self, data: st.DataObject) -> None:
        """Some of what is held arrives, and the store does not learn of it."""
        held = [held.number for held in self.store.held()]
        if held:
            numbers = data.draw(st.lists(st.sampled_from(held), min_size=1, max_size=4, unique=True))
            self.deliver([self.store.message(number) for number in numbers])

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), again=st.booleans(), lose=st.booleans())
    def arrive(self, data: st.DataObject, again: bool, lose: bool) -> None:
        """Some messages arrive, in any order; they may come again, and the answers may be lost."""
        chosen = data.draw(st.lists(st.sampled_from(range(len(self.wire))), min_size=1, max_size=5, unique=True))
        acks = self.deliver([self.wire[index] for index in chosen])
        if not lose:
            self.acks += acks
        if not again:
            self.wire = [message for index, message in enumerate(self.wire) if index not in chosen]

    def deliver(self, messages: list[bytes]) -> list[Ack]:
        replies = self.bench.take(*(Message(self.gateway.topic, message) for message in messages))
        return [read_ack(reply.payload, PLATFORM.public(role="acknowledge")) for reply in replies]

    @precondition(lambda self: self.acks)
    @rule(data=st.data(), again=st.booleans())
    def acknowledge(self, data: st.DataObject, again: bool) -> None:
        index = data.draw(st.integers(0, len(self.acks) - 1))
        ack = self.acks[index] if again else self.acks.pop(index)
        assert not ack.refused
        try:
            self.store.acknowledge(ack)
        except AckRefused:
            assert self.forked, "an acknowledgement of what a restored copy never sent"

    # what must hold -------------------------------------------------------------------------------------------------

    def stored_batches(self) -> dict[int, str]:
        return dict(self.bench.rows("SELECT number, hash FROM batches"))

    def received(self) -> Iterator[Sealed]:
        return (self.by_hash[digest] for digest in self.stored_batches().values())

    def counting(self) -> Iterator[Sealed]:
        """Without those that came after what took their place: of a batch that was split, other pieces may be held."""
        passed = {number for (number,) in self.bench.rows("SELECT number FROM waiting WHERE state = 'superseded'")}
        return (self.by_hash[digest] for number, digest in self.stored_batches().items() if number not in passed)

    @staticmethod
    def answered(batches: object) -> set[int]:
        found: set[int] = set()
        for sealed in batches:  # type: ignore[attr-defined]
            found |= sealed.answers
        return found

    def rows(self) -> dict[int, tuple[int, Value, int]]:
        """What is in the collector's table of the points as sampled, each time once."""
        found: dict[int, tuple[int, Value, int]] = {}
        rows = self.bench.rows(
            "SELECT point, ts_ms, batch, value, exact, text, quality FROM samples JOIN series ON id = series"
            " WHERE point NOT LIKE '%.%'"
        )
        for point, ts_ms, number, value, _, text, quality in rows:
            sealed = self.by_hash[self.stored_batches_now[number]]
            offset = sealed.header.clock_ms
            if sealed.header.clock_state is ClockState.UNSET:
                offset = self.offsets[sealed.header.boot.hex()]
            at = ts_ms - offset
            if sealed.header.clock_state is ClockState.HOLDOVER:
                assert quality != GOOD  # what a held clock dates is uncertain at the platform
                quality = GOOD if quality == CLOCK else quality
            assert at not in found, f"the sample of {at} is stored twice"
            found[at] = ("abc".index(point) + 1, value if text is None else text, quality)
        return found

    @invariant()
    def the_account_is_exact(self) -> None:
        self.stored_batches_now = self.stored_batches()
        self.offsets = dict(self.bench.rows("SELECT boot, offset_ms FROM boots"))
        rows = self.rows()
        for at, (number, value, quality) in rows.items():
            wanted = self.ever[at]
            assert (number, quality) == (wanted[0], wanted[2])
            assert value == wanted[1] or isinstance(wanted[1], bytes)
        waiting = self.bench.rows("SELECT number FROM waiting WHERE state IN ('catalogue', 'clock', 'ready')")
        kept = Counter(list(rows))
        for (number,) in waiting:
            kept.update(self.by_hash[self.stored_batches_now[number]].carries)
        assert all(count == 1 for count in kept.values()), "a sample that waits is stored already"
        answered = self.answered(self.counting())
        assert set(kept) <= answered
        lost = sum(
            samples
            for samples, reason in self.bench.rows("SELECT samples, reason FROM gaps WHERE state = 'ledgered'")
            if reason.startswith(RETENTION)
        )
        if not self.forked:  # two lives that claim the same numbers: the platform sees it when both of one arrive
            assert lost == len(answered) - len(kept), "committed = stored + ledger, of what has arrived"

    @invariant()
    def every_sample_is_held_or_delivered(self) -> None:
        live = self.live()
        total = Counter(at for sealed in live.values() for at in sealed.answers)
        assert all(count == 1 for count in total.values()), "two batches answer for one sample"
        held = {held.number for held in self.store.held()}
        assert held <= set(live)
        answered = self.answered(self.received())
        for number, sealed in live.items():
            if number not in held and not self.forked:
                assert sealed.answers <= answered, f"batch {number} is neither held nor stored"
        unsealed = self.committed - set(total) - answered
        assert self.store.open_samples >= len(unsealed), "a sample is nowhere"

    @invariant()
    def statistics_are_not_stored_twice(self) -> None:
        twice = self.bench.rows(
            "SELECT point, ts_ms, value, text, count(*) FROM samples JOIN series ON id = series"
            " GROUP BY series, ts_ms, value, text, quality HAVING count(*) > 1"
        )
        assert twice == []

    def teardown(self) -> None:
        """The link is good again: everything arrives, and nothing is missing."""
        try:
            if not self.forked:
                self.drain()
        finally:
            self.store._release()
            self.bench.close()
            shutil.rmtree(self.folder)

    def drain(self) -> None:
        self.seal()
        for held in self.store.held():
            for ack in self.deliver([self.store.message(held.number)]):
                self.store.acknowledge(ack)
        assert self.store.held() == []
        assert self.bench.rows("SELECT * FROM gaps WHERE state != 'ledgered'") == []
        assert self.bench.rows("SELECT last FROM runs") == [(self.store.last_number,)]
        assert chain.verify_store(self.path, self.public).ok
        noted = Counter(reason for (reason,) in self.bench.rows("SELECT reason FROM gaps WHERE reason LIKE 'noted%'"))
        assert all(count == 1 for count in noted.values()), "a ledger entry is entered twice"
        assert set(noted) >= {f"noted {n}" for n in range(1, self.noted + 1)}
        self.the_account_is_exact()
        self.every_sample_is_held_or_delivered()
        assert self.answered(self.received()) >= self.committed
        derive.rebuild(self.bench.database)
        self.the_account_is_exact()


def test_the_account_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "KEPT_BLOCKS", 0)  # small lives: every block may go
    monkeypatch.setattr(retention, "HEADER_BYTES", 420)
    Account.template = tmp_path / "template.db"
    ensure(Account.template)
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Account,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=checks,
        ),
    )
