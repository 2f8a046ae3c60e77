"""Bytes in any split, with noise anywhere: each whole frame comes out; with a checksum, nothing else does."""

from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.checksums import Checksum, named
from drivers.frame.framing import WORK, Check, Damage, Framer, Framing, Length

# avaldebe/PyPMS, tests/captured_data: frames of a PMS7003 and an SDS011
PLANTOWER = bytes.fromhex("424d001c00000008000800000008000800d20046002d001e00000000970002c5")
NOVA = bytes.fromhex("aac00600060058d93dab")
PMS = Framing(b"\x42\x4d", b"", 32, 32, Check(named("sum16"), 0, -2, -2, "big"))
PMS_LENGTH = Framing(b"\x42\x4d", b"", Length(2, 2, "big", 4), 64, Check(named("sum16"), 0, -2, -2, "big"))
SDS = Framing(b"\xaa\xc0", b"\xab", 10, 10, Check(named("sum8"), 2, -2, -2, "big"))
# flags and escapes as RFC 1662, 4.2 has them: 7d, then the byte with 20 (exclusive or); a length, an exclusive or
HDLC = Framing(b"\x7e", b"\x7e", Length(1, 1, "big", 0), 32, Check(named("xor8"), 1, -2, -2, "big"), 0x7D, 0x20)
ESCAPED = bytes.fromhex("7e 05 7d5e 7b 7e")  # 05 7e, exclusive or 7b
CASES = [(PMS, PLANTOWER), (PMS_LENGTH, PLANTOWER), (SDS, NOVA)]
IDS = ["size", "length", "end"]

noise = st.binary(max_size=80)


def frames(framing: Framing, data: bytes) -> list[bytes]:
    return [one for one in Framer(framing).feed(data) if isinstance(one, bytes)]


@pytest.mark.parametrize(("framing", "frame"), CASES, ids=IDS)
def test_frames_cut_at_every_position(framing: Framing, frame: bytes) -> None:
    both = frame + frame
    for cut in range(len(both) + 1):
        framer = Framer(framing)
        assert [*framer.feed(both[:cut]), *framer.feed(both[cut:])] == [frame, frame]


@pytest.mark.parametrize(("framing", "frame"), CASES, ids=IDS)
def test_every_flipped_bit_costs_that_frame_only(framing: Framing, frame: bytes) -> None:
    """Eighty and more malformed frames of each kind; bytes that a checksum leaves out may differ."""
    for at in range(len(frame)):
        for bit in range(8):
            flipped = bytearray(frame)
            flipped[at] ^= 1 << bit
            found = frames(framing, bytes(flipped) + frame + bytes(64))
            assert found == [frame], (at, bit)


@pytest.mark.parametrize(("framing", "frame"), CASES, ids=IDS)
def test_a_frame_cut_short_costs_itself(framing: Framing, frame: bytes) -> None:
    for cut in range(1, len(frame)):
        assert frames(framing, frame[:cut] + frame + frame + bytes(64)) == [frame, frame], cut


@given(noise, st.sampled_from(CASES))
@example(b"\x42\x4d\x00\x3c", CASES[1])
@example(b"\xaa\xc0\xaa", CASES[2])
def test_noise_before_a_frame_costs_nothing(data: bytes, case: tuple[Framing, bytes]) -> None:
    framing, frame = case
    assert frame in frames(framing, data + frame + bytes(64))


