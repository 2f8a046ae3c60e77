"""The messages of the standard, and answers in any split, with noise anywhere."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.decoding import Reading
from drivers.errors import BadAnswer, DeviceError
from drivers.iec62056.decode import decode
from drivers.iec62056.driver import Iec62056Device
from drivers.iec62056.protocol import MAX_READOUT, Answer, Identification, acknowledgement, request
from drivers.iec62056.readout import READ, parse
from ext import GOOD
from tests.drivers.iec62056.readouts import ENCODER, LOGAREX, MANUAL, parts

IDENTIFICATION, BLOCK = parts(LOGAREX)


def test_the_messages_are_those_of_the_manual() -> None:
    # LEM EM4TII manual (05 November 2020), 4.2.9
    assert request("") == b"/?!\r\n"
    assert acknowledgement("5") == b"\x06050\r\n"
    assert request("45678903") == b"/?45678903!\r\n"


def block(data: bytes, *, mode: str = "A") -> str | None:
    answer = Answer(mode=mode)
    for byte in data:
        found = answer.feed(bytes([byte]))
        if isinstance(found, str):
            return found
    return None


TEXT = block(LOGAREX)


@pytest.mark.parametrize(
    ("line", "identification", "baud"),
    [
        (b"/EMH5\\@D4EM4TIIW001--\r\n", Identification("EMH", "5", "D4EM4TIIW001--"), 9600),
        (b"/LGZ4\\2ZMD3104100.B14\r\n", Identification("LGZ", "4", "ZMD3104100.B14"), 4800),
        (b"/Els6\\2EK280\r\n", Identification("Els", "6", "EK280"), 19200),
        (b"/PAF0EC3g\r\n", Identification("PAF", "0", "EC3g"), 300),
    ],
)
def test_an_identification_of_mode_c_waits(line: bytes, identification: Identification, baud: int) -> None:
    found = Answer().feed(b"/?!\r\n\x00\xff" + line)
    assert found == identification
    assert identification.baud == baud


def test_a_meter_of_mode_a_sends_on_at_once() -> None:
    assert block(ENCODER, mode="auto") is not None
    assert Answer().feed(parts(ENCODER)[0]) is None


def test_a_mode_that_is_set_is_kept_to() -> None:
    assert block(LOGAREX, mode="A") is not None
    with pytest.raises(BadAnswer, match="no rate of mode C"):
        block(ENCODER, mode="C")


@given(st.lists(st.integers(0, len(LOGAREX)), max_size=8).map(sorted))
def test_the_split_never_matters(cuts: list[int]) -> None:
    answer = Answer(mode="A")
    pieces = [LOGAREX[a:b] for a, b in zip([0, *cuts], [*cuts, len(LOGAREX)], strict=True)]
    assert next(found for piece in pieces if (found := answer.feed(piece))) == TEXT


@given(st.binary(max_size=200), st.binary(max_size=100).map(lambda data: data.replace(b"\x02", b"")))
def test_noise_before_and_between_costs_nothing(before: bytes, between: bytes) -> None:
    assert block(before.replace(b"/", b"") + IDENTIFICATION + between + BLOCK) == TEXT


@given(st.integers(0, len(BLOCK)), st.binary(min_size=1, max_size=60))
@settings(max_examples=300)
def test_noise_inside_is_told_or_missed_by_its_check_alone(at: int, inside: bytes) -> None:
    """The check is one exclusive or: noise that sums to nothing passes it, and nothing else does."""
    try:
        got = block(IDENTIFICATION + BLOCK[:at] + inside + BLOCK[at:])
    except BadAnswer:
        return
    total = 0
    for byte in inside:
        total ^= byte
    assert got in (TEXT, None) or total == 0 or b"\x02" in inside or b"\x03" in inside


def test_one_flipped_bit_never_makes_another_block() -> None:
    for at in range(len(BLOCK)):
        for bit in range(7):
            damaged = BLOCK[:at] + bytes([BLOCK[at] ^ 1 << bit]) + BLOCK[at + 1 :]
            try:
                assert block(IDENTIFICATION + damaged) in (None, TEXT)
            except BadAnswer:
                continue


def test_a_meter_that_never_ends_is_told_before_it_fills_the_memory() -> None:
    with pytest.raises(BadAnswer, match="longer than"):
        Answer(mode="A").feed(IDENTIFICATION + b"\x02" + b"7" * (MAX_READOUT + 1))
    with pytest.raises(BadAnswer, match="no identification"):
        Answer().feed(b"/" * 1000)


@given(st.text(max_size=300))
def test_any_block_is_objects_or_an_error(text: str) -> None:
    try:
        found = parse(text)
    except BadAnswer:
        return
    for data in found:
        for read in READ.values():
            value, _, quality = read(data)
            assert (value is None) == (quality != GOOD)


@given(st.binary(max_size=300))
def test_decode_never_raises(data: bytes) -> None:
    for sent in (data, IDENTIFICATION + data, IDENTIFICATION + b"\x02" + data + b"!\r\n\x03"):
        for found in decode(sent):
            assert isinstance(found, Reading | DeviceError)


@pytest.mark.parametrize("data", [LOGAREX, BLOCK, MANUAL, IDENTIFICATION + b"\x06050\r\n" + BLOCK])
def test_decode_says_all_of_a_readout(data: bytes) -> None:
    found = list(decode(data))
    assert not [error for error in found if isinstance(error, DeviceError)]
    assert len(found) >= 18
    assert {reading.point for reading in found if isinstance(reading, Reading)} >= {"1-0:1.8.0", "1-0:2.8.0"}


@pytest.mark.parametrize("mode", "BDE")
def test_a_mode_that_is_not_read_is_refused_with_a_reason(mode: str) -> None:
    with pytest.raises(ValidationError, match=f"mode {mode} is not read: A and C are"):
        Iec62056Device.model_validate({"mode": mode})
