"""Bytes in any split, with noise anywhere: each whole file comes out once, nothing else does."""

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import BadAnswer
from drivers.sml.framing import MAX_FILE, START, Framer, crc16
from tests.drivers.sml.files import HOLLEY, ISKRA

noise = st.binary(max_size=100) | st.lists(st.sampled_from([b"\x1b", b"\x01", b"\x1a", b"\x00"])).map(b"".join)


def found(data: bytes) -> list[bytes | BadAnswer]:
    return list(Framer().feed(data))


def whole(data: bytes) -> list[bytes]:
    return [one for one in found(data) if isinstance(one, bytes)]


(CONTENT,) = whole(ISKRA)


def test_the_checksums_are_those_of_the_catalogue() -> None:
    # CRC-16/IBM-SDLC (X.25) and CRC-16/KERMIT in the catalogue of parametrised CRC algorithms
    assert (crc16(b"123456789"), crc16(b"123456789", 0, 0)) == (0x906E, 0x2189)


def test_two_files_cut_at_every_position() -> None:
    both = ISKRA + ISKRA
    for cut in range(len(both) + 1):
        framer = Framer()
        assert [*framer.feed(both[:cut]), *framer.feed(both[cut:])] == [CONTENT, CONTENT]


@given(st.lists(noise | st.sampled_from([ISKRA, HOLLEY]), max_size=5), st.data())
@settings(max_examples=50)
def test_the_split_never_matters(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = Framer()
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [str(one) for piece in pieces for one in framer.feed(piece)] == [str(one) for one in found(stream)]


@given(noise, noise)
def test_noise_before_and_after_a_file_costs_nothing_but_that_file(before: bytes, after: bytes) -> None:
    got = whole(before + ISKRA + after + ISKRA + ISKRA)
    assert set(got) == {CONTENT}
    assert len(got) >= 2


@given(st.integers(0, len(ISKRA)), noise)
@settings(max_examples=200)
def test_noise_costs_at_most_the_file_it_is_in(at: int, inside: bytes) -> None:
    got = whole(ISKRA + ISKRA[:at] + inside + ISKRA[at:] + ISKRA)
    assert set(got) == {CONTENT}
    assert len(got) >= 2


def test_one_flipped_bit_never_makes_another_file() -> None:
    for at in range(len(ISKRA)):
        for bit in range(8):
            damaged = ISKRA[:at] + bytes([ISKRA[at] ^ 1 << bit]) + ISKRA[at + 1 :]
            assert whole(damaged) in ([], [CONTENT])


def test_an_endless_file_holds_no_memory() -> None:
    framer = Framer()
    damages = [str(one) for _ in range(5) for one in framer.feed(START + b"A" * 3 * MAX_FILE)]
    assert damages == [f"SML file: longer than {MAX_FILE} bytes"] * 5
    assert list(framer.feed(ISKRA)) == [CONTENT]
