"""Bytes that no packer wrote: a clear FormatError, or samples, the same from both decoders; bounded time and memory."""

import random
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext import MAX_BATCH_BYTES, MAX_SAMPLES, FormatError, unpack
from tests.ext.strategies import Sample, Story, stories
from tests.ext.vectors import exact, read_vectors
from tests.reference_decoder import ReferenceFormatError, decode

ROUNDS = 20_000  # mutations of one run: a few seconds

CASES = {
    "an empty block": ("", "the block is empty"),
    "an unknown version": ("02", "version 2 is not known"),
    "a version cut": ("81", "cut inside a number"),
    "a number of eleven bytes": ("01" + "80" * 10 + "00", "more than 64 bits"),
    "a number of 65 bits": ("01" + "ff" * 9 + "02", "more than 64 bits"),
    "a shape from the future": ("0108", "shape 1 is not declared"),
    "a shape without fields": ("01000000", "a shape of 0 fields"),
    "a shape too wide": ("0100008110", "a shape of 2049 fields"),
    "a shape cut": ("0100008010" + "0001", "cut inside the declaration"),
    "a period beyond time": ("0100ffffffffffffffff7f01", "a period of"),
    "a first field as before": ("010000010000", "like the one before"),
    "an unknown kind": ("01000001000b", "kind 11 is not known"),
    "a text with a scale": ("010000010016", "kind 22 is not known"),
    "a kind with an unknown flag": ("010000010021", "kind 33 is not known"),
    "a multiplier of zero": ("0100000100110000 00", "a scale of 0"),
    "an exponent too large": ("010000010011020080 02", "10 to the power 128"),
    "too many digits": ("01000001000a0a", "a float of 10 digits"),
    "a negative series number": ("010000010101", "series number -1"),
    "a series number of 33 bits": ("01000001 8080808020 01", "series number 4294967296"),
    "a series number of 60 bits": ("01000001 ffffffffffffffff0f 01", "out of bounds"),
    "a time before zero": ("0100000100 01 01 00", "time -1 ms"),
    "a time beyond 53 bits": ("0100000100 01 8080808080808020", "time 9007199254740992 ms"),
    "a residual of 60 bits": ("0100000100 01 ffffffffffffffff0f", "a time out of bounds"),
    "a record of nothing": ("0101000100 01 00 00", "a record without samples"),
    "a mask too long": ("0101000100 01 00 03", "beyond the end of a mask"),
    "a quality of class 3": ("0102000100 01 00 00 06", "3 is no quality"),
    "a quality of nine bits": ("0102000100 01 00 00 8004", "256 is no quality"),
    "qualities for more than there is": ("0102000100 01 00 02 00 02 00 02", "2 qualities for a shape of 1"),
    "a quality beyond the shape": ("0102000100 01 00 01 01 02", "a field beyond the 1"),
    "nothing unchanged": ("0106000100 01 00 00 05", "where there are none"),
    "unchanged before the first": ("0104000100 08 00", "unchanged before its first"),
    "a value of no kind": ("0100000100 09 00", "a value in a field that has none"),
    "a float too wide": ("0100000100 03 00 50 0000000000", "a float of 5 bytes in place of 4"),
    "a float shifted out": ("0100000100 04 00 18 01", "a float of 9 bytes in place of 8"),
    "a float cut": ("0100000100 04 00 80 0000", "cut: 8 bytes are due, 2 are left"),
    "a text too long": ("0100000100 06 00 818002", "a value of 32769 bytes"),
    "a text cut": ("0100000100 06 00 05 61", "cut: 5 bytes are due, 1 are left"),
    "a text of no UTF-8": ("0100000100 06 00 01 ff", "no UTF-8"),
    "a number too long": ("0100000100 08 00 8104" + "31" * 513, "a value of 513 bytes"),
    "a number that is none": ("0100000100 08 00 02 2d2d", "a number that is none"),
    "a number with a line end": ("0100000100 08 00 02 310a", "a number that is none"),
    "a number of exponent 10000": ("0100000100 08 00 07 31453130303030", "a number that is none"),
}


@pytest.mark.parametrize(("data", "message"), CASES.values(), ids=CASES.keys())
def test_malformed(data: str, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        unpack([bytes.fromhex(data)])
    assert str(caught.value).startswith("block 0, byte ")
    with pytest.raises(ReferenceFormatError):
        decode([bytes.fromhex(data)])


def test_an_error_names_its_block() -> None:
    with pytest.raises(FormatError, match="block 1, byte 1: shape 1 is not declared"):
        unpack([b"\x01", b"\x08"])


@pytest.mark.parametrize("block", [None, "01", 5])
def test_a_block_is_bytes(block: object) -> None:
    with pytest.raises(TypeError, match="a block is bytes"):
        unpack([block])  # type: ignore[list-item]


def test_too_many_bytes() -> None:
    with pytest.raises(FormatError, match="at most 1048576"):
        unpack([bytes(MAX_BATCH_BYTES), b"\x00"])


def bomb() -> bytes:
    """The most samples that the fewest bytes can claim: 2048 without a value in each four."""
    declaration = b"\x00\x80\x10" + b"\x00\x01" + b"\x00\x00" * 2047
    return b"\x01\x02" + declaration + b"\x00\x00\x05" + b"\x02\x00\x00\x05" * 200_000


def test_a_bomb_is_refused_in_time_and_memory() -> None:
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(FormatError, match=f"more than {MAX_SAMPLES} samples"):
            unpack([bomb()])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20
    assert time.process_time() - start < 5


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


@settings(max_examples=500, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=3))
def test_arbitrary_bytes(blocks: list[bytes]) -> None:
    blocks = [b"\x01" + block if index == 0 else block for index, block in enumerate(blocks)]
    assert outcome(blocks) == reference(blocks)


@settings(max_examples=150, deadline=None)
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
