"""Bytes that no packer wrote: a clear FormatError, or samples, the same from both decoders; bounded time and memory."""

import random
import time
import tracemalloc
from collections.abc import Callable, Sized

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext import (
    MAX_BATCH_BYTES,
    MAX_SAMPLES,
    NO_ANSWER,
    FormatError,
    Layout,
    Packer,
    ScanPlan,
    Series,
    unpack,
    unpack_columns,
)
from tests.ext.script import number, scripted
from tests.ext.strategies import Sample, Story, stories
from tests.ext.vectors import exact, read_vectors
from tests.reference_decoder import ReferenceFormatError, decode

ROUNDS = 3000  # mutations of one run: some seconds, most of them the reference decoder's

NEW, NEW_FLAGS, END = 5, 6, 7
BYTES = {
    "an empty block": (b"", "the block is empty"),
    "an unknown version": (b"\x01", "version 1 is not known"),
    "a version to come": (b"\x04", "version 4 is not known"),
    "a version alone": (b"\x03", "declares no shape"),
    "a head that version 2 has not": (b"\x02" + scripted([8, *number(0)])[0][1:], "head 8 is not known"),
    "bytes behind the end": (scripted([END])[0] + bytes(4), "bytes behind the end"),
}


def declared(kind: int, *form: int, step: int = 0) -> list[int]:
    """The head and declaration of a shape of one field."""
    return [NEW, *number(0), *number(1), *number(step), kind, *form]


INT = declared(1, *number(0))
PAIR = [NEW_FLAGS, *number(0), *number(2), *number(0), 1, *number(0), *number(0), 1, *number(0), *number(0)]
ONE = [*INT, *number(0), *number(5)]  # a field of integers, and 5 at the time 0
LIKE = [*ONE, 8, *number(0), *number(0), *number(0)]  # a second field, like it
TEXT = declared(6)
CASES = {
    "a head that is none": ([10], "head 10 is not known"),
    "a known shape before the first": ([0], "declares no shape"),
    "nothing followed yet": ([*ONE, 0], "shape that follows is not known"),
    "no shape of that rank": ([*ONE, 3, 0], "no shape is number 0"),
    "a shape not seen once": ([*ONE, 3, 14, *number(1)], "no such shape"),
    "a shape at a distance below zero": ([*ONE, 3, 14, *number(-1)], "no such shape"),
    "a shape that is not declared": ([*ONE, 3, 15, *number(1)], "shape 1 is not declared"),
    "a shape far below": ([*ONE, 3, 15, *number(-(2**63))], "is not declared"),
    "like a shape before the first": ([8, *number(0)], "no shape was declared 0 before"),
    "like a shape too far back": ([*ONE, 8, *number(1)], "no shape was declared 1 before"),
    "like a shape to come": ([*ONE, 9, *number(-1)], "no shape was declared -1 before"),
    "like another, of a negative number": ([*ONE, 8, *number(0), *number(-2)], "series number -1"),
    "like another, without flags": ([*ONE, 9, *number(0), *number(0), *number(0), 0], "flags 0 are not known"),
    "like another, a step to break": ([*LIKE, 15, 0, 0], "smaller step where there is none"),
    "like another, an unknown kind": ([*LIKE, 15, 0, 15], "kind 15 is not known"),
    "a shape without fields": ([NEW, *number(0), *number(0)], "a shape of 0 fields"),
    "a shape of fewer": ([NEW, *number(0), *number(-1)], "a shape of -1 fields"),
    "a shape too wide": ([NEW, *number(0), *number(2049)], "a shape of 2049 fields"),
    "a period below zero": ([NEW, *number(-1), *number(1)], "a period of -1"),
    "a period beyond time": ([NEW, *number(2**53), *number(1)], "a period of"),
    "a kind for one value": (declared(9), "kind 9 is not known"),
    "an unknown kind": (declared(13), "kind 13 is not known"),
    "a scale that is not declared": (declared(1, *number(2)), "scale 2 is not declared"),
    "a scale below zero": (declared(1, *number(-1)), "scale -1 is not declared"),
    "a multiplier of zero": (declared(1, *number(1), *number(0), *number(0), *number(0)), "a scale of 0"),
    "an exponent too large": (declared(1, *number(1), *number(1), *number(0), *number(128)), "to the power 128"),
    "too many digits": (declared(10, 10), "a float of 10 digits"),
    "a negative series number": (declared(1, *number(0), step=-1), "series number -1"),
    "a series number of 33 bits": (declared(1, *number(0), step=2**32), "series number 4294967296"),
    "a time before zero": ([*INT, *number(-1)], "time -1 ms"),
    "a time beyond 53 bits": ([*INT, *number(2**53)], "time 9007199254740992 ms"),
    "a time far beyond": ([*ONE, 3, 14, *number(0), 15, *number(2**63 - 1)], "time .* is not within"),
    "no flags": ([*PAIR, 0], "flags 0 are not known"),
    "flags that are none": ([*PAIR, 4], "flags 4 are not known"),
    "a record of nothing": ([*PAIR, 1, 0], "a record without samples"),
    "a field beyond the shape": ([*PAIR, 1, 4], "a field beyond the shape"),
    "a quality symbol that is none": ([*PAIR, 2, 4], "quality symbol 4"),
    "a quality of class 3": ([*PAIR, 2, 3, 6], "3 is no quality"),
    "a value of no kind": ([*declared(0), *number(0), 0], "a smaller step where there is none"),
    "a step to break before there is one": ([*ONE, 3, 14, *number(0), 5, 15, 0, 0], "smaller step where there is none"),
    "a change to an unknown kind": ([*ONE, 3, 14, *number(0), 5, 15, 0, 15], "kind 15 is not known"),
    "a text too long": ([*TEXT, *number(0), *number(32_769)], "a value of 32769 bytes"),
    "a text of less than nothing": ([*TEXT, *number(0), *number(-1)], "a value of -1 bytes"),
    "a text of no UTF-8": ([*TEXT, *number(0), *number(1), 15, 15], "no UTF-8"),
    "a number too long": ([*declared(8), *number(0), *number(513)], "a value of 513 bytes"),
    "a number that is none": ([*declared(8), *number(0), *number(2), 2, 13, 2, 13], "a number that is none"),
    "a number with a line end": ([*declared(8), *number(0), *number(2), 3, 1, 0, 10], "a number that is none"),
    "a decimal of exponent 10000": (
        [*declared(8), *number(0), *number(7), 3, 1, 4, 5, 3, 1, 3, 0, 3, 0, 3, 0, 3, 0],
        "a number that is none",
    ),
    "neither the last text nor another": ([*TEXT, *number(0), *number(0), 3, 14, *number(0), 5, 3], "neither the last"),
}


