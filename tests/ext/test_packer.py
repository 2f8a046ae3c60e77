"""The packer's own rules: commits, resets, bounds, and nothing appended by what is refused."""

import random
import struct
import sys
from decimal import Decimal
from typing import Any

import pytest

import ext.packer
from ext import (
    BAD,
    MAX_BATCH_BYTES,
    MAX_SAMPLES,
    MAX_TEXT_BYTES,
    MAX_WORK,
    NO_ANSWER,
    SENSOR_FAULT,
    Layout,
    Packer,
    ScanPlan,
    Series,
    unpack,
)


def test_an_empty_packer() -> None:
    packer = Packer()
    assert (packer.commit(), packer.pending, packer.samples, packer.size) == (b"", 0, 0, 0)
    packer.reset()
    assert unpack([]) == []


def test_counts() -> None:
    packer, series = Packer(), Series(1)
    packer.append(series, 0, 1)
    most = packer.size
    assert (packer.pending, packer.samples) == (1, 1)
    first = len(packer.commit())
    assert packer.size == first <= most
    packer.append(series, 1, 1)
    assert (packer.pending, packer.samples) == (1, 2)
    most = packer.size
    assert first + len(packer.commit()) == packer.size <= most


def test_a_reset_forgets_the_codec() -> None:
    packer, series = Packer(), Series(1)
    plan = ScanPlan([(Layout(0), Series(2, exponent=-1))], period=1000)
    for _ in range(3):
        packer.append(series, 5, 300)
        packer.append_scan(plan, b"\x01\x02", 6)
        assert unpack([packer.commit()]) == [(1, 5, 300, 0), (2, 6, Decimal("25.8"), 0)]
        packer.reset()
        assert (packer.samples, packer.size) == (0, 0)


def test_devices_of_one_model_say_less() -> None:
    """A second device says how it differs from the first; the same registers in another order say all of it."""
    kinds = ("uint32", "float32", "int16")
    sizes = []
    for second in (kinds, kinds[::-1]):
        packer = Packer()
        for first, order in ((0, kinds), (10, second)):
            at = [sum(4 - 2 * (kind == "int16") for kind in order[:place]) for place in range(3)]
            plan = ScanPlan([(Layout(at[n], kind), Series(first + n)) for n, kind in enumerate(order)], period=1000)
            values = {"uint32": 5_000_000 + first, "float32": 231.123 + first / 1000, "int16": 2500 + first}
            codes = {"uint32": "I", "float32": "f", "int16": "h"}
            packer.append_scan(plan, struct.pack(">" + "".join(map(codes.get, order)), *map(values.get, order)), first)  # type: ignore[arg-type]
        sizes.append(len(packer.commit()))
    assert sizes[0] <= sizes[1] - 6


def test_a_batch_begins_with_the_forms_of_the_last() -> None:
    """Of a float that is zero at first, and of all bits after that, the next batch knows what to expect."""
    packer, plan = Packer(), ScanPlan([(Layout(0, "float32"), Series(1))], period=1000)
    blocks = []
    for batch in range(2):
        for second in range(10):
            packer.append_scan(plan, struct.pack(">f", second / 7), 10_000 * batch + 1000 * second)
        blocks.append(packer.commit())
        assert [sample[2] for sample in unpack(blocks[-1:])] == [
            struct.unpack(">f", struct.pack(">f", second / 7))[0] for second in range(10)
        ]
        packer.reset()
    assert len(blocks[1]) < len(blocks[0]) - 8


