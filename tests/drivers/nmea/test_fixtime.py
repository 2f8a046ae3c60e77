"""Which sentences tell the time: those of a receiver with a measured fix."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.nmea.fixtime import RECEIVER_LATE_MS, FixTime
from drivers.nmea.framing import Framer, Sentence

BYTE_MS = 10_000 / 4800  # 8N1 at 4800 baud

# u-blox 6 Receiver Description Including Protocol Specification, GPS.G6-SW-10018: the examples of GGA and RMC
GGA = "GPGGA,092725.00,4717.11399,N,00833.91590,E,1,8,1.01,499.6,M,48.0,M,,0"
RMC = "GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A"
RMC_MS = 1_039_422_959_000  # 9 December 2002, 08:35:59 UTC
NO_FIX = "GPRMC,,V,,,,,,,,,,N"  # http://chris.cnie.de/avr/neo-6.html
NOAA = "GPZDA,195959.00,14,01,2020,00,00"  # NOAA PSL, ATOMIC 2020, gps02001420_raw.txt
NOAA_MS = 1_579_031_999_000


def sentences(texts: Iterable[str]) -> list[Sentence]:
    framer = Framer(checksum_required=False)
    found = [one for text in texts for one in framer.feed(f"${text}\r\n".encode())]
    assert all(isinstance(one, Sentence) for one in found)
    return [one for one in found if isinstance(one, Sentence)]


def told(*texts: str) -> list[tuple[int, int] | None]:
    receiver = FixTime(BYTE_MS)
    return [receiver.take(one) for one in sentences(texts)]


def test_rmc_tells_the_time_at_its_end_by_the_bytes_that_were_on_the_line() -> None:
    line_ms = int(len(f"${RMC}*57\r\n") * BYTE_MS)
    assert told(RMC) == [(RMC_MS + line_ms, RECEIVER_LATE_MS + line_ms)]


@pytest.mark.parametrize(
    "text",
    [
        NO_FIX,
        RMC.replace(",A,4", ",V,4"),  # a warning, with a time that a receiver keeps by itself
        RMC[:-1] + "E",  # dead reckoning
        RMC[:-1] + "S",  # simulated
        RMC[:-1] + "N",
        RMC.replace("091202", ""),
        RMC.replace("091202", "310202"),
        RMC.replace("083559.00", "245959.00"),
        RMC.replace("4717.11437,N", ","),
        NOAA,  # nothing says that there is a fix
        GGA,  # has no date
    ],
)
def test_without_a_measured_fix_and_a_date_nothing_is_told(text: str) -> None:
    assert told(text) == [None]


@pytest.mark.parametrize("quality", "0678")
def test_a_gga_that_denies_the_fix_silences_rmc_until_it_is_back(quality: str) -> None:
    denied = GGA.replace(",E,1,", f",E,{quality},")
    first, second, _, third = told(denied, RMC, GGA, RMC)
    assert first is None
    assert second is None
    assert third is not None


def test_zda_counts_beside_a_fix_of_the_same_second_or_the_one_before() -> None:
    def after(second: str) -> tuple[int, int] | None:
        return told(GGA.replace("092725.00", second), NOAA)[1]

    assert after("195959.00") == after("195958.00")
    found = after("195959.00")
    assert found is not None
    assert found[0] - NOAA_MS == found[1] - RECEIVER_LATE_MS == int(len(f"${NOAA}*6A\r\n") * BYTE_MS)
    assert after("195957.00") is None
    assert after("200000.00") is None
    assert after("") is None


def test_zda_at_midnight_counts_beside_the_last_fix_of_the_day() -> None:
    midnight = NOAA.replace("195959.00,14", "000000.00,15")
    assert told(GGA.replace("092725.00", "235959.00"), midnight)[1] is not None


@given(st.lists(st.sampled_from([GGA, RMC, NO_FIX, NOAA, GGA.replace(",E,1,", ",E,0,")]), max_size=12))
def test_nothing_is_told_after_a_denial_until_the_denier_has_a_fix(texts: list[str]) -> None:
    denied: set[str] = set()
    for text, found in zip(texts, told(*texts), strict=True):
        formatter = text[2:5]
        if formatter in ("GGA", "RMC"):
            (denied.add if text == NO_FIX or ",E,0," in text else denied.discard)(formatter)
        assert found is None or not denied
