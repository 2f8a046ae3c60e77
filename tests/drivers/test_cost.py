"""What a read costs its bus: bits on the line counted by hand, and the waits of standards and configurations."""

from pathlib import Path

import pytest

from drivers.base import AskingDriver
from drivers.frame_query import FrameQueryDriver
from drivers.iec62056.driver import Iec62056Driver
from drivers.mbus.driver import MbusDriver
from drivers.query import QueryDriver
from tests.drivers.support import make

BYTE = 10 * 1000 / 9600
"""ms of 8N1, and of 7E1, at 9600 baud: start, eight bits, stop."""
SLOW = 10 * 1000 / 300
METER = 11 * 1000 / 2400
"""ms of 8E1 at 2400 baud."""
BEGIN = 330 * 1000 / 2400 + 50
"""EN 13757-2: a meter begins to answer within 330 bit times and 50 ms."""

CASES: dict[str, tuple[type[AskingDriver], str, str, float, float]] = {
    # two commands of 4 bytes, answers of 32 assumed; a quiet second after one that was late
    "query": (
        QueryDriver,
        '{ driver = "query", port = "p", timeout = "1s" }',
        'address = "1", profile = "sdi12-meter-teros21"',
        (2 * 4 + 2 * 32) * BYTE,
        4 * BYTE + 2000,
    ),
    # nine bytes each way
    "frame-query": (
        FrameQueryDriver,
        '{ driver = "frame-query", port = "p", timeout = "1s" }',
        'profile = "winsen-mh-z14a"',
        18 * BYTE,
        9 * BYTE + 2000,
    ),
    # "/?!" CR LF, an identification of 20, ACK and 5 more at 300 baud; 1000 at 4800; two reaction times of 200 ms
    "iec62056": (
        Iec62056Driver,
        '{ driver = "iec62056", port = "p" }',
        'profile = "iec-totals"',
        (5 + 20 + 6) * SLOW + 1000 * SLOW / 16 + 400,
        5 * SLOW + 1500,
    ),
    # SND_NKE (5) and E5, REQ_UD2 (5) and 128 assumed; in vain: three tries, rests of 33 bits, 100 ms of the converter
    "mbus": (
        MbusDriver,
        '{ driver = "mbus", port = "p" }',
        'address = 1, points.e = { quantity = "energy", unit = "kWh" }',
        (5 + 1 + 5 + 128) * METER + BEGIN,
        3 * (5 * METER + BEGIN + 100) + 2 * 33 * 1000 / 2400,
    ),
    # the same by its number: 17 bytes select it; all its three telegrams
    "mbus, selected": (
        MbusDriver,
        '{ driver = "mbus", port = "p" }',
        'secondary = "12345678", telegrams = 3, points.e = { quantity = "energy", unit = "kWh" }',
        (17 + 1 + 3 * (5 + 128)) * METER + 4 * BEGIN / 2,
        3 * (17 * METER + BEGIN + 100) + 2 * 33 * 1000 / 2400,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_read_costs(tmp_path: Path, case: str) -> None:
    kind, bus, device, cost, patience = CASES[case]
    driver = make(kind, tmp_path, f'[buses]\nx = {bus}\n[devices]\none = {{ bus = "x", {device} }}\n')
    (read,) = driver.reads()
    assert driver.cost(read) == pytest.approx(cost)
    assert driver.patience(read) == pytest.approx(patience)
    assert driver.probe("one") == read
    assert driver.not_before(read) == 0
