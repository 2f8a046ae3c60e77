"""The uplink's session: nothing held is forgotten, live goes first, the window holds."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.uplink.runs import Runs
from gateway.uplink.session import (
    RESEND_FIRST_MS,
    RESEND_MAX_MS,
    TABLE,
    WINDOW,
    Event,
    Place,
    Rank,
    Session,
)


def sent(session: Session, now: int = 0) -> list[int]:
    numbers = []
    while (number := session.next(now)) is not None:
        numbers.append(number)
    return numbers


def test_sends_nothing_without_a_link() -> None:
    session = Session()
    session.hold([(1, Rank.COMMON)])
    assert session.next(0) is None


def test_catalogues_go_first_then_the_newest_and_the_backlog_gets_a_share() -> None:
    session = Session(window=8)
    session.hold((n, Rank.CATALOGUE if n in {1, 7} else Rank.COMMON) for n in range(1, 21))
    session.connected()
    assert sent(session)[:4] == [1, 7, 20, 2]
    session.hold((n, Rank.COMMON) for n in range(21, 31))
    session.release(range(1, 21))
    assert sent(session)[:3] == [30, 29, 28]


def test_after_an_outage_the_backlog_follows_oldest_first_and_live_goes_before_it() -> None:
    session = Session(window=4)
    session.hold((n, Rank.COMMON) for n in range(1, 11))
    session.connected()
    assert sent(session) == [10, 1, 2, 3]
    session.release([10, 1])
    session.hold([(11, Rank.COMMON)])
    assert session.next(0) == 11
    assert session.next(0) == 4


def test_live_data_leaves_one_send_in_four_to_the_backlog() -> None:
    session = Session(window=100)
    session.hold((n, Rank.COMMON) for n in range(1, 20))
    session.connected()
    session.hold((n, Rank.COMMON) for n in range(20, 40))
    first = [session.next(0) for _ in range(12)]
    assert sum(number is not None and number < 19 for number in first) == 3


def test_without_an_answer_a_batch_is_sent_again_and_less_and_less_often() -> None:
    session = Session()
    session.hold([(1, Rank.COMMON)])
    session.connected()
    now, waits = 0, []
    for _ in range(12):
        assert session.next(now) == 1
        due = session.next_due()
        assert due is not None
        waits.append(due - now)
        assert session.next(due - 1) is None
        now = due
    assert waits[:3] == [RESEND_FIRST_MS, 2 * RESEND_FIRST_MS, 4 * RESEND_FIRST_MS]
    assert waits[-1] == RESEND_MAX_MS


def test_the_time_of_an_answer_is_bound_to_a_batch_sent_once() -> None:
    session = Session()
    session.hold([(1, Rank.COMMON)])
    session.connected()
    session.next(5)
    assert session.sent_at(1) == 5
    session.next(5 + RESEND_FIRST_MS)
    assert session.sent_at(1) is None
    assert session.sent_at(99) is None


def test_the_time_is_not_taken_from_what_may_have_been_sent_before() -> None:
    session = Session()
    session.hold([(1, Rank.COMMON)], doubtful=True)
    session.hold([(2, Rank.COMMON)])
    session.connected()
    assert {session.next(5), session.next(5)} == {1, 2}
    assert (session.sent_at(1), session.sent_at(2)) == (None, 5)
    session.connected()
    assert {session.next(9), session.next(9)} == {1, 2}
    assert session.sent_at(2) is None


def test_a_platform_that_answers_nothing_does_not_keep_new_batches_waiting() -> None:
    session = Session(window=4)
    session.hold((n, Rank.COMMON) for n in range(1, 9))
    session.connected()
    assert len(sent(session, 0)) == 4
    session.hold([(9, Rank.COMMON)])
    assert session.next(1000) is None
    assert session.next(RESEND_FIRST_MS) == 9


def test_a_wanted_catalogue_is_sent_again_though_it_was_delivered_and_then_forgotten() -> None:
    session = Session()
    session.connected()
    session.again(3)
    assert session.next(0) == 3
    assert session.next(RESEND_FIRST_MS) is None
    assert session.held == 0


def test_critical_batches_pass_where_nothing_else_may() -> None:
    session = Session()
    session.hold([(1, Rank.CATALOGUE), (2, Rank.CRITICAL), (3, Rank.COMMON), (4, Rank.CRITICAL), (5, Rank.COMMON)])
    session.connected()
    assert [session.next(0, critical_only=True) for _ in range(4)] == [1, 4, 2, None]
    assert session.next(0) == 5
    again = [session.next(RESEND_FIRST_MS, critical_only=True) for _ in range(4)]
    assert again == [1, 4, 2, None], "what is sent again keeps its rank"


def test_critical_batches_leave_the_others_a_share() -> None:
    session = Session(window=100)
    session.hold((n, Rank.CRITICAL) for n in range(1, 40))
    session.hold((n, Rank.COMMON) for n in range(40, 60))
    session.connected()
    session.hold((n, Rank.COMMON) for n in range(60, 80))
    first = [session.next(0) or 0 for _ in range(16)]
    assert (sum(n < 40 for n in first), sum(40 <= n < 59 for n in first), sum(n >= 59 for n in first)) == (8, 4, 4)


def test_half_a_million_batches_take_little_memory_and_time() -> None:
    session = Session()
    session.hold((n, Rank.COMMON) for n in range(1, 500_001))
    session.connected()
    assert session.held == 500_000
    assert session._at[Place.BACKLOG].runs() == [(1, 499_999)]
    assert sent(session)[:5] == [500_000, 1, 2, 3, 4]


def test_the_table_knows_every_place_and_every_event() -> None:
    assert {place for place, _ in TABLE} == set(Place)
    assert {event for _, event in TABLE} == set(Event)
    assert all((place, Event.DONE) in TABLE for place in Place if place is not Place.GONE)


@given(st.lists(st.tuples(st.booleans(), st.integers(-20, 20), st.integers(0, 8))))
def test_runs_are_a_set(steps: list[tuple[bool, int, int]]) -> None:
    runs, model = Runs(), set[int]()
    for add, number, more in steps:
        if add:
            runs.add(number, number + more)
            model |= set(range(number, number + more + 1))
        else:
            runs.discard(number)
            model.discard(number)
        assert list(runs) == sorted(model)
        assert len(runs) == len(model)
        assert (number in runs) == (number in model)
        assert (runs.lowest, runs.highest) == (min(model, default=None), max(model, default=None))
    found = runs.runs()
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(found)), "no two touch"


class SessionMachine(RuleBasedStateMachine):
    """Against a broker that loses, doubles, reorders, delays and restarts, and a collector that answers in its time.

    The collector's side is a set of numbers; its answers name the highest number without a gap below, and runs above.
    """

    def __init__(self) -> None:
        super().__init__()
        self.session = Session()
        self.now = 0
        self.number = 0
        self.held: set[int] = set()
        self.critical: set[int] = set()
        self.stored: set[int] = set()
        self.refused: set[int] = set()
        self.up = False
        self.upstream: list[int] = []
        self.downstream: list[tuple[frozenset[int], frozenset[int]]] = []
        self.sent_over_this_link: dict[int, int] = {}

    @rule(count=st.integers(1, 5), rank=st.sampled_from(Rank), doubtful=st.booleans())
    def seal(self, count: int, rank: Rank, doubtful: bool) -> None:
        new = range(self.number + 1, self.number + 1 + count)
        self.number += count
        self.held |= set(new)
        self.critical |= set(new) if rank is not Rank.COMMON else set()
        self.session.hold(((n, rank) for n in new), doubtful=doubtful)

    @rule()
    def connect(self) -> None:
        self.up = True
        self.sent_over_this_link.clear()
        self.session.connected()

    @rule(lost=st.booleans())
    def restart_the_broker(self, lost: bool) -> None:
        """What it had taken is gone, or still comes, late."""
        self.up = False
        self.session.disconnected()
        if lost:
            self.upstream.clear()
            self.downstream.clear()

    @rule(ms=st.integers(0, 2 * RESEND_FIRST_MS))
    def wait(self, ms: int) -> None:
        self.now += ms

    @rule(critical_only=st.booleans(), count=st.integers(1, 20))
    def send(self, critical_only: bool, count: int) -> None:
        for _ in range(count):
            number = self.session.next(self.now, critical_only=critical_only)
            if number is None:
                return
            assert self.up
            assert number in self.held
            assert not critical_only or number in self.critical
            last = self.sent_over_this_link.get(number)
            assert last is None or self.now - last >= RESEND_FIRST_MS, "sent again too early"
            assert (self.session.sent_at(number) is None) or last is None
            self.sent_over_this_link[number] = self.now
            self.upstream.append(number)

    @precondition(lambda self: self.upstream)
    @rule(data=st.data(), fate=st.sampled_from(["arrives", "twice", "lost", "refused"]))
    def broker(self, data: st.DataObject, fate: str) -> None:
        """Any message, not only the oldest; one that comes twice stays in the broker."""
        number = data.draw(st.sampled_from(self.upstream))
        if fate != "twice":
            self.upstream.remove(number)
        if fate == "refused" and number not in self.stored:
            self.refused.add(number)
        elif fate != "lost" and number not in self.refused:
            self.stored.add(number)

    @rule()
    def collector_answers(self) -> None:
        self.downstream.append((frozenset(self.stored), frozenset(self.refused)))

    @precondition(lambda self: self.downstream)
    @rule(data=st.data(), lost=st.booleans())
    def answer_arrives(self, data: st.DataObject, lost: bool) -> None:
        stored, refused = self.downstream.pop(data.draw(st.integers(0, len(self.downstream) - 1)))
        if not lost:
            self._free(stored | refused)

    def _free(self, numbers: frozenset[int]) -> None:
        self.session.release(sorted(numbers & self.held))
        self.held -= numbers

    @invariant()
    def what_is_held_is_in_one_place(self) -> None:
        young = [flight for flight in self.session._flights.values() if self.now - flight.sent_at < RESEND_FIRST_MS]
        assert len(young) <= WINDOW
        assert self.session.held == len(self.held)
        assert all(self.session.place(number) is not Place.GONE for number in self.held)
        assert self.session.flying == {n for n in self.held if self.session.place(n) is Place.FLYING}

    def teardown(self) -> None:
        """A link that holds, a broker and a collector that work: everything held is delivered, the newest first."""
        self.session.connected()
        self.sent_over_this_link.clear()
        self.up = True
        newest = max(self.held - self.critical, default=None)
        ahead = len(self.held & self.critical)
        for turn in range(3 * len(self.held) + 3):
            number = self.session.next(self.now)
            if number is None:
                break
            assert number in self.held
            if number == newest:
                assert turn <= 2 + ahead, "live first"
            self._free(frozenset([number]))
        assert not self.held
        assert self.session.held == 0


TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=60, deadline=None)
