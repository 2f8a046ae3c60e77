"""Lives of a packer, written in bytes: what a fuzzer makes up, and what must come out again."""

import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from ext import Layout, ScanPlan, Series, Value
from tests.ext.strategies import TYPES, Point, Story

QUALITIES: Final = (0, 0, 0, 0, 1, 2, 5, 13, 18, 22, 252)
FAILURES: Final = (1, 2, 6, 10, 254)
MOST_STEPS: Final = 400
MOST_TIME: Final = 2**53 - 1
SCALES: Final = ((1, 0, 0), (1, 0, 0), (1, 0, -1), (-7, 2**62, 9), (50, -3, -9), (2**62, -(2**62), -127))


class Script:
    """Numbers out of bytes; zeros when they have run out."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        self.at += count
        return self.data[self.at - count : self.at].ljust(count, b"\0")

    def number(self, count: int) -> int:
        """The next bytes as a signed number."""
        return int.from_bytes(self.take(count), "big", signed=True)

    def below(self, most: int) -> int:
        """A number from 0 to below `most`, of one byte."""
        return self.take(1)[0] % most

    @property
    def ended(self) -> bool:
        """Whether all bytes were taken."""
        return self.at >= len(self.data)


class Player:
    """Plays scripts: appends, scans, failed scans, commits and resets."""

    def __init__(self, data: bytes) -> None:
        self.script = Script(data)
        self.story = Story()
        self.stories = [self.story]
        self.time = 0
        self.series = [Series(7), Series(2**32 - 1), Series(8)]
        self.scans = [self.plan(100), self.plan(200)]
        self.last: list[Value] = [0] * len(self.series)

    def play(self) -> list[Story]:
        """A story for each batch."""
        steps: tuple[Callable[[], None], ...] = (
            *(self.append, self.append, self.append, self.run, self.scan, self.scan, self.fail),
            *(self.commit, self.reset),
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
        self.last[which] = value = self.value(self.last[which])
        self.story.append(self.series[which], self.clock(), value, self.quality())

    def run(self) -> None:
        """Some values in a row, a step apart."""
        which, count, step = self.script.below(len(self.series)), self.script.below(40), self.script.number(1)
        start, power = self.script.number(3), 10 ** self.script.below(5)
        for index in range(count):
            number = start + index * step
            value = number if power == 1 else number / power
            self.story.append(self.series[which], self.clock(), value, 0)

    def value(self, last: Value) -> Value:
        """Any value; often one like the last."""
        script = self.script
        match script.below(12):
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
                return last if isinstance(last, str) else script.take(script.below(30)).decode("latin-1")
            case _:
                return last if isinstance(last, bytes) else script.take(script.below(30))

    def plan(self, first: int) -> tuple[ScanPlan, list[Point]]:
        """A plan of any types, with scales."""
        fields, points, offset = [], [], 0
        for index in range(1 + self.script.below(9)):
            kind, code = TYPES[self.script.below(len(TYPES))]
            scale = (1, 0, 0) if code in "fd?" else SCALES[self.script.below(len(SCALES))]
            multiplier, addend, exponent = scale
            sentinels = () if code in "fd?" or self.script.below(3) else (127,)
            series = Series(first + index, multiplier=multiplier, addend=addend, exponent=exponent, sentinels=sentinels)
            points.append(Point(code, series, scale, 127 if sentinels else None))
            fields.append((Layout(offset, kind), series))
            offset += fields[-1][0].width
        return ScanPlan(fields, 1000 * self.script.below(2)), points

    def scan(self) -> None:
        plan, points = self.scans[self.script.below(2)]
        payload, time, quality, offset = self.script.take(plan.size), self.clock(), self.quality(), 0
        assert self.story.packer.append_scan(plan, payload, time, quality) == len(points)
        for point in points:
            width = struct.calcsize(">" + point.code)
            expected = point.expected(payload[offset : offset + width], quality)
            self.story.due.append((point.series.number, time, *expected))
            offset += width

    def fail(self) -> None:
        plan, points = self.scans[self.script.below(2)]
        time, quality = self.clock(), FAILURES[self.script.below(len(FAILURES))]
        assert self.story.packer.fail_scan(plan, time, quality) == len(points)
        self.story.due.extend((point.series.number, time, None, quality) for point in points)


def played(data: bytes) -> list[Story]:
    """The batches of a script."""
    return Player(data).play()


def packed(data: bytes) -> list[bytes]:
    """The blocks of a script's first batch."""
    return played(data)[0].blocks
