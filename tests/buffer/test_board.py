"""A card that goes from board to board: no sample is lost or doubled, and each board has a stream of its own."""

import shutil
import sqlite3
import tempfile
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from buffer import board, floors, migrate, orders, running, schema
from buffer.batch import decode
from buffer.header import Priority
from buffer.keys import PublicKey, SigningKey
from buffer.opening import Opened, open_store
from buffer.orders import Order
from buffer.recovery import MOVED, set_aside
from buffer.salvage import salvage
from buffer.spool import Spool, asides
from buffer.store import Store
from buffer.usage import Usage
from buffer.wear import Wear
from tests.buffer.support import BOOT, GATEWAY, SIZE, block
from tests.buffer.test_salvage import Field, Platform, deliver

PRINTS = [[f"serial:{n}", f"address:{n}a", f"address:{n}b"] for n in range(3)]
ONE, OTHER = PRINTS[0], PRINTS[1]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new store is made by this process: 0.4 s quicker."""
    monkeypatch.setattr(migrate, "_run_child", lambda path: schema.migrate(path, migrate.VERSION))


def opened_on(path: Path, key: SigningKey, prints: Collection[str]) -> Opened:
    """As the agent opens it on the board with these prints."""
    return open_store(path, GATEWAY, key, BOOT, size_limit=SIZE, now_ms=lambda: 5, board=prints)


def mend(opened: Opened, path: Path, key: SigningKey) -> None:
    """What the agent does in the background."""
    for one in opened.spool.state() if opened.spool is not None else ():
        if opened.spool is not None and not one.done:
            report = salvage(path, path.with_name(one.name), GATEWAY, key)
            assert report.lost == []
            opened.spool.done(one.name, report.samples, report.lost_samples)


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        (ONE, OTHER, True),
        (ONE, ONE[:1], False),
        (ONE, [], False),
        ([], ONE, False),
        (ONE[:1], OTHER[1:], False),
        (ONE[:2], OTHER[1:], True),
        (ONE[1:], ["serial:9", ONE[2]], False),
        ([ONE[0], ONE[1]], [ONE[0], OTHER[1]], False),
        ([ONE[0], ONE[1]], [OTHER[0], ONE[1]], True),
    ],
)
def test_only_what_is_certain_is_a_move(before: list[str], now: list[str], found: bool) -> None:
    assert board.moved(before, now) is found


class Card(RuleBasedStateMachine):
    """One card, boards that show all or some of what is theirs, a platform; `boards` is where each stream has been."""

    template: Path
    key: SigningKey

    @initialize()
    def first(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.path = Path(shutil.copy(self.template, self.folder / "buffer.db"))
        self.platform = Platform(self.key.public(GATEWAY, GATEWAY))
        self.committed: dict[tuple[str, int], object] = {}
        self.at = 0
        self.stream = b""
        self.boards: dict[bytes, set[int]] = {b"": set()}
        self.shown: set[str] = set()
        self.opened: Opened | None = None
        self.start(0, frozenset(range(3)))

    @precondition(lambda self: self.opened is None)
    @rule(where=st.integers(0, 2), shows=st.frozensets(st.integers(0, 2)) | st.just(frozenset(range(3))))
    def start(self, where: int, shows: frozenset[int]) -> None:
        """On a board that shows some of its prints."""
        prints = {PRINTS[where][n] for n in shows}
        before = self.stream
        self.opened = opened_on(self.path, self.key, prints)
        self.stream = self.opened.store.stream
        if self.boards[before] == {where}:
            assert self.stream == before, "a new stream on the board of before"
        if 0 in shows and any(one.startswith("serial") for one in self.shown - set(PRINTS[where])):
            assert self.stream != before, "the stream goes on, on another board"
        if self.stream != before:
            self.shown = set()
        self.shown |= prints
        self.boards.setdefault(self.stream, set()).add(where)
        self.field = Field(self.opened.store, self.at)

    @precondition(lambda self: self.opened is not None)
    @rule(priority=st.sampled_from([Priority.NORMAL, Priority.CRITICAL]), count=st.integers(1, 20), seal=st.booleans())
    def work(self, priority: Priority, count: int, seal: bool) -> None:
        """Sample and commit."""
        self.field.commit(priority, count)
        if seal:
            self.field.seal()
        self.at += count
        self.committed |= self.field.committed

    @precondition(lambda self: self.opened is not None)
    @rule()
    def deliver(self) -> None:
        """Have the platform acknowledge all that is sealed."""
        assert self.opened is not None
        held = [one.number for one in self.opened.store.held()]
        mend(self.opened, self.path, self.key)
        assert deliver(self.opened, self.platform) == []
        self.opened.store.acknowledge_numbers(held, 1)
        if self.opened.spool is not None:
            self.opened.spool.acknowledge_numbers([one.number for one in self.opened.spool.held()])

    @precondition(lambda self: self.opened is not None)
    @rule(clean=st.booleans())
    def stop(self, clean: bool) -> None:
        """By a hand, or by the power."""
        assert self.opened is not None
        if clean:
            self.opened.close()
        else:
            self.opened.store._release()
            if self.opened.spool is not None:
                self.opened.spool.close()
        self.opened = None

    @invariant()
    def nothing_untrue(self) -> None:
        """What came was committed."""
        assert self.platform.read().items() <= self.committed.items()

    def teardown(self) -> None:
        """Everything arrives."""
        try:
            if self.opened is None:
                self.start(0, frozenset())
            self.field.seal()
            self.deliver()
            assert self.platform.read() == self.committed
        finally:
            if self.opened is not None:
                self.stop(clean=True)
            shutil.rmtree(self.folder)


def test_a_card_among_boards(template: Path, key: SigningKey) -> None:
    Card.template, Card.key = template, key
    run_state_machine_as_test(Card, settings=settings(max_examples=20, stateful_step_count=20, deadline=None))


def last_word(opened: Opened, number: int, public: PublicKey) -> list[str]:
    """The reasons in the ledger of a batch."""
    return [entry.reason for entry in decode(opened.store.message(number), public).header.ledger]


def test_both_streams_tell_of_the_move(path: Path, key: SigningKey, public: PublicKey) -> None:
    first = opened_on(path, key, ONE)
    Field(first.store).commit(Priority.NORMAL, 3)
    before = first.store.stream
    first.close()
    second = opened_on(path, key, OTHER)
    mend(second, path, key)
    assert second.spool is not None
    messages = [decode(second.spool.message(one.number), public) for one in reversed(second.spool.held())]
    assert {made.header.stream for made in messages} == {before}
    told = [entry for made in messages for entry in made.header.ledger]
    assert [(one.reason, one.samples) for one in told] == [
        ("the card is on another board: what follows is of a new stream", 0)
    ]
    (number,) = second.store.seal()
    (aside,) = asides(path)
    assert last_word(second, number, public) == [
        f"stream {before.hex()} was on another board, and is set aside as {aside.name}"
    ]
    assert [state.moved for state in second.spool.state()] == [True]
    second.close()


def test_a_copy_on_another_board_is_a_fork_of_the_old_stream(path: Path, key: SigningKey, public: PublicKey) -> None:
    """Even where nothing was open when the card was copied."""
    first = opened_on(path, key, ONE)
    field = Field(first.store)
    field.commit(Priority.NORMAL, 3)
    field.seal()
    first.close()
    copy = Path(shutil.copytree(path.parent, path.parent / "copy")) / path.name
    clone = opened_on(copy, key, OTHER)
    mend(clone, copy, key)
    original = opened_on(path, key, ONE)
    field = Field(original.store, 3)
    field.commit(Priority.NORMAL, 1)
    field.seal()
    platform = Platform(public)
    assert deliver(clone, platform) == []
    with pytest.raises(AssertionError, match="a fork"):
        deliver(original, platform)
    clone.close()
    original.close()


def fill(store: Store) -> None:
    """What is the gateway's, and what is the stream's alone."""
    order = Order(7, 1 << 50, 1, b"command", "{}", final=True)
    store.change(lambda db: orders.accept(db, order, floor_ms=0, reverts=[("a/b", 3)]))
    store.change(lambda db: floors.lift(db, floors.CONFIGURATION, 12))
    store.change(lambda db: running.note(db, 99))
    store.change(Usage("2026-11-23", 5, "2026-11", 6).keep)
    store.change(Wear(700, 8).keep)
    store.floor_ms = 1_790_000_000_000


@pytest.mark.parametrize("cut", [False, True], ids=["at once", "after a power cut when the file had its new name"])
def test_what_is_the_gateways_goes_with_the_card(path: Path, key: SigningKey, cut: bool) -> None:
    first = opened_on(path, key, ONE)
    fill(first.store)
    first.close()
    if cut:
        set_aside(path, MOVED)
    store = opened_on(path, key, OTHER).store
    assert store.ask(lambda db: orders.known(db, 7))
    assert store.ask(orders.pending_reverts) == {"a/b": 3}
    assert store.ask(lambda db: floors.floor(db, floors.CONFIGURATION)) == 12
    assert store.ask(running.told) != 99, "the new stream has been told nothing"
    assert store.ask(Usage.kept) == Usage("2026-11-23", 5, "2026-11", 6)
    assert store.ask(Wear.kept) == Wear(700, 8)
    assert store.floor_ms == 1_790_000_000_000
    assert store.ask(board.known) == set(OTHER)
    store.close()


def test_an_old_file_gives_nothing_twice(path: Path, key: SigningKey) -> None:
    """The index of what was set aside may be lost: then the files are found anew."""
    first = opened_on(path, key, ONE)
    fill(first.store)
    first.close()
    second = opened_on(path, key, OTHER)
    second.store.change(Usage("2026-11-24", 1, "2026-11", 7).keep)
    Field(second.store)
    second.close()
    Spool(path).path.unlink()
    third = opened_on(path, key, OTHER)
    assert third.store.ask(Usage.kept).month_bytes == 7
    third.close()


def test_a_file_that_is_gone_bad_since_stops_nothing(path: Path, key: SigningKey) -> None:
    opened_on(path, key, ONE).close()
    aside = set_aside(path, MOVED)
    aside.write_bytes(b"SQLite format 4\0" + aside.read_bytes()[16:])
    second = opened_on(path, key, OTHER)
    second.store.assign([])
    second.store.commit([block()])
    second.close()
    with closing(sqlite3.connect(path)) as db:
        assert board.known(db) == set(OTHER)
