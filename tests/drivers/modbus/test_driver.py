"""Plans, types and orders, replacement of refused reads, and replay."""

from pathlib import Path

import pytest

from drivers.errors import BadAnswer, ExceptionAnswer, NoAnswer
from drivers.modbus.pdu import Request, Table
from drivers.modbus.recording import RecordingError
from tests.drivers.modbus.support import Values, device, make


def _requests(folder: Path, text: str) -> list[object]:
    return [read.request for read in make(folder, text).reads()]


def test_one_read_for_each_table_and_period(tmp_path: Path) -> None:
    text = device(
        "d",
        7,
        "a holding 0",
        'b holding 5 type="float32"',
        "c input 0",
        "e coil 3",
        "f coil 10",
        "g discrete 0",
        'h holding 2 every="1s"',
        more='every = "5s"',
    )
    reads = make(tmp_path, text).reads()
    assert {(r.request, r.every) for r in reads} == {
        (Request(7, Table.HOLDING, 0, 7), 5000),
        (Request(7, Table.INPUT, 0, 1), 5000),
        (Request(7, Table.COIL, 3, 8), 5000),
        (Request(7, Table.DISCRETE, 0, 1), 5000),
        (Request(7, Table.HOLDING, 2, 1), 1000),
    }


def test_devices_are_never_read_together_and_ten_seconds_is_the_default(tmp_path: Path) -> None:
    reads = make(tmp_path, device("a", 1, "p holding 0") + device("b", 2, "p holding 1")).reads()
    assert [(r.device, r.request, r.every) for r in reads] == [
        ("a", Request(1, Table.HOLDING, 0, 1), 10_000),
        ("b", Request(2, Table.HOLDING, 1, 1), 10_000),
    ]


def test_a_device_keeps_its_own_caps_and_gap(tmp_path: Path) -> None:
    points = ("a holding 0", "b holding 4", "c holding 10", "e coil 0", "f coil 90")
    assert len(_requests(tmp_path, device("d", 1, *points))) == 2
    assert len(_requests(tmp_path, device("d", 1, *points, more="max_gap = 3"))) == 4
    assert len(_requests(tmp_path, device("d", 1, *points, more="max_registers = 5"))) == 3
    assert len(_requests(tmp_path, device("d", 1, *points, more="max_coils = 50"))) == 3


