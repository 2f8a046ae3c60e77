"""Bytes in any split, with noise anywhere: each whole telegram comes out once, nothing else does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import BadAnswer
from drivers.p1.framing import MAX_TELEGRAM, Framer, crc16
from tests.drivers.p1.telegrams import OLD, XS210

TEXT = XS210[: XS210.index(b"!") + 1].decode()

noise = st.binary(max_size=100)
quiet_noise = noise.map(lambda data: data.replace(b"/", b""))


def found(data: bytes, *, required: bool = True) -> list[str | BadAnswer]:
    return list(Framer(checksum_required=required).feed(data))


def whole(data: bytes) -> list[str]:
    return [one for one in found(data) if isinstance(one, str)]


def test_the_checksum_is_that_of_the_catalogue() -> None:
    assert crc16(b"123456789") == 0xBB3D  # CRC-16/ARC in the catalogue of parametrised CRC algorithms


def test_two_telegrams_cut_at_every_position() -> None:
    both = XS210 + XS210
    for cut in range(len(both) + 1):
        framer = Framer()
        assert [*framer.feed(both[:cut]), *framer.feed(both[cut:])] == [TEXT, TEXT]


@given(st.lists(noise | st.sampled_from([XS210, OLD]), max_size=5), st.data())
@settings(max_examples=50)
def test_the_split_never_matters(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = Framer(checksum_required=False)
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    got = [str(one) for piece in pieces for one in framer.feed(piece)]
    assert got == [str(one) for one in found(stream, required=False)]


@given(quiet_noise, noise)
def test_noise_before_and_after_a_telegram_costs_nothing(before: bytes, after: bytes) -> None:
    assert whole(before + XS210 + after)[:1] == [TEXT]


@given(st.integers(0, len(XS210)), noise)
def test_noise_costs_at_most_the_telegram_it_is_in(at: int, inside: bytes) -> None:
    got = whole(XS210 + XS210[:at] + inside + XS210[at:] + XS210)
    assert got[0] == got[-1] == TEXT
    assert set(got) == {TEXT}
    assert len(got) >= 2


def test_one_flipped_bit_never_makes_another_telegram() -> None:
    for at in range(len(XS210)):
        for bit in range(8):
            damaged = XS210[:at] + bytes([XS210[at] ^ 1 << bit]) + XS210[at + 1 :]
            assert whole(damaged) in ([], [TEXT])


@given(st.integers(0, len(XS210) - 3), st.integers(1, 0xFFFF))
def test_a_burst_of_sixteen_bits_never_makes_another_telegram(at: int, burst: int) -> None:
    pattern = burst.to_bytes(2, "big")
    damaged = XS210[:at] + bytes(a ^ b for a, b in zip(XS210[at : at + 2], pattern, strict=True)) + XS210[at + 2 :]
    assert whole(damaged) in ([], [TEXT])


def test_an_endless_telegram_holds_no_memory() -> None:
    framer = Framer()
    damages = [str(one) for _ in range(10) for one in framer.feed(b"/" + b"A" * 3 * MAX_TELEGRAM)]
    assert damages == ["P1 telegram: longer than 8192 bytes"] * 10
    assert list(framer.feed(XS210)) == [TEXT]


def test_an_old_telegram_needs_no_checksum_where_that_is_allowed() -> None:
    assert [type(one) for one in found(OLD, required=False)] == [str]
    assert [str(one) for one in found(OLD)] == ["P1 telegram: no checksum"]


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b" "])
def test_a_checksum_may_be_waived_but_not_be_cut(end: bytes) -> None:
    for digits in (1, 2, 3):
        cut = XS210[: XS210.index(b"!") + 1 + digits] + end
        assert [str(one) for one in found(cut, required=False)] == ["P1 telegram: wrong checksum"]
    assert [str(one) for one in found(XS210[: XS210.index(b"!") + 1] + end, required=False)] == [
        "P1 telegram: no checksum"  # a version that always sends one
    ]
