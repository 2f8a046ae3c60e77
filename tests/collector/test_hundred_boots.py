"""A hundred boots without a clock: each sample at the platform is right within a second, or says that it may not be.

The agent's real clock, real batches, the real collector; time itself is simulated. The box's wall clock is wrong by up
to years and drifts, a time server comes late or never, answers of the platform take their time, the agent restarts
and the batches arrive in any order.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from buffer.header import Clock, ClockState
from collector.receiving.incoming import Message
from ext import CLOCK
from gateway.clock import AgentClock
from tests.collector.maker import Bench, Gateway

BOOTS = 100
TRUTH = 1_790_000_000_000
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
RIGHT_MS = 1_000
YEAR = 365 * 24 * HOUR


@dataclass
class Box:
    """The clocks of one boot: `truth_ms` is when it was switched on, `ppm` how fast its quartz is."""

    truth_ms: int
    wrong_ms: int
    ppm: int
    passed: int = 0
    synced: bool = False
    slew: int = 0

    def boot_ms(self) -> int:
        return self.passed + self.passed * self.ppm // 1_000_000

    def utc_ms(self) -> int:
        return self.now() + (self.slew if self.synced else self.wrong_ms)

    def synchronized(self) -> bool:
        return self.synced

    def now(self) -> int:
        """The true time."""
        return self.truth_ms + self.passed


@dataclass
class Life:
    """One boot: what was sampled when, in truth, and the batches that tell of it."""

    dice: random.Random
    gateway: Gateway
    box: Box
    boot: bytes
    floor_ms: int
    truth: dict[float, int] = field(default_factory=dict)
    knows: bool = False

    def live(self, first: int) -> Iterator[Message]:
        """Samples every 20 s, a batch every two minutes or twenty; `first` names the first sample."""
        dice, box = self.dice, self.box
        clock = AgentClock(self.boot, box, floor_ms=self.floor_ms)
        ends = dice.choice([3 * MINUTE, 20 * MINUTE, 3 * HOUR])
        synced_at = dice.choice([0, dice.randrange(ends), None, None])
        answers = dice.random() < 0.6
        restart_at = dice.choice([None, dice.randrange(ends)])
        known = clock.estimate()
        samples: list[tuple[int, int, float, int]] = []
        while box.passed < ends:
            box.passed += 20 * SECOND
            if synced_at is not None and box.passed >= synced_at:
                box.synced, box.slew = True, dice.randint(-20, 20)
            clock_now = clock.estimate()
            if restart_at is not None and box.passed >= restart_at:
                restart_at = None
                held = clock_now if clock_now.state is not ClockState.UNSET else None
                clock = AgentClock(self.boot, box, held=held, floor_ms=clock.floor_ms)
            name = float(first + len(self.truth))
            samples.append((1, box.boot_ms(), name, 0))
            self.truth[name] = box.now()
            if len(samples) >= dice.choice([6, 6, 60]) or _stepped(known, clock.estimate()):
                yield self._send(known, samples)
                samples = []
                if answers and dice.random() < 0.5:
                    self._answer(clock)
            known = clock.estimate() if not samples else known
        if samples:
            yield self._send(known, samples)
        self.floor_ms = clock.floor_ms

    def _send(self, known: Clock, samples: list[tuple[int, int, float, int]]) -> Message:
        self.knows |= known.state is ClockState.SYNCHRONIZED
        self.gateway.boot, self.gateway.clock_state, self.gateway.clock_ms = self.boot, known.state, known.clock_ms
        return self.gateway.send(samples)

    def _answer(self, clock: AgentClock) -> None:
        """The platform's signed time: taken anywhere within a round trip that lasts up to twelve seconds."""
        trip = self.dice.choice([20, 200, 600, 1_500, 5_000, 12_000])
        sent_at, there = self.box.boot_ms(), self.dice.randint(0, trip)
        utc_ms = self.box.now() + there
        self.box.passed += trip
        clock.signed_time(utc_ms, sent_at)


def _stepped(one: Clock, other: Clock) -> bool:
    return one.state is not other.state or abs(one.clock_ms - other.clock_ms) > 100


def test_each_sample_is_right_within_a_second_or_says_that_it_may_not_be(bench: Bench, gateway: Gateway) -> None:
    dice = random.Random(2026)
    messages, truth, silent = [gateway.describe()], dict[float, int](), set[float]()
    switched_on, floor = TRUTH, 0
    for number in range(BOOTS):
        box = Box(
            switched_on, dice.choice([-56 * YEAR, -HOUR, -3 * SECOND, 2 * SECOND, HOUR, YEAR]), dice.randint(-50, 50)
        )
        life = Life(dice, gateway, box, number.to_bytes(16, "big"), floor)
        messages += life.live(len(truth))
        truth |= life.truth
        silent |= set() if life.knows else set(life.truth)
        switched_on, floor = box.now() + dice.randrange(HOUR), life.floor_ms
    catalogue, *rest = messages
    dice.shuffle(rest)
    bench.take(catalogue, *rest)
    rows = bench.rows("SELECT ts_ms, value, quality FROM samples")
    lies = [
        (value, ts_ms - truth[value]) for ts_ms, value, quality in rows
        if quality != CLOCK and abs(ts_ms - truth[value]) > RIGHT_MS
    ]  # fmt: skip
    assert lies == [], "none is silently wrong"
    stored = {value for _, value, _ in rows}
    assert len(stored) == len(rows)
    assert truth.keys() - stored <= silent, "only what no boot ever knew the time of waits apart"
    good = sum(quality != CLOCK for *_, quality in rows)
    assert good > len(truth) // 3, "and most of it is certain"
