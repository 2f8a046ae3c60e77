"""Signed schedules, good and bad."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buffer import cose
from buffer.cose import Kind
from buffer.errors import BatchFormatError, SignatureError
from buffer.keyring import RingKey
from buffer.keys import SigningKey
from buffer.schedule import MAX_ENTRIES, MAX_LIFE_MS, Entry, Schedule
from tests.buffer.support import GATEWAY

NOW = 1_800_000_000_000
ENTRY = Entry(("lamp7/level",), "sunset-00:15", Decimal("40.5"), latest="22:00", only=("11-01/03-31",))
GOOD = Schedule(GATEWAY, bytes(16), 77, NOW, NOW + 60_000, 3, (ENTRY,), "anna", "winter")


@pytest.fixture(scope="module")
def operator(key: SigningKey) -> RingKey:
    """The operator as the keyring has her."""
    return RingKey("anna", "command", key.public(role="command").raw)


entries = st.builds(
    Entry,
    st.just(("a-1/b", "c/d")),
    st.sampled_from(["00:00", "23:59", "sunrise", "sunset+12:00"]),
    st.booleans() | st.text(max_size=200) | st.decimals(-(10**6), 10**6, places=3),
    st.sampled_from(["1", "67", "1234567"]),
    unless=st.lists(st.dates().map(str), max_size=3).map(tuple),
)


@given(st.lists(entries, max_size=4))
def test_schedule_comes_back(key: SigningKey, operator: RingKey, made: list[Entry]) -> None:
    schedule = replace(GOOD, entries=tuple(made))
    assert Schedule.read(cose.read(schedule.sign(key)), operator) == schedule


def changed(number: int, value: object) -> bytes:
    payload = {
        1: 1, 2: GATEWAY, 3: bytes(16), 4: 77, 5: NOW, 6: NOW + 60_000, 7: 3,
        8: [[["a/b"], "22:00", Decimal(1), "1234567", "", "", [], []]], 9: "anna", 10: "winter",
    }  # fmt: skip
    return cbor2.dumps({**payload, number: value})


def one_entry(at: int, value: object) -> list[Any]:
    made: list[Any] = [["a/b"], "22:00", Decimal(1), "1234567", "", "", [], []]
    made[at] = value
    return [made]


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (1, 2), (2, "GW"), (3, bytes(15)), (4, 0), (6, NOW), (6, NOW + MAX_LIFE_MS + 1), (7, 0), (9, ""), (11, 0),
        (8, one_entry(0, [])), (8, one_entry(0, ["a/b", "a/b"])), (8, one_entry(0, ["a"])), (8, one_entry(1, "25:00")),
        (8, one_entry(1, "sunset+13:00")), (8, one_entry(2, 1.5)), (8, one_entry(2, Decimal("NaN"))),
        (8, one_entry(3, "")), (8, one_entry(3, "21")), (8, one_entry(3, "8")), (8, one_entry(4, "16:00")),
        (8, one_entry(6, ["02-30"])), (8, one_entry(6, ["2026-02-29"])), (8, one_entry(6, ["2026-02-02/2026-02-01"])),
        (8, one_entry(7, ["01-01"] * 65)), (8, one_entry(0, ["a/b"]) * (MAX_ENTRIES + 1)),
    ],
)  # fmt: skip
def test_what_is_no_schedule(key: SigningKey, operator: RingKey, number: int, value: object) -> None:
    Schedule.read(cose.read(cose.sign(changed(10, "winter"), Kind.SCHEDULE, key)), operator)
    with pytest.raises(BatchFormatError):
        Schedule.read(cose.read(cose.sign(changed(number, value), Kind.SCHEDULE, key)), operator)


def test_neither_kind_passes_for_the_other(key: SigningKey, operator: RingKey) -> None:
    payload = cose.read(GOOD.sign(key)).payload
    for kind in (Kind.COMMAND, Kind.BATCH):
        with pytest.raises(SignatureError):
            Schedule.read(cose.read(cose.sign(payload, kind, key)), operator)
    with pytest.raises(SignatureError, match="role"):
        Schedule.read(cose.read(GOOD.sign(key)), replace(operator, role="configure"))


def test_too_many_bytes(key: SigningKey) -> None:
    long = tuple(replace(ENTRY, points=tuple(f"lamp-{n}/level-{m}" for m in range(64))) for n in range(60))
    with pytest.raises(BatchFormatError, match="over the limit"):
        replace(GOOD, entries=long).sign(key)
