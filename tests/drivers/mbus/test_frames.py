"""Bytes in any split, with noise anywhere: each whole frame comes out once, nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.mbus.exchange import Exchange
from drivers.mbus.frames import MAX_FRAME, Ack, Damage, Frame, Framer
from tests.drivers.mbus.telegrams import HEAT, WATER

RESET = bytes.fromhex("1040014116")  # EN 13757-2: SND_NKE to address 1
noise = st.binary(max_size=300)


def found(data: bytes) -> list[Ack | Frame | Damage]:
    framer = Framer()
    return [*framer.feed(data), *framer.end()]


def frames(data: bytes) -> list[Ack | Frame | Damage]:
    return [one for one in found(data) if isinstance(one, Frame) and one.data]


def test_the_three_kinds() -> None:
    assert found(b"\xe5" + RESET) == [Ack(), Frame(0x40, 1)]
    (heat,) = frames(HEAT)
    assert isinstance(heat, Frame)
    assert (heat.control, heat.address, heat.answer) == (8, 6, True)
    assert heat.encode() == HEAT
    assert Frame(0x40, 1).encode() == RESET


def test_more_than_a_frame_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="256 bytes"):
        Frame(8, 1, bytes(254)).encode()


@given(st.lists(noise | st.sampled_from([HEAT, WATER, RESET, b"\xe5"]), max_size=8), st.data())
def test_the_split_never_matters(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = Framer()
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [*(one for piece in pieces for one in framer.feed(piece)), *framer.end()] == found(stream)


@given(noise, noise)
def test_noise_before_and_after_costs_nothing(before: bytes, after: bytes) -> None:
    heat = frames(HEAT)[0]
    assert heat in frames(before + HEAT + after)


@given(noise, st.integers(0, len(WATER)))
def test_noise_inside_costs_that_frame_alone(inside: bytes, at: int) -> None:
    heat, water = frames(HEAT)[0], frames(WATER)[0]
    kept = frames(HEAT + WATER[:at] + inside + WATER[at:] + HEAT)
    assert kept[0] == kept[-1] == heat
    assert all(one in (heat, water) for one in kept if isinstance(one, Frame) and one.control == 8)


def test_one_altered_byte_never_makes_another_telegram() -> None:
    right = frames(HEAT)
    for at in range(len(HEAT)):
        for bit in range(8):
            altered = bytearray(HEAT)
            altered[at] ^= 1 << bit
            assert frames(bytes(altered)) in ([], right)


def test_an_endless_stream_holds_one_frame() -> None:
    framer = Framer()
    for _ in range(10):
        list(framer.feed(b"\x68\xff\xff\x68" + b"\x68" * 10_000))
    assert len(framer._held) < 2 * MAX_FRAME


@given(st.integers(0, len(RESET)), st.booleans())
def test_an_echo_is_taken_out_in_any_split(cut: int, answered: bool) -> None:
    exchange = Exchange(RESET, lambda one: isinstance(one, Ack))
    assert exchange.feed(RESET[:cut]) is None
    assert exchange.feed(RESET[cut:]) is None
    assert not exchange.begun
    if answered:
        assert exchange.feed(b"\xe5") == Ack()
    else:
        assert exchange.end() is None
        assert exchange.damage is None


def test_an_answer_without_an_echo() -> None:
    exchange = Exchange(RESET, lambda one: isinstance(one, Frame) and one.answer)
    assert exchange.feed(HEAT[:3]) is None
    assert exchange.begun
    assert exchange.feed(HEAT[3:]) == frames(HEAT)[0]


def test_an_answer_behind_what_looked_like_a_longer_frame() -> None:
    exchange = Exchange(RESET, lambda one: isinstance(one, Frame) and one.answer)
    assert exchange.feed(b"\x68\xff\xff\x68" + HEAT) is None
    assert exchange.end() == frames(HEAT)[0]
    assert exchange.damage is not None
