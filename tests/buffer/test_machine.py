"""Random lives of a store against a model of what it must hold."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from buffer import batch, catalogue, chain
from buffer.ack import Ack
from buffer.batch import batch_hash
from buffer.cose import Kind
from buffer.errors import AckRefused
from buffer.header import NO_HASH, Clock, LedgerEntry, Priority
from buffer.keys import SigningKey
from buffer.reader import Reader
from buffer.store import Store
from tests.buffer.support import BOOT, CLOCK, ENTRY, GATEWAY, OTHER_BOOT, SERIES, SIZE, block

PRIORITY = st.sampled_from(Priority)


class Lives(RuleBasedStateMachine):
    """`committed` are the blocks by priority in order; `messages` every batch ever seen, by number."""

    template: Path
    key: SigningKey

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = Path(shutil.copy(self.template, self.folder / "buffer.db"))
        self.public = self.key.public(GATEWAY, "nord", "batch")
        self.committed: dict[Priority, list[bytes]] = {priority: [] for priority in Priority}
        self.open: dict[Priority, Clock] = {}
        self.messages: dict[int, bytes] = {}
        self.acked: set[int] = set()
        self.durable: set[int] = set()
        """Acknowledged, and a transaction has carried it to the disk."""
        self.noted: list[LedgerEntry] = []
        self.series = 2
        self.clock = CLOCK
        self.now = 0
        self.count = 0
        self.store = self.opened(BOOT)

    def opened(self, boot: bytes) -> Store:
        return Store.open(self.path, GATEWAY, self.key, boot, size_limit=SIZE, now_ms=lambda: self.now)

    @initialize()
    def assign_first(self) -> None:
        assert self.store.assign(SERIES) == [1, 2]
        self.learn()

    def learn(self) -> None:
        """What is sealed has the bytes it had; new numbers follow without a gap."""
        for number in range(1, self.store.last_number + 1):
            if number not in self.messages:
                self.messages[number] = self.store.message(number)

    @rule(parts=st.lists(st.tuples(PRIORITY, st.binary(max_size=2000)), min_size=1, max_size=4), seal=st.booleans())
    def commit(self, parts: list[tuple[Priority, bytes]], seal: bool) -> None:
        blocks = []
        for priority, noise in parts:
            fresh = self.open.get(priority) != self.clock
            data = self.count.to_bytes(4, "big") + noise
            blocks.append(block(data, at=self.now, fresh=fresh, priority=priority, clock=self.clock))
            self.open[priority] = self.clock
            self.committed[priority].append(data)
            self.count += 1
            self.now += 1
        self.store.commit(blocks, seal=seal)
        self.durable |= self.acked
        if seal:
            self.open.clear()
        self.learn()

    @rule()
    def nothing_to_commit(self) -> None:
        self.store.commit([])
        self.durable |= self.acked

    @rule(priority=st.none() | PRIORITY)
    def seal(self, priority: Priority | None) -> None:
        self.store.seal(priority)
        for name in list(self.open) if priority is None else [priority]:
            self.open.pop(name, None)
        self.learn()

    @rule(step=st.integers(-5000, 5000))
    def clock_steps(self, step: int) -> None:
        if abs(step) > 100:
            self.clock = Clock(self.clock.boot, self.clock.clock_ms + step, self.clock.state)

    @rule(count=st.integers(1, 3))
    def note(self, count: int) -> None:
        for _ in range(count):
            self.noted.append(LedgerEntry(BOOT, 0, len(self.noted), 0, ENTRY.clock_state, 1, "noted"))
            self.store.note(self.noted[-1])

    @rule(which=st.sampled_from([SERIES, SERIES[:1], SERIES[1:]]))
    def assign(self, which: list[catalogue.SeriesDefinition]) -> None:
        before = self.store.last_number
        assert self.store.assign(which) == [SERIES.index(one) + 1 for one in which]
        if self.store.last_number != before:
            self.open.clear()
        self.learn()

    @precondition(lambda self: self.messages)
    @rule(data=st.data(), lie=st.booleans())
    def acknowledge(self, data: st.DataObject, lie: bool) -> None:
        last = self.store.last_number
        cumulative = data.draw(st.integers(0, last))
        first = data.draw(st.integers(1, last))
        end = data.draw(st.integers(first, last))
        digest = batch_hash(self.messages[cumulative]) if cumulative else NO_HASH
        islands = ((first, end, b"?" * 32 if lie else batch_hash(self.messages[end])),)
        ack = Ack(GATEWAY, self.store.stream, cumulative, digest, islands, time=1000 + self.count)
        named = {*range(1, cumulative + 1), *range(first, end + 1)}
        try:
            freed = self.store.acknowledge(ack)
        except AckRefused:
            assert lie
            return
        if lie:
            assert end <= min(set(self.messages) - self.acked, default=last + 1)
        assert freed == sorted(named - self.acked)
        self.acked |= named

    @rule(data=st.data())
    def prune(self, data: st.DataObject) -> None:
        self.store.prune(data.draw(st.integers(1000, 1001 + self.count)))

    @rule(boot=st.sampled_from([BOOT, OTHER_BOOT]), clean=st.booleans())
    def restart(self, boot: bytes, clean: bool) -> None:
        if clean:
            self.store.close()
        else:
            self.store._release()
        self.store = self.opened(boot)
        if not clean:
            again = {held.number for held in self.store.held()} & self.acked
            assert not again & self.durable
            self.acked -= again
        self.durable |= self.acked
        self.clock = Clock(boot, self.clock.clock_ms, self.clock.state)
        self.open.clear()
        self.learn()

    @invariant()
    def held_is_sealed_less_acknowledged(self) -> None:
        assert {held.number for held in self.store.held()} == set(self.messages) - self.acked

    @invariant()
    def what_is_held_is_what_was_sealed(self) -> None:
        for number in sorted(set(self.messages) - self.acked)[-5:]:
            assert self.store.message(number) == self.messages[number]

    def teardown(self) -> None:
        """Over all its lives: every block once, in order; every entry once; one chain; and the file says the same."""
        with Reader(self.path) as reader:
            unsealed = {part.priority: list(part.blocks) for part in reader.snapshot().unsealed}
            for kept in reader.batches():
                assert kept.message == self.messages[kept.number]
        found: dict[Priority, list[bytes]] = {priority: [] for priority in Priority}
        entries = []
        for number in sorted(self.messages):
            made = batch.decode(self.messages[number], self.public)
            entries += [entry for entry in made.header.ledger if entry.reason == "noted"]
            if made.header.kind is Kind.BATCH:
                found[made.header.priority] += made.blocks
                assert made.header.samples == len(made.blocks)
        for priority in Priority:
            assert found[priority] + unsealed.get(priority, []) == self.committed[priority]
        assert entries == self.noted[: len(entries)]
        assert list(self.messages) == list(range(1, len(self.messages) + 1))
        assert chain.verify_messages(self.messages.values(), self.public).ok
        assert chain.verify_store(self.path, self.public).ok
        while sealed := self.store.seal():
            drained = (batch.decode(self.store.message(number), self.public) for number in sealed)
            entries += [entry for made in drained for entry in made.header.ledger if entry.reason == "noted"]
        assert entries == self.noted
        self.store.close()
        shutil.rmtree(self.folder)


def test_random_lives(template: Path, key: SigningKey) -> None:
    Lives.template, Lives.key = template, key
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Lives, settings=settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=checks)
    )