# The bytes of 0x0102030405060708 in the four orders, as the contract names them.
ORDERS = {
    "ABCD": "01 02 03 04 05 06 07 08",
    "CDAB": "07 08 05 06 03 04 01 02",
    "BADC": "02 01 04 03 06 05 08 07",
    "DCBA": "08 07 06 05 04 03 02 01",
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_four_orders_of_sixteen_thirty_two_and_sixty_four_bits(tmp_path: Path, order: str) -> None:
    driver = make(tmp_path, device("d", 1, f'p holding 0 type="uint64" order="{order}"'))
    sink = Values(driver)
    sink.scan(driver.reads()[0], bytes.fromhex(ORDERS[order]))
    assert sink.decoded() == {"d/p": 0x0102030405060708}
    half = {"ABCD": "01 02 03 04", "CDAB": "03 04 01 02", "BADC": "02 01 04 03", "DCBA": "04 03 02 01"}[order]
    driver = make(tmp_path, device("d", 1, f'p holding 0 type="uint32" order="{order}"'))
    sink = Values(driver)
    sink.scan(driver.reads()[0], bytes.fromhex(half))
    assert sink.decoded() == {"d/p": 0x01020304}


def test_types_bits_and_scales(tmp_path: Path) -> None:
    text = device(
        "d",
        1,
        'a holding 0 type="int16" scale=0.1 offset=-40',
        'b holding 1 type="int32"',
        'c holding 3 type="int64"',
        'e holding 7 type="float32"',
        'f holding 9 type="float64"',
        "g holding 13 bit=0",
        "h holding 13 bit=15",
        "i holding 13 bit=8",
        "j holding 13 bit=4 bits=3",
        "k coil 2",
        "l coil 3",
    )
    driver = make(tmp_path, text)
    sink = Values(driver)
    registers, coils = driver.reads()
    sink.scan(
        registers,
        # IEEE 754-2019: -2.5 is C0200000, 0.1 is 3FB999999999999A
        bytes.fromhex("FFFE FFFFFFFD FFFFFFFFFFFFFFFC C0200000 3FB999999999999A 8051"),
    )
    sink.scan(coils, b"\1\0")
    values = sink.decoded()
    assert str(values.pop("d/a")) == "-40.2"
    assert values == {
        "d/b": -3,
        "d/c": -4,
        "d/e": -2.5,
        "d/f": 0.1,
        "d/g": True,
        "d/h": True,
        "d/i": False,
        "d/j": 5,
        "d/k": True,
        "d/l": False,
    }
    assert values["d/g"] is True


def test_a_refused_read_is_replaced_by_parts_until_the_bad_point_stands_alone(tmp_path: Path) -> None:
    points = [f"p{i} holding {i}" for i in range(8)]
    driver = make(tmp_path, device("d", 1, *points, more='every = "1s"'))
    refused = ExceptionAnswer(2, "illegal data address")
    for _ in range(10):
        bad = next(r for r in driver.reads() if any(point == "d/p5" for point, _ in r.points))
        parts = driver.narrower(bad, refused)
        if not parts:
            break
        driver._reads.answered(parts[-1])  # the device lives
        assert bad not in driver.reads()
        assert set(parts) <= set(driver.reads())
    assert [point for point, _ in bad.points] == ["d/p5"]
    assert sorted(point for read in driver.reads() for point, _ in read.points) == [f"d/p{i}" for i in range(8)]
    assert len(driver.reads()) == 4
    assert all(read.every == 1000 for read in driver.reads())


def test_a_refused_gap_costs_one_more_request_only(tmp_path: Path) -> None:
    driver = make(tmp_path, device("d", 1, "a holding 0", "b holding 1", "c holding 9"))
    parts = driver.narrower(driver.reads()[0], ExceptionAnswer(2, ""))
    assert [read.request for read in parts] == [Request(1, Table.HOLDING, 0, 2), Request(1, Table.HOLDING, 9, 1)]


def test_other_errors_divide_nothing(tmp_path: Path) -> None:
    driver = make(tmp_path, device("d", 1, "a holding 0", "b holding 9"))
    (read,) = driver.reads()
    for error in (ExceptionAnswer(4, ""), NoAnswer(""), BadAnswer("")):
        assert driver.narrower(read, error) == ()
    assert driver.reads() == (read,)
    assert driver.narrower(read, ExceptionAnswer(3, ""))
    assert driver.narrower(read, ExceptionAnswer(3, "")) == ()


def test_replay_tells_strangers_and_silence(tmp_path: Path) -> None:
    driver = make(tmp_path, device("d", 1, "a holding 107"))
    sink = Values(driver)
    driver.replay(
        """
        > 0001 0000 0006 01 03 006B 0001   # ours
        > 0002 0000 0006 01 03 0000 0001   # not ours
        < 0009 0000 0005 01 03 02 022B     # nobody asked
        < 00
        """,
        sink,
    )
    assert sink.decoded() == {}
    assert [(name, type(error)) for name, error in sink.errors] == [("d", NoAnswer)]
    assert len(sink.strangers) == 3


@pytest.mark.parametrize("text", ["? 00", "> 0g", "> 0", "0001", "> " + "00" * 1500])
def test_a_recording_that_is_none(tmp_path: Path, text: str) -> None:
    driver = make(tmp_path, device("d", 1, "a holding 107"))
    with pytest.raises(RecordingError, match="line 2: "):
        driver.replay(f"# comment\n{text}\n", Values(driver))
