"""A value as JSON can say it; the buffer in words."""

import json
import math
from decimal import Decimal

import pytest

from buffer.header import Clock, ClockState
from buffer.stock import Oldest
from buffer.wear import Wear
from ext import Value
from gateway.cli.status import _buffer
from gateway.clock import AgentClock
from gateway.control.status import _card, _oldest, value_json
from gateway.keeping.stored import Stored
from tests.gateway.support import BOOT, TRUTH, Hand

SUMS = {"batches": 0, "samples": 0, "bytes": 0, "refused": 0}
WELL = {
    "bytes": 51_200_000, "limit": 512_000_000, "loss_window_s": 5.0, "error": "", "salvage": [], "committed": 12_000,
    "held": SUMS | {"batches": 3, "samples": 900, "oldest": {"number": 4, "utc_ms": TRUTH, "age_s": 7_300.0}},
    "history": SUMS | {"batches": 40, "keep_s": 86_400.0}, "ledger": {"waiting": 0},
    "made_room": {"thinned": 0, "evicted": 0},
    "memory": {"bytes": 0, "limit": 8 << 20, "samples": 0, "given_up": 0},
    "disk": {"state": "ok", "since_s": 5, "size": 10**9, "free": 5 * 10**8, "keep_free": 10**8, "low": False},
    "card": {
        "source": "mmcblk0", "written_bytes": 0, "seen_s": 3 * 86_400, "bytes_per_day": 270_000_000,
        "endurance": 30 * 10**12, "years": 304.2,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None), (True, True), (7, 7), (2**70, 2**70), (21.5, 21.5), ("on", "on"), (b"\x00\xff", "00ff"),
        (Decimal("21.5"), 21.5), (Decimal("0.1"), 0.1), (Decimal("-0.0"), -0.0),
        (Decimal("9007199254740993.5"), "9007199254740993.5"), (Decimal("1E+30"), 1e30),
        (math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan"),
    ],
)  # fmt: skip
def test_every_value_has_a_form_in_json_that_loses_no_digit(value: Value, shown: object) -> None:
    found = value_json(value)
    assert found == shown
    assert type(found) is type(shown)
    assert json.loads(json.dumps(found, allow_nan=False)) == shown


def test_the_buffer_is_said_in_plain_words() -> None:
    assert list(_buffer(WELL)) == [
        "buffer  51.20 MB of 512 MB (10 %), 12000 samples committed",
        "        a power cut loses at most the last 5 s of samples",
        "        3 batches (900 samples) wait for the platform, the oldest 2 h old",
        "        40 delivered batches are kept (24 h; lamppost export)",
        "card    270 MB a day written on mmcblk0, by all programs (seen for 3 d): 304.2 years at its rated 30 TB",
    ]


def test_what_is_wrong_with_the_disk_is_said() -> None:
    bad = WELL | {
        "error": "the disk has not answered for 12 s",
        "memory": {"bytes": 70_000, "limit": 8 << 20, "samples": 540, "given_up": 33},
        "disk": WELL["disk"] | {"low": True, "free": 9 * 10**7},  # type: ignore[operator]
        "ledger": {"waiting": 2},
        "made_room": {"thinned": 7_200, "evicted": 40},
        "card": WELL["card"] | {"bytes_per_day": None},  # type: ignore[operator]
    }
    assert list(_buffer(bad))[4:] == [
        "        2 entries of the ledger wait for the next batch",
        "        FULL: 7200 samples thinned and 40 samples EVICTED since the start; they are in the ledger",
        "        33 samples GIVEN UP while the disk took nothing; they are in the ledger",
        "        DISK: the disk has not answered for 12 s; 540 samples wait in memory (0.07 MB of 8.39 MB)",
        "        DISK: 90.00 MB free, 100 MB are kept free: the buffer does not grow",
    ]


@pytest.mark.parametrize(
    ("wear", "endurance", "daily", "years"),
    [
        (Wear(10**9, 86_400_000), None, 10**9, None),
        (Wear(10**9, 43_200_000), 10**13, 2 * 10**9, 13.7),  # 10 TB / 2 GB a day = 5000 days
        (Wear(10**9, 599_999), 10**13, None, None),
        (Wear(0, 86_400_000), 10**13, 0, None),
    ],
)
def test_a_cards_years_are_its_rating_by_what_is_written(
    wear: Wear, endurance: int | None, daily: int | None, years: float | None
) -> None:
    found = _card(Stored(wear=wear), endurance)
    assert (found["bytes_per_day"], found["years"]) == (daily, years)


def test_the_age_of_the_oldest_sample_is_known_in_its_boot_and_by_a_clock() -> None:
    hand = Hand(boot=61_000)
    clock = AgentClock(BOOT, hand)
    other = bytes(16)
    mine = Oldest(4, Clock(BOOT, 0, ClockState.UNSET), 1_000)
    assert _oldest(clock, mine) == {"number": 4, "utc_ms": TRUTH + 1_000, "age_s": 60.0}
    dated = Oldest(5, Clock(other, TRUTH - 100_000, ClockState.HOLDOVER), 1_000)
    assert _oldest(clock, dated) == {"number": 5, "utc_ms": TRUTH - 99_000, "age_s": 160.0}
    assert _oldest(clock, Oldest(6, Clock(other, 0, ClockState.UNSET), 1_000)) == {
        "number": 6, "utc_ms": None, "age_s": None,
    }  # fmt: skip
    assert _oldest(clock, None) is None
