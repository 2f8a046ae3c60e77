"""Answers and frames, with the examples of the standard."""

import time
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drivers.errors import BadAnswer, ExceptionAnswer, NoAnswer
from drivers.modbus.mbap import MAX_FRAME, RECENT, FrameStream, parse_frame
from drivers.modbus.pdu import Request, Table, parse_request, payload

HOLDING = Request(1, Table.HOLDING, 107, 3)  # Modbus Application Protocol V1.1b3, 6.3: registers 108 to 110
ANSWER = bytes.fromhex("03 06 02 2B 00 00 00 64")


def test_registers_come_as_they_are() -> None:
    assert payload(HOLDING, 1, ANSWER) == bytes.fromhex("022B 0000 0064")


def test_coils_come_one_a_byte_lowest_bit_first() -> None:
    # 6.1: outputs 20 to 38; 27 to 20 are CD, binary 1100 1101; 38 to 36 are 05
    data = payload(Request(1, Table.COIL, 19, 19), 1, bytes.fromhex("01 03 CD 6B 05"))
    assert list(data) == [1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("code", "text"),
    [(1, "illegal function"), (2, "illegal data address"), (6, "server device busy"), (10, "gateway path unavailable")],
)
def test_an_exception_has_its_name(code: int, text: str) -> None:
    with pytest.raises(ExceptionAnswer, match=f"exception {code}: {text}") as caught:
        payload(HOLDING, 1, bytes([0x83, code]))
    assert caught.value.code == code


def test_an_unknown_exception_is_one_too() -> None:
    with pytest.raises(ExceptionAnswer, match="exception 99: not a code of the standard"):
        payload(HOLDING, 1, bytes([0x83, 99]))


def test_a_gateway_that_tells_of_a_silent_device_is_no_sign_of_its_life() -> None:
    with pytest.raises(NoAnswer, match="gateway target device failed to respond"):
        payload(HOLDING, 1, bytes([0x83, 11]))


@pytest.mark.parametrize(
    ("unit", "pdu", "text"),
    [
        (2, ANSWER, "asked unit 1, unit 2 answered"),
        (1, b"\x04" + ANSWER[1:], "asked function 3, function 4 answered"),
        (1, bytes([0x84, 2]), "asked function 3, function 132 answered"),
        (1, bytes([0x83]), "asked function 3, function 131 answered"),
        (1, bytes([0x83, 2, 0]), "asked function 3, function 131 answered"),
        (1, bytes([0x03]), "ends after the function code"),
        (1, ANSWER[:-2], "asked for 6 bytes, the answer says 6 and has 4"),
        (1, bytes.fromhex("03 04 02 2B 00 00"), "asked for 6 bytes, the answer says 4 and has 4"),
        (1, bytes.fromhex("03 04 02 2B 00 00 00 64"), "asked for 6 bytes, the answer says 4 and has 6"),
        (1, ANSWER + b"\0\0", "asked for 6 bytes, the answer says 6 and has 8"),
    ],
)
def test_what_is_no_answer_to_the_question(unit: int, pdu: bytes, text: str) -> None:
    with pytest.raises(BadAnswer, match=text):
        payload(HOLDING, unit, pdu)


@given(st.integers(0, 255), st.binary(min_size=1, max_size=253))
def test_any_bytes_give_a_payload_of_the_right_size_or_a_device_error(unit: int, pdu: bytes) -> None:
    for table, count in ((Table.COIL, 19), (Table.INPUT, 4)):
        try:
            data = payload(Request(1, table, 0, count), unit, pdu)
        except (BadAnswer, ExceptionAnswer, NoAnswer):
            continue
        assert len(data) == (count if table.single_bits else 2 * count)


def test_a_frame_and_the_request_in_it() -> None:
    frame = parse_frame(bytes.fromhex("0007 0000 0006 01 03 006B 0003"))
    assert (frame.transaction, frame.unit) == (7, 1)
    assert parse_request(frame.unit, frame.pdu) == HOLDING
    assert parse_request(1, bytes.fromhex("06 006B 0003")) is None


@pytest.mark.parametrize("text", ["", "0007", "0007 0001 0003 01 0300", "0007 0000 0004 01 0300", "0007 0000 0001 01"])
def test_what_is_no_frame(text: str) -> None:
    with pytest.raises(BadAnswer, match="is no Modbus TCP frame"):
        parse_frame(bytes.fromhex(text))


def _frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    return transaction.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu


frames = st.lists(
    st.tuples(st.integers(0, 65535), st.integers(0, 255), st.binary(min_size=1, max_size=253)), max_size=6
)


@given(frames, st.data())
def test_frames_survive_any_cutting_but_behind_a_frame_and_within_a_header(
    sent: list[tuple[int, int, bytes]], data: st.DataObject
) -> None:
    whole, places, at = b"".join(_frame(*frame) for frame in sent), [], 0
    for *_, pdu in sent:
        places += [at, *range(at + 6, at + 7 + len(pdu))]
        at += 7 + len(pdu)
    cuts = sorted(data.draw(st.sets(st.sampled_from(places)))) if places else []
    stream, got = FrameStream(), []
    newest = max((transaction for transaction, *_ in sent), default=0) + 0x8000 & 0xFFFF  # none of these was asked
    assume(all(newest - transaction & 0xFFFF >= RECENT for transaction, *_ in sent))
    for start, end in pairwise([0, *cuts, len(whole)]):
        got += [(f.transaction, f.unit, f.pdu) for f in stream.feed(whole[start:end], newest)]
    assert got == sent
    assert stream.dropped == 0


def test_an_answer_with_something_behind_it_that_is_no_frame_is_not_believed() -> None:
    # two answers that were merged: the first register is the first's, the second half the one's and half the other's
    stream = FrameStream()
    assert list(stream.feed(bytes.fromhex("0007 0000 0007 01 03 04 0001 00") + bytes.fromhex("02 0003 00"), 7)) == []
    assert stream.dropped > 0
    assert [f.pdu for f in stream.feed(_frame(8, 1, ANSWER), 8)] == [ANSWER]


@given(st.lists(st.binary(max_size=600), max_size=10))
def test_garbage_costs_no_memory_and_no_error(chunks: list[bytes]) -> None:
    stream = FrameStream()
    for chunk in chunks:
        list(stream.feed(chunk, 1))
        assert len(stream._rest) < MAX_FRAME


def test_a_flood_of_frames_costs_its_length_not_the_square_of_it() -> None:
    def seconds(frames: int) -> float:
        began = time.process_time()
        assert sum(1 for _ in FrameStream().feed(_frame(1, 1, b"\x83\x02") * frames, 0x8000)) == frames
        return time.process_time() - began

    few = min(seconds(2000) for _ in range(3))
    assert seconds(64_000) < 100 * few  # 32 times as many; 500 and more where all the rest is copied for each


def test_a_frame_that_never_ends_swallows_nothing() -> None:
    stream = FrameStream()
    broken = bytes.fromhex("0001 0000 0064 05 03 62 0000")
    assert list(stream.feed(broken, 1)) == []
    answer = _frame(2, 6, ANSWER)
    assert [f.pdu for f in stream.feed(answer, 2)] == [ANSWER]
    assert stream.dropped == len(broken)


def test_the_late_half_of_an_answer_is_joined_to_it_not_to_the_next() -> None:
    stream = FrameStream()
    late, answer = _frame(1, 5, ANSWER), _frame(2, 6, ANSWER)
    assert list(stream.feed(late[:10], 1)) == []
    assert [f.transaction for f in stream.feed(late[10:] + answer, 2)] == [1, 2]
