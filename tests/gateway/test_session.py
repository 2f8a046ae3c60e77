"""The uplink's session: nothing held is forgotten, live goes first, the window holds."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.uplink.session import RESEND_FIRST_MS, RESEND_MAX_MS, WINDOW, Session


def sent(session: Session, now: int = 0) -> list[int]:
    numbers = []
    while (number := session.next(now)) is not None:
        numbers.append(number)
    return numbers


def test_sends_nothing_without_a_link() -> None:
    session = Session()
    session.hold([(1, False)])
    assert session.next(0) is None


def test_catalogues_go_first_then_the_newest_and_the_backlog_gets_a_share() -> None:
    session = Session(window=8)
    session.hold((n, n in {1, 7}) for n in range(1, 21))
    session.connected()
    assert sent(session)[:4] == [1, 7, 20, 2]
    session.hold((n, False) for n in range(21, 31))
    session.release(range(1, 21))
    assert sent(session)[:3] == [30, 29, 28]


def test_after_an_outage_the_backlog_follows_oldest_first_and_live_goes_before_it() -> None:
    session = Session(window=4)
    session.hold((n, False) for n in range(1, 11))
    session.connected()
    assert sent(session) == [10, 1, 2, 3]
    session.release([10, 1])
    session.hold([(11, False)])
    assert session.next(0) == 11
    assert session.next(0) == 4


def test_live_data_leaves_one_send_in_four_to_the_backlog() -> None:
    session = Session(window=100)
    session.hold((n, False) for n in range(1, 20))
    session.connected()
    session.hold((n, False) for n in range(20, 40))
    first = [session.next(0) for _ in range(12)]
    assert sum(number is not None and number < 19 for number in first) == 3


def test_without_an_answer_a_batch_is_sent_again_and_less_and_less_often() -> None:
    session = Session()
    session.hold([(1, False)])
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
    session.hold([(1, False)])
    session.connected()
    session.next(5)
    assert session.sent_at(1) == 5
    session.next(5 + RESEND_FIRST_MS)
    assert session.sent_at(1) is None
    assert session.sent_at(99) is None


def test_the_time_is_not_taken_from_what_may_have_been_sent_before() -> None:
    session = Session()
    session.hold([(1, False)], doubtful=True)
    session.hold([(2, False)])
    session.connected()
    assert {session.next(5), session.next(5)} == {1, 2}
    assert (session.sent_at(1), session.sent_at(2)) == (None, 5)
    session.connected()
    assert {session.next(9), session.next(9)} == {1, 2}
    assert session.sent_at(2) is None


def test_a_platform_that_answers_nothing_does_not_keep_new_batches_waiting() -> None:
    session = Session(window=4)
    session.hold((n, False) for n in range(1, 9))
    session.connected()
    assert len(sent(session, 0)) == 4
    session.hold([(9, False)])
    assert session.next(1000) is None
    assert session.next(RESEND_FIRST_MS) == 9


def test_a_wanted_catalogue_is_sent_again_though_it_was_delivered_and_then_forgotten() -> None:
    session = Session()
    session.connected()
    session.again(3)
    assert session.next(0) == 3
    assert session.next(RESEND_FIRST_MS) is None
    assert session.held == 0


class SessionMachine(RuleBasedStateMachine):
    """Seals, links that come and go, answers in any order, time: whatever is held gets sent in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session()
        self.now = 0
        self.number = 0
        self.held: set[int] = set()
        self.up = False

    @rule(count=st.integers(1, 5), catalogue=st.booleans())
    def seal(self, count: int, catalogue: bool) -> None:
        new = range(self.number + 1, self.number + 1 + count)
        self.number += count
        self.held |= set(new)
        self.session.hold((n, catalogue) for n in new)

    @rule()
    def connect(self) -> None:
        self.up = True
        self.session.connected()

    @rule()
    def disconnect(self) -> None:
        self.up = False
        self.session.disconnected()

    @rule(ms=st.integers(0, 2 * RESEND_FIRST_MS))
    def wait(self, ms: int) -> None:
        self.now += ms

    @rule()
    def send(self) -> None:
        number = self.session.next(self.now)
        assert number is None or (self.up and number in self.held)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.held)))
        self.held.discard(number)
        self.session.release([number])

    @invariant()
    def the_window_holds(self) -> None:
        young = [flight for flight in self.session._flights.values() if self.now - flight.sent_at < RESEND_FIRST_MS]
        assert len(young) <= WINDOW
        assert self.session.held == len(self.held)

    def teardown(self) -> None:
        """Link up, acknowledge what is sent: everything held is sent."""
        self.session.connected()
        left = set(self.held)
        for _ in range(3 * len(left) + 3):
            number = self.session.next(self.now)
            if number is not None:
                left.discard(number)
                self.session.release([number])
        assert not left


TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=150, deadline=None)