@pytest.mark.parametrize(("data", "message"), BYTES.values(), ids=BYTES.keys())
def test_malformed_bytes(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        unpack([data])
    with pytest.raises(ReferenceFormatError):
        decode([data])


@pytest.mark.parametrize(("script", "message"), CASES.values(), ids=CASES.keys())
def test_malformed(script: list[int], message: str) -> None:
    blocks = scripted(script)
    with pytest.raises(FormatError, match=message) as caught:
        unpack(blocks)
    assert str(caught.value).startswith("block 0, byte ")
    with pytest.raises(FormatError, match=message):
        unpack_columns(blocks)
    with pytest.raises(ReferenceFormatError):
        decode(blocks)


def test_a_block_cut_short() -> None:
    packer, series = Packer(), Series(1)
    packer.extend((series, 1000 * n, n * n * n / 7, 0) for n in range(50))
    block = packer.commit()
    with pytest.raises(FormatError, match="cut"):
        unpack([block[:-9]])
    with pytest.raises(ReferenceFormatError):
        decode([block[:-9]])


def test_an_error_names_its_block() -> None:
    with pytest.raises(FormatError, match="block 1, byte 0: head 11 is not known"):
        unpack(scripted([*ONE, END], [11]))


@pytest.mark.parametrize("block", [None, "01", 5])
def test_a_block_is_bytes(block: object) -> None:
    with pytest.raises(TypeError, match="a block is bytes"):
        unpack([block])  # type: ignore[list-item]


def test_too_many_bytes() -> None:
    with pytest.raises(FormatError, match="at most 1048576"):
        unpack([bytes(MAX_BATCH_BYTES), b"\x00"])


def bomb() -> list[bytes]:
    """The most samples that the fewest bytes claim: wide records without a value, each at no cost to speak of."""
    packer = Packer()
    plan = ScanPlan([(Layout(0, "bool"), Series(2**31 + index)) for index in range(2048)], period=1)
    for boot_ms in range(MAX_SAMPLES // 2048):
        packer.fail_scan(plan, boot_ms, NO_ANSWER)
    return [packer.commit()]


@pytest.mark.parametrize("reader", [unpack, unpack_columns])
def test_a_bomb_is_bounded_in_time_and_memory(reader: Callable[[list[bytes]], Sized]) -> None:
    blocks = bomb()
    assert sum(map(len, blocks)) < 6000
    tracemalloc.start()
    start = time.process_time()
    try:
        assert len(reader(blocks)) == MAX_SAMPLES
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20
    assert time.process_time() - start < 5


def test_more_samples_than_a_batch_may_have() -> None:
    wide = [NEW, *number(1), *number(2048), *[*number(0), 5] * 2048, *number(0), *number(0) * 2048]
    again = [3, 14, *number(0), 5, *[5] * 2048]
    more = [0, *[5] * 2048]
    blocks = scripted([*wide, *again, *(more * 31)])
    with pytest.raises(FormatError, match="more than 65536 samples"):
        unpack(blocks)
    with pytest.raises(ReferenceFormatError):
        decode(blocks)


def test_more_fields_than_a_batch_may_have() -> None:
    wide = [NEW, *number(0), *number(2048), *[*number(0), 5] * 2048, *number(0), *number(0) * 2048]
    like = [8, *number(0), *number(0) * 2048, *number(0), *[5] * 2048]
    assert len(unpack(scripted([*wide, *(like * 7), END]))) == 16_384
    blocks = scripted([*wide, *(like * 8), END])
    with pytest.raises(FormatError, match="more than 16384 fields"):
        unpack(blocks)
    with pytest.raises(ReferenceFormatError):
        decode(blocks)


def outcome(blocks: list[bytes]) -> list[tuple[int, int, str, int]] | None:
    """The samples, or None for a FormatError; anything else is a fault."""
    try:
        return exact(unpack(blocks))
    except FormatError:
        return None


def reference(blocks: list[bytes]) -> list[tuple[int, int, str, int]] | None:
    """The same by the other decoder."""
    try:
        samples: list[Sample] = decode(blocks)
    except ReferenceFormatError:
        return None
    return exact(samples)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=3))