@given(st.lists(noise | st.sampled_from([PLANTOWER, NOVA]), max_size=8), st.sampled_from(CASES), st.data())
def test_the_split_never_matters(parts: list[bytes], case: tuple[Framing, bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = Framer(case[0])
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found = [one for piece in pieces for one in framer.feed(piece) if isinstance(one, bytes)]
    assert found == frames(case[0], stream)


@given(st.lists(st.binary(max_size=500), max_size=10), st.sampled_from([PMS, PMS_LENGTH, SDS, HDLC]))
@example([b"\x42\x4d\xff\xff" * 100] * 5, PMS_LENGTH)
@example([b"\x7e\x7d\x7d" * 100] * 5, HDLC)
@example([b"\x7e" + b"\x01" * 400] + [b"\x01" * 400] * 3, HDLC)  # one that never ends
def test_memory_is_bounded_and_whatever_comes_out_has_its_checksum(parts: list[bytes], framing: Framing) -> None:
    framer = Framer(framing)
    for part in parts:
        for one in framer.feed(part):
            assert isinstance(one, Damage) or framing.check is None or framing.check.holds(one)
        assert len(framer._held) <= 3 * framing.longest


def test_escapes() -> None:
    whole = bytes.fromhex("7e 05 7e 7b 7e")
    assert frames(HDLC, ESCAPED) == [whole]
    assert frames(HDLC, b"\x00\x01\x7e" + ESCAPED + ESCAPED) == [whole, whole]
    for cut in range(len(ESCAPED)):
        assert frames(HDLC, ESCAPED[:cut] + ESCAPED + ESCAPED)[-1:] == [whole]
    assert list(Framer(HDLC).feed(bytes.fromhex("7e 05 7d 7e"))) == [Damage.ESCAPE]


def test_a_length_that_no_frame_has() -> None:
    assert list(Framer(PMS_LENGTH).feed(bytes.fromhex("424dffff"))) == [Damage.LENGTH]
    assert list(Framer(PMS_LENGTH).feed(bytes.fromhex("424d0000"))) == [Damage.CHECKSUM]  # the shortest there can be


@dataclass(frozen=True)
class Counting:
    """CRC-16/MODBUS that notes how many bytes it was asked for."""

    width: int = 16
    asked: list[int] = field(default_factory=list)

    def __call__(self, data: bytes) -> int:
        self.asked.append(len(data))
        return named("CRC-16/MODBUS")(data)


LONG = 1000


@pytest.mark.parametrize("size", [LONG, Length(1, 2, "big", LONG - 0xAAAA)], ids=["size", "length"])
def test_a_stream_of_starts_costs_bounded_work_and_the_frame_behind_it(size: int | Length) -> None:
    count = Counting()
    framer = Framer(Framing(b"\xaa", b"", size, LONG, Check(cast("Checksum", count), 0, -2, -2, "little")))
    body = b"\xaa\xaa\xaa" + bytes(LONG - 5)
    frame = body + named("CRC-16/MODBUS")(body).to_bytes(2, "little")
    flood = b"\xaa" * 30 * LONG
    found = list(framer.feed(flood))
    assert Damage.STARTS in found
    assert sum(count.asked) <= WORK * (len(flood) + LONG)
    assert sum(count.asked) >= 0.9 * WORK * len(flood)  # it does what it may
    found = list(framer.feed(frame * 3))
    assert [one for one in found if isinstance(one, bytes)][-2:] == [frame, frame]
    count.asked.clear()
    assert list(framer.feed(frame * 30)) == [frame] * 30
    assert sum(count.asked) <= 30 * LONG


def test_a_stream_of_starts_is_dropped_alike_in_any_split() -> None:
    framing = Framing(b"\xaa", b"", LONG, LONG, Check(named("CRC-16/MODBUS"), 0, -2, -2, "little"))
    flood = b"\xaa" * 3 * LONG + bytes(LONG)
    whole, pieces = Framer(framing), Framer(framing)
    assert list(whole.feed(flood)) == [one for byte in flood for one in pieces.feed(bytes((byte,)))]


class Unescaping(Framer):
    """Notes how many bytes were looked through for escapes."""

    looked = 0

    def _unescaped(self, data: bytearray) -> bytes | None:
        self.looked += len(data)
        return super()._unescaped(data)


def test_a_stream_of_starts_with_escapes_costs_bounded_work() -> None:
    framing = Framing(b"\x7b", b"\x7e", LONG, LONG, None, 0x7D, 0x20)
    framer = Unescaping(framing)
    flood = (b"\x7b" * (LONG + LONG // 2) + b"\x7e") * 30  # too long for a frame, short enough to be looked through
    found = list(framer.feed(flood))
    assert Damage.STARTS in found
    assert framer.looked <= WORK * (len(flood) + LONG)
