"""Bytes in any split, with noise anywhere: each whole sentence comes out once, nothing else does."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.decoding import Reading
from drivers.nmea.decode import decode
from drivers.nmea.framing import MAX_SENTENCE, Damage, Framer, Sentence
from ext import GOOD

# The examples of their makers: Vaisala WMT700 (MWV), u-blox 6 protocol specification (RMC)
WIND = b"$WIMWV,045,R,011.63,N,A*09\r\n"
PLACE = b"$GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A*57\r\n"
WIND_READ = Sentence("WI", "MWV", ("045", "R", "011.63", "N", "A"))

noise = st.binary(max_size=200)
quiet_noise = noise.map(lambda data: data.replace(b"$", b""))


def found(data: bytes) -> list[Sentence | Damage]:
    return list(Framer().feed(data))


def sentences(data: bytes) -> list[Sentence]:
    return [one for one in found(data) if isinstance(one, Sentence)]


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
def test_a_sentence_ends_with_either_of_its_two_terminators(end: bytes) -> None:
    assert found(WIND.rstrip() + end) == [WIND_READ]


def test_lower_case_checksums_are_taken() -> None:
    line = b"$GPGGA,092725.00,4717.11399,N,00833.91590,E,1,8,1.01,499.6,M,48.0,M,,0*5"
    assert sentences(line + b"b\r\n") == sentences(line + b"B\r\n") != []


def test_two_sentences_cut_at_every_position() -> None:
    whole, both = found(WIND + PLACE), WIND + PLACE
    assert len(whole) == 2
    for cut in range(len(both) + 1):
        framer = Framer()
        assert [*framer.feed(both[:cut]), *framer.feed(both[cut:])] == whole


@given(st.lists(noise | st.sampled_from([WIND, PLACE]), max_size=8), st.data())
def test_the_split_never_matters(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = Framer()
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [one for piece in pieces for one in framer.feed(piece)] == found(stream)


@given(quiet_noise, noise)
def test_noise_before_and_after_a_sentence_costs_nothing(before: bytes, after: bytes) -> None:
    assert sentences(before + WIND + after)[:1] == [WIND_READ]


@given(noise)
def test_noise_costs_at_most_the_sentence_it_is_in(inside: bytes) -> None:
    for at in range(len(WIND)):
        stream = PLACE + WIND[:at] + inside + WIND[at:] + PLACE
        assert sentences(stream)[0] == sentences(PLACE)[0]
        assert sentences(stream)[-1] == sentences(PLACE)[0]


@pytest.mark.parametrize("sentence", [WIND, PLACE])
def test_one_altered_byte_never_makes_another_sentence(sentence: bytes) -> None:
    right = sentences(sentence)
    for at in range(len(sentence)):
        for byte in range(256):
            assert sentences(sentence[:at] + bytes([byte]) + sentence[at + 1 :]) in ([], right)


def test_what_is_wrong_is_said() -> None:
    cases = {
        WIND[:10] + WIND: Damage.UNFINISHED,
        b"$WIMWV," + b"1" * MAX_SENTENCE: Damage.TOO_LONG,
        b"$WIMWV,\xff": Damage.STRANGE_BYTE,
        b"$WIMWV,\t": Damage.STRANGE_BYTE,
        b"$\r\n": Damage.NO_SENTENCE,
        b"$wimwv,045,R,011.63,N,A*09\r\n": Damage.CHECKSUM,
        b"$GPBOD,,T,,M,,*\r\n": Damage.NO_SENTENCE,
        b"$WIMWV,045,R,011.63,N,A*0\r\n": Damage.NO_SENTENCE,
        b"$WIMWV,045,R,011.63,N,A*0G\r\n": Damage.NO_SENTENCE,
        b"$WIMWV,045,R*011.63,N,A*09\r\n": Damage.NO_SENTENCE,
        b"$WIMWV,045,R,011.63,N,A\r\n": Damage.NO_CHECKSUM,
        b"$WIMWV,045,R,011.63,N,A*08\r\n": Damage.CHECKSUM,
        b"$PSRFTXTBaud rate: 57600 *52\r\n": Damage.CHECKSUM,
    }
    for data, damage in cases.items():
        assert found(data)[0] is damage, data


def test_sentences_of_makers_and_of_ais_are_passed_over() -> None:
    assert found(b"$PSRFTXTBaud rate: 57600 *51\r\n!AIVDO,1,1,,,B3aC3LP00063aj7RNpl03wSUwP06,0*43\r\n") == []
    assert found(b"$LOG108,1,100,100,0,0,5,0,4,462*61\r\n") == []


def test_a_makers_own_sentence_is_not_taken_for_a_standard_one() -> None:
    assert found(b"$PGRMC,A,545.0,100*3D\r\n$PQGSA,A,3,12,,,,,,,,,,,,1.2,0.9,0.9,4*3C\r\n") == []


def test_a_whole_sentence_without_its_terminators_is_whole() -> None:
    assert found(WIND.rstrip() + PLACE) == found(WIND + PLACE)
    assert len(found(WIND + PLACE)) == 2


def test_the_longest_sentence_is_taken_and_one_more_character_is_not() -> None:
    body = b"WIXDR," + b"1" * (MAX_SENTENCE - 12)
    checksum = 0
    for byte in body:
        checksum ^= byte
    line = b"$%s*%02X\r\n" % (body, checksum)
    assert len(line) == MAX_SENTENCE
    assert len(sentences(line)) == 1
    assert found(line[:8] + b"1" + line[8:])[0] is Damage.TOO_LONG


def test_an_endless_line_holds_no_memory() -> None:
    framer = Framer()
    damages = sum(1 for _ in range(100) for _ in framer.feed(b"$" + b"A" * 10_000))
    assert damages == 100
    assert list(framer.feed(WIND)) == [WIND_READ]


def test_checksums_may_be_waived_but_not_be_wrong() -> None:
    framer = Framer(checksum_required=False)
    assert list(framer.feed(b"$WIMWV,045,R,011.63,N,A\r\n")) == [replace(WIND_READ, summed=False)]
    assert list(framer.feed(b"$WIMWV,045,R,011.63,N,A*08\r\n")) == [Damage.CHECKSUM]


def test_a_talker_that_sends_checksums_sends_them_always() -> None:
    framer = Framer(checksum_required=False)
    assert list(framer.feed(WIND)) == [WIND_READ]
    assert list(framer.feed(b"$WIMWV,045,R,011.6\r\n")) == [Damage.NO_CHECKSUM]
    assert list(framer.feed(b"$IIMWV,045,R,011.63,N,A\r\n")) == [replace(WIND_READ, talker="II", summed=False)]


def test_blanks_behind_a_checksum_do_not_count() -> None:
    assert found(WIND.rstrip() + b"  \r\n") == [WIND_READ]


@pytest.mark.parametrize("sentence", [WIND, PLACE])
def test_a_cut_sentence_of_a_capture_is_never_good(sentence: bytes) -> None:
    sent = [one for one in decode(sentence) if isinstance(one, Reading)]
    for size in range(len(sentence.rstrip())):
        alone = [one for one in decode(sentence[:size]) if isinstance(one, Reading)]
        assert all(one.quality != GOOD for one in alone)
        after = [one for one in decode(sentence + sentence[:size]) if isinstance(one, Reading)]
        assert after == sent