def test_a_reset_loses_nothing() -> None:
    packer = Packer()
    packer.append(Series(1), 0, 1)
    with pytest.raises(RuntimeError, match="1 samples are not committed"):
        packer.reset()
    assert unpack([packer.commit()]) == [(1, 0, 1, 0)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1, 5, 0), ValueError, "time -1 ms"),
        ((2**53, 5, 0), ValueError, "time 9007199254740992 ms"),
        ((2**64, 5, 0), OverflowError, "int too big|too large"),
        ((0, 5, 3), ValueError, "3 is no quality"),
        ((0, 5, 256), ValueError, "256 is no quality"),
        ((0, 5, -1), ValueError, "-1 is no quality"),
        ((0, "x" * (MAX_TEXT_BYTES + 1), 0), ValueError, "a value of 32769 bytes"),
        ((0, b"x" * (MAX_TEXT_BYTES + 1), 0), ValueError, "a value of 32769 bytes"),
        ((0, "\ud800", 0), ValueError, "surrogates"),
        ((0, 10**512, 0), ValueError, "a value of 513 bytes"),
        ((0, Decimal("NaN"), 0), ValueError, "no finite decimal"),
        ((0, Decimal("sNaN"), 0), ValueError, "no finite decimal"),
        ((0, Decimal("-Infinity"), 0), ValueError, "no finite decimal"),
        ((0, Decimal("1E+10000"), 0), ValueError, "exponent 10000 is too large"),
        ((0, Decimal(10**600), 0), ValueError, "601 digits"),
        ((0, [], 0), TypeError, "not list"),
        ((0, 1j, 0), TypeError, "not complex"),
        ((0, bytearray(2), 0), TypeError, "not bytearray"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_refused_leaves_no_trace(arguments: Any, error: type[Exception], message: str) -> None:
    packer, series = Packer(), Series(1, minimum=0, sentinels=[77])
    with pytest.raises(error, match=message):
        packer.append(series, *arguments)
    assert (series.last, packer.pending, packer.size, packer.commit()) == (None, 0, 0, b"")
    packer.append(series, 0, 5)
    assert unpack([packer.commit()]) == [(1, 0, 5, 0)]


def test_no_value_is_never_good() -> None:
    packer, series = Packer(), Series(1)
    packer.append(series, 0, None)
    packer.append(series, 1, 5)
    packer.append(series, 2, None, NO_ANSWER)
    packer.append(series, 3, float("nan"))
    samples = unpack([packer.commit()])
    assert [(value, quality) for _, _, value, quality in samples[:3]] == [(None, BAD), (5, 0), (None, NO_ANSWER)]
    assert samples[3][3] == SENSOR_FAULT


def test_a_failed_scan_is_not_good() -> None:
    with pytest.raises(ValueError, match="not good"):
        Packer().fail_scan(ScanPlan([(Layout(0), Series(1))]), 0, 0)


def test_a_full_batch_says_so_and_goes_on_after_a_reset() -> None:
    packer, series = Packer(), Series(2**32 - 1)
    plan = ScanPlan([(Layout(0, "bool"), Series(1))] * 2048)
    for time in range(MAX_SAMPLES // 2048):
        packer.append_scan(plan, b"\x01", time)
    with pytest.raises(OverflowError, match="the batch is full"):
        packer.append_scan(plan, b"\x01", 500)
    with pytest.raises(OverflowError, match="the batch is full"):
        packer.append(series, 500, 1)
    assert series.last is None
    assert len(unpack([packer.commit()])) == MAX_SAMPLES
    packer.reset()
    assert packer.append(series, 500, 1)


def test_a_batch_full_of_bytes() -> None:
    """Random texts until the work is nearly used up, then random numbers."""
    packer, series, chance = Packer(), Series(1), random.Random(5)
    plan = ScanPlan([(Layout(8 * i, "uint64"), Series(i)) for i in range(2048)])
    packer.extend((series, index, chance.randbytes(MAX_TEXT_BYTES), 0) for index in range(14))
    with pytest.raises(OverflowError, match="of 1048576 bytes"):
        _ = [packer.append_scan(plan, chance.randbytes(plan.size), boot_ms) for boot_ms in range(32)]
    assert 20_000 < packer.pending == len(unpack([packer.commit()]))
    assert packer.size < MAX_BATCH_BYTES


def test_a_batch_full_of_work_for_its_reader() -> None:
    packer, series = Packer(), Series(1)
    with pytest.raises(OverflowError, match="of 1048576 units of work"):
        packer.extend((series, index, "ab"[index % 2] * MAX_TEXT_BYTES, 0) for index in range(40))
    assert packer.work == packer.pending * (1 + 32 + 2 * MAX_TEXT_BYTES) <= MAX_WORK
    assert len(unpack([packer.commit()])) == 15
    packer.reset()
    assert packer.work == 0


def test_scaled_floats_are_work() -> None:
    packer, plan = Packer(), ScanPlan([(Layout(0, "float64"), Series(1, multiplier=3)), (Layout(0, "bool"), Series(2))])
    packer.append_scan(plan, struct.pack(">d", 2.5), 0)
    assert packer.work == 2 + 256
    assert [sample[2] for sample in unpack([packer.commit()])] == [7.5, False]


def test_short_texts_are_work() -> None:
    packer, series = Packer(), Series(1)
    for index in range(4):
        packer.append(series, index, ("", "", 10**20, 10**20)[index])
    assert packer.work == 4 + 2 * 32 + 2 * 21
    assert len(unpack([packer.commit()])) == 4


def test_only_scaled_floats_are_reserved_for() -> None:
    """A wide scan is taken until the work is really used up, so that a batch half full has room for any."""
    packer, plan = Packer(), ScanPlan([(Layout(i, "uint8"), Series(i, on_change=True)) for i in range(2048)])
    responses = [bytes(i) + b"\1" + bytes(plan.size - i - 1) for i in range(600)]
    with pytest.raises(OverflowError, match="units of work"):
        _ = [packer.append_scan(plan, payload, boot_ms) for boot_ms, payload in enumerate(responses)]
    assert packer.work == MAX_WORK
    assert len(unpack([packer.commit()])) == 2048 + 2 * (MAX_WORK // 2048 - 1)


def test_a_batch_full_of_fields() -> None:
    packer, plans = Packer(), [ScanPlan([(Layout(0, "bool"), Series(index))] * 2048) for index in range(9)]
    for plan in plans[:8]:
        packer.append_scan(plan, b"\x00", 0)
    with pytest.raises(OverflowError, match="16384 fields"):
        packer.append_scan(plans[8], b"\x00", 0)
    assert len(unpack([packer.commit()])) == 8 * 2048


def test_many_values_at_once() -> None:
    one, many, samples = Packer(), Packer(), [(Series(n % 7), 100 * n, n % 5 / 4, 0) for n in range(50)]
    assert many.extend(samples) == 50
    for sample in samples:
        one.append(*sample)
    assert one.commit() == many.commit()
    with pytest.raises(ValueError, match="time -1 ms"):
        many.extend([(Series(1), 5, 1, 0), (Series(1), -1, 1, 0)])
    assert many.samples == 51


def test_plans_and_series_outlive_their_names() -> None:
    packer = Packer()
    for number in range(200):
        plan = ScanPlan([(Layout(0), Series(number, exponent=-2))])
        packer.append_scan(plan, struct.pack(">H", number), number)
        del plan
    samples = unpack([packer.commit()])
    assert samples == [(n, n, Decimal(n).scaleb(-2), 0) for n in range(200)]


def test_no_object_is_kept_per_sample() -> None:
    packer, series = Packer(), [Series(i, on_change=i % 2 == 0) for i in range(50)]
    plan = ScanPlan([(Layout(2 * i), each) for i, each in enumerate(series)], period=1000)
    payloads = [struct.pack(">50H", *(i + n for i in range(50))) for n in range(10)]
    packer.append_scan(plan, payloads[0], 0)
    before = sys.getallocatedblocks()
    for n in range(1, 1000):
        packer.append_scan(plan, payloads[n % 10], n * 1000)
    assert sys.getallocatedblocks() - before < 100


def test_the_kernels_use_the_stable_abi() -> None:
    assert ".abi3." in ext.packer.__file__


def test_partial_records_of_many_wide_shapes() -> None:
    """Presence is kept for every four fields of every shape, whichever becomes partial first."""
    packer, samples, due = Packer(), 0, []
    plans = [
        ScanPlan([(Layout(i, "uint8"), Series(100 * number + i, on_change=True)) for i in range(width)])
        for number, width in enumerate([1, 40, 40, 250, 3, 66, 2000])
    ]
    for boot_ms in range(6):
        for plan in plans:
            values = bytearray(plan.size)
            values[boot_ms * plan.size // 6] = boot_ms
            samples += packer.append_scan(plan, values, boot_ms)
        due.append(packer.commit())
    assert len(unpack(due)) == samples
