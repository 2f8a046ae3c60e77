"""Lives of a packer, written in bytes: what a fuzzer makes up, and what must come out again."""

import struct
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Final

import pytest

from ext import Packer, Series, Value
from ext.limits import MAX_NUMBER_BYTES, MAX_TEXT_BYTES, MAX_TEXT_EXPONENT
from tests.ext.strategies import Story
from tests.fuzz.bytes import Script
from tests.fuzz.plans import WIDTHS, Drawn, Due, drawn

QUALITIES: Final = (0, 0, 0, 0, 1, 2, 5, 13, 18, 22, 252)
FAILURES: Final = (1, 2, 6, 10, 254)
MOST_STEPS: Final = 400
MOST_TIME: Final = 2**53 - 1
MOST_POINTS: Final = 20_000  # of all plans of a script, and of all scans: more than the fields of a batch
CROWD: Final = 600  # series of single values: more than are ranked
REPEATS: Final = (1, 1, 1, 1, 1, 40, 600, 1200)  # of the letters of a text: up to beyond the longest


class Player:
    """Plays scripts: appends, scans, failed scans, commits and resets."""

    def __init__(self, data: bytes) -> None:
        self.script = Script(data)
        self.story = Story()
        self.stories = [self.story]
        self.time = 0
        self.series = [Series(7), Series(2**32 - 1), Series(8)]
        self.crowd = [Series(2**20 + 3 * index) for index in range(CROWD)]
        self.declared = self.points = 0
        self.scans = [drawn(self.script, 100, 1 + self.script.below(9)), drawn(self.script, 200, self.width())]
        self.last: list[Value] = [0] * len(self.series)

    def play(self) -> list[Story]:
        """A story for each batch."""
        steps: tuple[Callable[[], None], ...] = (
            *(self.append, self.append, self.append, self.run, self.scan, self.scan, self.scan, self.scan),
            *(self.fail, self.commit, self.reset, self.plan, self.plans, self.round, self.crowded, self.crowded),
        )
        for _ in range(MOST_STEPS):
            if self.script.ended:
                break
            steps[self.script.below(len(steps))]()
        self.commit()
        return self.stories

    def commit(self) -> None:
        self.story.commit()

    def reset(self) -> None:
        """Seal: a new batch of the same packer and series."""
        self.story.commit()
        self.story.packer.reset()
        self.story = Story(self.story.packer)
        self.stories.append(self.story)

    def clock(self) -> int:
        """The time of the next record: on a grid, near it, or anywhere."""
        match self.script.below(8):
            case 0:
                self.time = self.script.number(8) & MOST_TIME
            case 1:
                self.time += self.script.number(2)
            case 2:
                pass
            case _:
                self.time += 1000
        self.time = max(0, min(MOST_TIME, self.time))
        return self.time

    def quality(self) -> int:
        return QUALITIES[self.script.below(len(QUALITIES))]

    def append(self) -> None:
        which = self.script.below(len(self.series))
        value, time, quality = self.value(self.last[which]), self.clock(), self.quality()
        if too_long(value):
            with suppress(OverflowError), pytest.raises(ValueError, match=r"at most|too large"):
                self.story.packer.append(self.series[which], time, value, quality)
            return
        self.last[which] = value
        self.put(self.series[which], time, value, quality)

    def put(self, series: Series, time: int, value: Value, quality: int) -> None:
        """One value; in a new batch when this one is full."""
        try:
            self.story.append(series, time, value, quality)
        except OverflowError:
            self.reset()
            self.story.append(series, time, value, quality)

    def crowded(self) -> None:
        """A value each of many series, so many apart."""
        start, count, stride = self.script.number(2), 1 + 3 * self.script.below(200), self.script.below(20)
        self.clock()
        for index in range(start, start + count * stride, stride) if stride else range(start, start + count):
            self.time = min(MOST_TIME, self.time + (index & 1))
            self.put(self.crowd[index % CROWD], self.time, index % 5, 0)

    def run(self) -> None:
        """Some values in a row, a step apart."""
        which, count, step = self.script.below(len(self.series)), self.script.below(40), self.script.number(1)
        start, power = self.script.number(3), 10 ** self.script.below(5)
        for index in range(count):
            number = start + index * step
            value = number if power == 1 else number / power
            self.put(self.series[which], self.clock(), value, 0)

    def value(self, last: Value) -> Value:
        """Any value; often one like the last."""
        script = self.script
        match script.below(14):
            case 0:
                return None
            case 1:
                return bool(script.below(2))
            case 2 | 3:
                return last + script.number(1) if type(last) is int else script.number(2)
            case 4:
                return script.number(9)
            case 5:
                return script.number(script.below(40) + 1)
            case 6:
                return float(struct.unpack(">d", script.take(8))[0])
            case 7:
                return float(struct.unpack(">f", script.take(4))[0])
            case 8:
                return script.number(3) / float(10 ** script.below(10))
            case 9:
                digits = tuple(byte % 10 for byte in script.take(script.below(24) + 1))
                return Decimal((script.below(2), digits, script.number(1)))
            case 10:
                return last if isinstance(last, str) else self.letters().decode("latin-1")
            case 11:
                return last if isinstance(last, bytes) else self.letters()
            case 12:
                large = 10 ** (MAX_NUMBER_BYTES - 5 + script.below(10)) + script.number(2)
                return int(-large if script.below(2) else large)
            case _:
                return Decimal((0, (1, script.below(10)), (script.below(2) * 2 - 1) * (9990 + script.below(20))))

    def letters(self) -> bytes:
        """A text, short or long."""
        return self.script.take(self.script.below(30)) * REPEATS[self.script.below(len(REPEATS))]

    def width(self) -> int:
        return WIDTHS[self.script.below(len(WIDTHS))]

    def plan(self) -> None:
        """One more plan, of series that may be known."""
        self.declare(self.script.number(4) & 0x7FFFFFFF, self.width())

    def plans(self) -> None:
        """Some plans of one width, or of one model, each with a first scan."""
        width, first = self.width(), self.script.number(2) & 0x7FFF
        count, alike, model = 1 + self.script.below(9), self.script.below(2), self.script.at
        for index in range(count):
            here = self.script.at
            if alike and index:
                self.script.at = model
            self.declare(first + width * index, width)
            if alike and index:
                self.script.at = here
            self.scan_of(len(self.scans) - 1)

    def declare(self, first: int, width: int) -> None:
        if self.declared < MOST_POINTS:
            self.declared += width
            self.scans.append(drawn(self.script, first, width))

    def scan(self) -> None:
        self.scan_of(self.script.below(len(self.scans)))

    def round(self) -> None:
        """A scan of every plan."""
        for index in range(len(self.scans)):
            self.scan_of(index)

    def scan_of(self, which: int) -> None:
        """A scan with another response, or with some bytes of the last one changed."""
        each = self.scans[which]
        if self.script.below(2):
            each.payload[:] = self.script.take(len(each.payload))
        else:
            for _ in range(self.script.below(4)):
                each.payload[self.script.number(2) % len(each.payload)] = self.script.below(256)
        time, quality = self.clock(), self.quality()
        self.scanned(
            each, time, lambda packer: packer.append_scan(each.plan, each.payload, time, quality), each.scanned, quality
        )

    def fail(self) -> None:
        each = self.scans[self.script.below(len(self.scans))]
        time, quality = self.clock(), FAILURES[self.script.below(len(FAILURES))]
        self.scanned(each, time, lambda packer: packer.fail_scan(each.plan, time, quality), each.failed, quality)

    def scanned(
        self, each: Drawn, time: int, put: Callable[[Packer], int], expected: Callable[[int], list[Due]], quality: int
    ) -> None:
        """A scan; in a new batch when this one is full."""
        self.points += len(each.points)
        if self.points > MOST_POINTS:
            return
        try:
            count = put(self.story.packer)
        except OverflowError:
            self.reset()
            count = put(self.story.packer)
        due = expected(quality)
        assert count == len(due)
        self.story.due.extend((number, time, value, judged) for number, value, judged in due)


def too_long(value: Value) -> bool:
    """Whether the packer must refuse it."""
    if isinstance(value, str | bytes):
        return len(value.encode() if isinstance(value, str) else value) > MAX_TEXT_BYTES
    if isinstance(value, Decimal):
        return abs(int(value.as_tuple().exponent)) > MAX_TEXT_EXPONENT
    return type(value) is int and value.bit_length() > 1690 and len(str(value)) > MAX_NUMBER_BYTES


def played(data: bytes) -> list[Story]:
    """The batches of a script."""
    return Player(data).play()


def packed(data: bytes) -> list[bytes]:
    """The blocks of a script's first batch."""
    return played(data)[0].blocks