def test_arbitrary_bytes(blocks: list[bytes]) -> None:
    for version in (b"\x02", b"\x03"):
        versioned = [version + block if index == 0 else block for index, block in enumerate(blocks)]
        assert outcome(versioned) == reference(versioned)


@settings(max_examples=80, deadline=None)
@given(stories(), st.randoms(use_true_random=False))
def test_mutated_stories(story: Story, chance: random.Random) -> None:
    for _ in range(5):
        blocks = mutated(story.blocks, chance)
        assert outcome(blocks) == reference(blocks)


def test_mutated_vectors() -> None:
    chance = random.Random(20240607)
    seeds = [vector.blocks for vector in read_vectors()]
    slowest = 0.0
    for index in range(ROUNDS):
        blocks = mutated(seeds[index % len(seeds)], chance)
        start = time.process_time()
        got = outcome(blocks)
        slowest = max(slowest, time.process_time() - start)
        assert got == reference(blocks), [block.hex() for block in blocks]
    assert slowest < 0.1


def mutated(blocks: list[bytes], chance: random.Random) -> list[bytes]:
    """The blocks with some bytes altered, cut, doubled or pushed in."""
    changed = [bytearray(block) for block in blocks]
    for _ in range(chance.randint(1, 3)):
        if not changed:
            break
        block = chance.choice(changed)
        at = chance.randint(0, len(block))
        match chance.randint(0, 5):
            case 0:
                del block[at:]
            case 1:
                block[at:at] = chance.randbytes(chance.randint(1, 4))
            case 2:
                block[at:at] = block[at : at + chance.randint(1, 12)]
            case 3:
                block[at : at + 1] = bytes([chance.choice([0, 1, 0x7F, 0x80, 0xFF])])
            case 4 if at < len(block):
                block[at] ^= 1 << chance.randint(0, 7)
            case _:
                del block[at : at + 1]
    return [bytes(block) for block in changed]
