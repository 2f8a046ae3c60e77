"""Bytes in any split, with noise anywhere: each whole line comes out once; with a checksum, nothing else does."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.line.framing import Damage, Framer, Framing
from drivers.line.sums import PROTOCOLS, line_sum

LONGEST = 64

# Lines with checksums of others: Enedis' tests, linkytic's; Vaisala's manuals, IEC 61162-1; SDI-12 1.4
GOLDEN = {
    "tic-historic": [b"ADCO 031664001115 3", b"BASE 007640930 (", b"PTEC HP..  ", b"IINST 001 X", b"HCHC 000723392  "],
    "tic-standard": [b"ADSC\t031664001115\t)", b"EAST\t003519703\t+", b"SMAXSN\tH240210110331\t00986\t6"],
    "nmea": [b"$WIMWV,39,R,1.3,M,A*06", b"$WIMWV,045,R,011.63,N,A*09"],
    "sdi-12": [b"0+3.14OqZ", b"0+3.14+2.718+1.414Ipz", b"0+1.11+2.22+3.33+4.44+5.55+6.66I]q", b"0+7.77+8.88+9.99IvW",
               b"0+3.14+2.718IWO", b"0AP@", b"1+2.7+85.2-0.2-2.7+770.5CAH"],
}  # fmt: skip
CASES = [(name, line) for name, lines in GOLDEN.items() for line in lines]


def framing(check: str = "none", start: bytes = b"") -> Framing:
    return Framing(b"\r\n", start, LONGEST, "ascii", line_sum(check))


@pytest.mark.parametrize(("name", "line"), CASES)
def test_checksums_of_published_lines(name: str, line: bytes) -> None:
    body = PROTOCOLS[name](line)
    assert body is not None
    assert line.startswith(body)
    assert len(body) < len(line)


@pytest.mark.parametrize(("name", "line"), CASES)
def test_one_flipped_bit_is_found(name: str, line: bytes) -> None:
    """Every single bit, but one that Linky's sum of six bits leaves to parity; hex digits may change their case."""
    said = PROTOCOLS[name](line)
    for at in range(len(line)):
        for bit in range(6 if name.startswith("tic") else 8):
            flipped = bytearray(line)
            flipped[at] ^= 1 << bit
            assert PROTOCOLS[name](bytes(flipped)) in (None, said), flipped


@pytest.mark.parametrize(("name", "line"), CASES)
def test_a_line_cut_short_is_found(name: str, line: bytes) -> None:
    """Twenty and more malformed lines of each kind: cut at every position (a sum of six bits may hold by chance)."""
    held = [cut for cut in range(1, len(line)) if PROTOCOLS[name](line[:cut]) is not None]
    assert len(held) <= (1 if name.startswith("tic") else 0)


def test_a_named_sum_stands_in_hex_behind_its_mark() -> None:
    check = line_sum("CRC-16/MODBUS", "*")
    assert check(b"123456789*4B37") == check(b"123456789*4b37") == b"123456789"
    assert check(b"123456789*4B38") is check(b"123456789 4B37") is check(b"*4B37") is check(b"") is None
    with pytest.raises(ValueError, match="its own place"):
        line_sum("nmea", "*")


noise = st.binary(max_size=80)
lines = st.sampled_from([line + b"\r\n" for line in GOLDEN["sdi-12"]])


@given(st.lists(noise | lines, max_size=8), st.data())
def test_the_split_never_matters(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = Framer(framing("sdi-12"))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [one for piece in pieces for one in framer.feed(piece)] == list(Framer(framing("sdi-12")).feed(stream))


@given(st.lists(noise, min_size=1, max_size=8))
def test_noise_costs_at_most_the_line_that_it_touches(parts: list[bytes]) -> None:
    """Noise that ends joins the line after it at the worst; the second line is whole."""
    framer = Framer(framing("sdi-12"))
    for part in parts:
        found = list(framer.feed(part + b"0+3.14OqZ\r\n0+3.14+2.718IWO\r\n"))
        assert found[-1] == "0+3.14+2.718"


@given(st.lists(noise | lines, max_size=12))
def test_nothing_comes_out_that_was_not_sent(parts: list[bytes]) -> None:
    sent = {PROTOCOLS["sdi-12"](line) for line in b"".join(parts).replace(b"\n", b"\r").split(b"\r")}
    for one in Framer(framing("sdi-12"), whole=True).feed(b"".join(parts)):
        assert isinstance(one, Damage) or one.encode() in sent


@given(st.lists(st.binary(max_size=500), max_size=20), st.sampled_from([b"", b"$"]))
@example([b"x" * 500] * 20, b"")
def test_memory_is_bounded(parts: list[bytes], start: bytes) -> None:
    framer = Framer(framing(start=start), whole=True)
    for part in parts:
        for _ in framer.feed(part):
            pass
        assert framer._line is None or len(framer._line) <= LONGEST


def test_the_middle_of_a_line_is_no_line() -> None:
    assert list(Framer(framing()).feed(b"2.5\r\n112.5\r\n")) == ["112.5"]
    assert list(Framer(framing(start=b"$")).feed(b"2.5\r\n$112.5\r\n")) == ["$112.5"]


def test_what_is_no_line_is_told() -> None:
    framer = Framer(framing(start=b"$"))
    assert list(framer.feed(b"$1$2\r\n$\xff\r\n$" + b"3" * LONGEST + b"\r\n$\x00\r\n$4\r\n")) == [
        Damage.UNFINISHED, "$2", Damage.STRANGE, Damage.TOO_LONG, Damage.STRANGE, "$4",
    ]  # fmt: skip
