"""What a configuration may say, what it may not, and how that is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import SetupError
from drivers.modbus.point import PointOptions
from tests.drivers.modbus.support import GATEWAY, device, from_file, make


def _problems(folder: Path, text: str) -> list[tuple[str, str, object]]:
    with pytest.raises(SetupError) as caught:
        make(folder, text)
    return list(caught.value.problems)


def _bus_problems(folder: Path, bus: str) -> list[tuple[str, str, object]]:
    file = folder / "lamppost.toml"
    file.write_text(GATEWAY + f'[buses.panel]\ndriver = "modbus"\n{bus}\n')
    with pytest.raises(SetupError) as caught:
        from_file(file)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("bus", "key"),
    [
        ('transport = "smoke"', "transport"),
        ('host = "a"', "transport"),
        ('transport = "tcp"\nhost = "a"\nbaud = 9600', "baud"),
        ('transport = "rtu"\nport = 502', "port"),
        ('transport = "rtu"\nport = "/dev/x"\nhost = "a"', "host"),
        ('transport = "rtu"\nport = "/dev/x"\ndata_bits = 7', "data_bits"),
        ('transport = "rtu"\nport = "/dev/x"\nparity = "E"', "parity"),
        ('transport = "rtu"\nport = "/dev/x"\nrs485 = { rts_on_sent = true }', "rs485.rts_on_sent"),
        ('transport = "rtu"\nport = "/dev/x"\nrs485 = { delay_before = "2s" }', "rs485.delay_before"),
        ('transport = "rtu-over-tcp"\nhost = "a"', "port"),
        ('transport = "rtu-over-tcp"\nhost = "a"\nport = 4001\nparity = "even"', "parity"),
        ('transport = "ascii"\nport = "/dev/x"\ncert = "a"', "cert"),
        ('transport = "tls"\nhost = "a"\ncipher = "b"', "cipher"),
        ('transport = "tcp"', "host"),
        ('transport = "tcp"\nhost = ""', "host"),
        ('transport = "tcp"\nhost = "a b"', "host"),
        ('transport = "tcp"\nhost = "a"\nport = 0', "port"),
        ('transport = "tcp"\nhost = "a"\nport = "502"', "port"),
        ('transport = "tcp"\nhost = "a"\nport = 65536', "port"),
        ('transport = "tcp"\nhost = "a"\ntimeout = "0s"', "timeout"),
        ('transport = "tcp"\nhost = "a"\ntimeout = "2m"', "timeout"),
        ('transport = "tcp"\nhost = "a"\ntimeout = "soon"', "timeout"),
        ('transport = "tcp"\nhost = "a"\nhots = "b"', "hots"),
    ],
)
def test_a_bus_that_is_wrong(tmp_path: Path, bus: str, key: str) -> None:
    assert [path for path, _, _ in _bus_problems(tmp_path, bus)] == [f"buses.panel.{key}"]


@pytest.mark.parametrize(
    ("address", "more", "key"),
    [
        (256, "", "address"),
        (-1, "", "address"),
        (1, "max_registers = 126", "max_registers"),
        (1, "max_registers = 0", "max_registers"),
        (1, "max_coils = 2001", "max_coils"),
        (1, "max_gap = -1", "max_gap"),
        (1, 'adress = "x"', "adress"),
    ],
)
def test_a_device_that_is_wrong(tmp_path: Path, address: int, more: str, key: str) -> None:
    assert [path for path, _, _ in _problems(tmp_path, device("d", address, more=more))] == [f"devices.d.{key}"]


@pytest.mark.parametrize("bus", ['transport = "rtu"\nport = "/dev/x"', 'transport = "ascii"\nport = "/dev/x"',
                                 'transport = "rtu-over-tcp"\nhost = "a"\nport = 4001'])  # fmt: skip
def test_unit_0_of_a_line_is_everybody(tmp_path: Path, bus: str) -> None:
    ((path, message, _),) = _bus_problems(tmp_path, bus + "\n" + device("d", 0, "p holding 1"))
    assert path == "devices.d.address"
    assert "nobody answers" in message
    assert make(tmp_path, device("d", 0, "p holding 1")).reads()  # a TCP server that is itself the device


@pytest.mark.parametrize(
    ("point", "key"),
    [
        ("p holdings 1", ".table"),
        ("p holding -1", ".register"),
        ('p holding "1"', ".register"),
        ("p holding true", ".register"),
        ('p holding 1 type="uint17"', ".type"),
        ('p holding 1 type="uint32" order="ABDC"', ".order"),
        ('p holding 1 type="uint32" order="HGFEDCBA"', ""),
        ('p holding 1 type="bool"', ""),
        ('p holding 1 type="bool" bit=16', ""),
        ("p holding 1 bit=16 bits=1", ""),
        ("p holding 1 bit=8 bits=9", ""),
        ('p holding 1 type="float32" bit=1 bits=1', ""),
        ('p coil 1 type="uint16"', ""),
        ("p coil 1 bit=0", ""),
        ('p discrete 1 order="ABCD"', ""),
        ("p holding 65536", ".register"),
        ('p holding 65535 type="uint32"', ".register"),
        ("p holding 1 scael=2", ".scael"),
    ],
)
def test_a_point_that_is_wrong(tmp_path: Path, point: str, key: str) -> None:
    assert [path for path, _, _ in _problems(tmp_path, device("d", 1, point))] == [f"devices.d.points.p{key}"]


@pytest.mark.parametrize(
    ("table", "number", "meant"),
    [
        ("holding", 40013, 'table = "holding", register = 12'),
        ("holding", 400013, 'table = "holding", register = 12'),
        ("holding", 465536, 'table = "holding", register = 65535'),
        ("holding", 30013, 'table = "input", register = 12'),
        ("input", 30001, 'table = "input", register = 0'),
        ("discrete", 10197, 'table = "discrete", register = 196'),
        ("coil", 10197, 'table = "discrete", register = 196'),
    ],
)
def test_a_number_of_the_old_notation_is_told_what_it_means(
    tmp_path: Path, table: str, number: int, meant: str
) -> None:
    ((path, message, found),) = _problems(tmp_path, device("d", 1, f"p {table} {number}"))
    assert (path, found) == ("devices.d.points.p.register", number)
    assert meant in message


def test_high_registers_are_taken_as_they_stand_where_a_device_says_so(tmp_path: Path) -> None:
    driver = make(tmp_path, device("d", 1, "p holding 40000", "q holding 40001", more="high_registers = true"))
    (read,) = driver.reads()
    assert "address=40000, count=2" in repr(read.request)


def test_a_number_of_the_other_kind_of_table_is_an_address(tmp_path: Path) -> None:
    assert make(tmp_path, device("d", 1, "p holding 10013", "q coil 40013")).reads()


def test_a_type_wider_than_the_device_gives_in_one_answer(tmp_path: Path) -> None:
    text = device("d", 1, 'p holding 1 type="float64"', more="max_registers = 2")
    ((path, message, _),) = _problems(tmp_path, text)
    assert path == "devices.d.points.p.type"
    assert "float64 takes 4 registers, but max_registers is 2" in message


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = device("a", 300, "p x 1") + device("b", 1, 'q coil 1 type="int16"')
    paths = [path for path, _, _ in _problems(tmp_path, text)]
    assert paths == ["devices.a.address", "devices.a.points.p.table", "devices.b.points.q"]


@given(
    st.sampled_from(["holding", "input"]),
    st.integers(0, 100),
    st.sampled_from([None, "uint16", "int32", "uint64", "float32", "bool"]),
    st.none() | st.integers(-1, 70),
    st.none() | st.integers(0, 70),
)
def test_a_point_that_is_taken_lies_within_its_registers(
    table: str, register: int, kind: str | None, bit: int | None, bits: int | None
) -> None:
    raw = {"table": table, "register": register, "type": kind, "bit": bit, "bits": bits}
    try:
        point = PointOptions.model_validate(raw)
    except ValueError:
        return
    layout = point.layout(register)
    assert layout.offset >= 0
    assert layout.offset + layout.width <= 2 * point.count


@pytest.mark.parametrize(
    ("point", "key"),
    [
        ('p holding 0 values={0="off"} scale=0.1', "scale"),
        ('p holding 0 values={0="off"} limits={min=0}', "limits"),
        ('p holding 0 type="string" length=2 offset=1', "offset"),
        ('p holding 0 type="string" length=2 counter={max_step=1}', "counter"),
        ('p holding 0 type="string" length=2 report={on="change",deadband=1}', "report.deadband"),
        ('p holding 0 type="string" length=2 report={on="window",window="1m"}', "report.window"),
        ('p holding 0 values={65536="on"}', "values"),
        ('p holding 0 values={-1="on"}', "values"),
        ('p holding 0 type="int16" values={65535="on"}', "values"),
        ('p holding 0 type="bcd16" values={10000="on"}', "values"),
        ('p holding 0 type="m10k32" values={100000000="on"}', "values"),
        ('p holding 0 bit=3 bits=2 values={4="on"}', "values"),
        ('p coil 0 values={2="on"}', "values"),
        ("p holding 0 scale_register=40013", "scale_register"),
        ("p holding 0 scale_register=1 sentinel=65536", "sentinel"),
        ('p holding 0 type="string" length=2 sentinel=0', "sentinel"),
        ('p holding 65535 type="string" length=2', "register"),
    ],
)
def test_what_a_text_or_a_scale_register_cannot_be(tmp_path: Path, point: str, key: str) -> None:
    assert [path for path, _, _ in _problems(tmp_path, device("d", 1, point))] == [f"devices.d.points.p.{key}"]


def test_a_string_longer_than_the_device_gives_in_one_answer(tmp_path: Path) -> None:
    text = device("d", 1, 'p holding 0 type="string" length=9', more="max_registers = 8")
    ((path, message, _),) = _problems(tmp_path, text)
    assert path == "devices.d.points.p.length"
    assert "string takes 9 registers, but max_registers is 8" in message
