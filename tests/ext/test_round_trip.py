"""Whatever is appended comes out again, to the bit, from any prefix of the blocks, by both decoders."""

import struct
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings

from ext import Packer, Series, Value, unpack
from tests.ext.strategies import Story, stories
from tests.ext.vectors import exact
from tests.reference_decoder import decode

GENEROUS = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@GENEROUS
@given(stories())
def test_any_story_cut_after_any_commit(story: Story) -> None:
    for blocks, count in enumerate(story.counts, 1):
        prefix = story.blocks[:blocks]
        assert exact(unpack(prefix)) == exact(story.due[:count])
        assert exact(decode(prefix)) == exact(story.due[:count])


@GENEROUS
@given(stories())
def test_the_packer_counts_what_it_packs(story: Story) -> None:
    assert story.packer.samples == len(story.due)
    assert story.packer.size == sum(map(len, story.blocks))
    assert story.packer.pending == 0


@pytest.mark.parametrize(
    "value",
    [
        *(2**n + d for n in (7, 15, 31, 53, 63, 64, 65, 200) for d in (-1, 0, 1)),
        *(-(2**n) + d for n in (7, 15, 31, 53, 63, 64, 65, 200) for d in (-1, 0, 1)),
        *(0.0, -0.0, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf"), 0.1, 1 / 3, 2.0**53, -(2.0**53)),
        *map(Decimal, ("0", "-0", "1.50", "1E+3", "-0.000001", "9" * 40, "1E-9999", "18446744073709551616E-2")),
        *(True, False, "", "Ünïcödé \x00", b"", bytes(range(256)), "x" * 32_768),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_hard_values(value: Value) -> None:
    packer, series = Packer(), Series(1)
    for other in (value, 1, value, "x", value, value):
        packer.append(series, 10, other)
    expected = [(1, 10, other, 0) for other in (value, 1, value, "x", value, value)]
    block = packer.commit()
    assert exact(unpack([block])) == exact(expected)
    assert exact(decode([block])) == exact(expected)
    assert series.last is not None
    assert exact([(1, *series.last)]) == exact(expected[-1:])


@pytest.mark.parametrize("bits", ["7ff0000000000001", "fff8000000000000", "7ff8dead0000beef", "ffffffffffffffff"])
def test_nan_payloads(bits: str) -> None:
    packer, series = Packer(), Series(1)
    packer.append(series, 0, struct.unpack(">d", bytes.fromhex(bits))[0], 22)
    ((_, _, value, quality),) = unpack([packer.commit()])
    assert isinstance(value, float)
    assert (struct.pack(">d", value).hex(), quality) == (bits, 22)


def test_subclasses_come_out_plain() -> None:
    class Count(int): ...

    class Name(str):
        __slots__ = ()

    packer, series = Packer(), Series(1)
    packer.append(series, 0, Count(2**70))
    assert packer.append(series, 0, Name("a"))
    assert series.last == (0, "a", 0)
    assert type(series.last[1]) is str
    assert exact(unpack([packer.commit()])) == exact([(1, 0, 2**70, 0), (1, 0, "a", 0)])


def test_two_series_of_one_number_share_their_state() -> None:
    packer = Packer()
    for index in range(4):
        packer.append(Series(5), index, 7)
    assert [sample[2] for sample in unpack([packer.commit()])] == [7] * 4


def test_one_series_in_two_packers() -> None:
    series, one, two = Series(5), Packer(), Packer()
    for index in range(6):
        (one if index % 2 else two).append(series, index, index)
    assert [sample[2] for sample in unpack([one.commit()])] == [1, 3, 5]
    assert [sample[2] for sample in unpack([two.commit()])] == [0, 2, 4]
