"""Every transport against servers that are not ours: pymodbus's, and libmodbus in C."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.errors import BusError, ExceptionAnswer, NoAnswer, NotWritable
from drivers.modbus import ModbusDriver
from tests.authority import Authority
from tests.drivers.modbus.cable import Cable
from tests.drivers.modbus.support import GATEWAY, Values, device, from_file

SOURCE = Path(__file__).parent / "libmodbus_server.c"
POINTS = (
    "on coil 3", "off coil 4", "d0 discrete 0",
    'level holding 10 type="int16" scale=0.1', "mode holding 11 bit=4 bits=3",
    'power holding 12 type="float32"', 'volts input 0 type="float32"',
)  # fmt: skip
DEVICES = device("a", 1, *POINTS) + device("gone", 9, "x holding 0")
UNIT = (
    [SimData(3, values=[True, False, True, True], datatype=DataType.BITS)],
    [SimData(0, values=[True, False], datatype=DataType.BITS)],
    [SimData(10, values=[0x8001, 0x0050, 0xC020, 0x0000], datatype=DataType.REGISTERS)],
    [SimData(0, values=[230.25], datatype=DataType.FLOAT32)],
)
EXPECTED = {
    "a/on": "True", "a/off": "False", "a/d0": "True", "a/level": "-3276.7", "a/mode": "5", "a/power": "-2.5",
    "a/volts": "230.25",
}  # fmt: skip
TRANSPORTS = ["tcp", "tls", "rtu", "rtu with echo", "rtu-over-tcp", "ascii", "ascii with echo"]


def make(folder: Path, bus: str, devices: str = DEVICES) -> ModbusDriver:
    file = folder / "lamppost.toml"
    file.write_text(f'{GATEWAY}[buses.panel]\ndriver = "modbus"\ntimeout = "400ms"\n{bus}\n{devices}')
    return from_file(file)


class _Mute:
    """Keeps a server from answering for units that are not there: pymodbus would send exception 4 for them."""

    def __init__(self) -> None:
        self._unit = 0

    def pdu(self, _: bool, pdu: ModbusPDU) -> ModbusPDU:
        self._unit = pdu.dev_id
        return pdu

    def packet(self, sending: bool, data: bytes) -> bytes:
        return b"" if sending and self._unit != 1 else data


@asynccontextmanager
async def served(folder: Path, transport: str) -> AsyncIterator[str]:
    """The bus table for a server of pymodbus with `UNIT` behind that transport."""
    units, mute = [SimDevice(1, UNIT)], _Mute()
    traces: dict[str, Any] = {"trace_pdu": mute.pdu, "trace_packet": mute.packet}
    kind, _, echo = transport.partition(" with ")
    async with AsyncExitStack() as stack:
        server: Any
        if kind in ("rtu", "ascii"):
            cable = await stack.enter_async_context(Cable(echo=bool(echo)))
            framer = FramerType.RTU if kind == "rtu" else FramerType.ASCII
            server = ModbusSerialServer(
                units, framer=framer, port=cable.theirs, baudrate=115200, **traces
            )  # fmt: skip
            bus = f'transport = "{kind}"\nport = "{cable.ours}"\nbaud = 115200'
            if kind == "ascii":
                bus += '\ndata_bits = 8\nparity = "none"'  # a pty takes nothing else
        elif kind == "tls":
            authority = await asyncio.to_thread(Authority, folder, "authority")
            context, bus = await asyncio.to_thread(_secure, authority)
            server = ModbusTlsServer(
                units, framer=FramerType.SOCKET, address=("127.0.0.1", 0), sslctx=context, **traces
            )
        else:
            framer = FramerType.SOCKET if kind == "tcp" else FramerType.RTU
            server = ModbusTcpServer(units, framer=framer, address=("127.0.0.1", 0), **traces)
            bus = f'transport = "{kind}"\nhost = "127.0.0.1"'
        await server.serve_forever(background=True)
        stack.push_async_callback(server.shutdown)
        if kind not in ("rtu", "ascii"):
            bus += f"\nport = {server.transport.sockets[0].getsockname()[1]}"
        yield bus


def _secure(authority: Authority) -> tuple[ssl.SSLContext, str]:
    """A server that wants a client's certificate, and the bus table of a client that has one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    cert, key = authority.issue("client")
    return context, f'transport = "tls"\nhost = "127.0.0.1"\nca = "{authority.file}"\ncert = "{cert}"\nkey = "{key}"'


async def _all(driver: ModbusDriver) -> dict[str, str]:
    sink = Values(driver)
    for read in driver.reads():
        if read.device == "a":
            await driver.ask(read, sink)
    return {point: str(value) for point, value in sink.decoded().items()}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_reads_writes_silence_and_refusal_over_every_transport(tmp_path: Path, transport: str) -> None:
    more = device("b", 1, "c holding 500", more="mask_write = true\nwrite_multiple = true")
    async with served(tmp_path, transport) as bus:
        driver = await asyncio.to_thread(make, tmp_path, bus, DEVICES + more)
        await driver.open()
        with suppress(NoAnswer):
            await driver.write("gone/x", 1)  # the first question of all: an echo must not pass for its answer
            pytest.fail("nobody is there to have written")
        assert await _all(driver) == EXPECTED
        silent, refused = (next(r for r in driver.reads() if r.device == name) for name in ("gone", "b"))
        with pytest.raises(NoAnswer):
            await driver.read(silent)
        with pytest.raises(ExceptionAnswer, match="illegal data address"):
            await driver.read(refused)
        await driver.write("a/off", True)
        await driver.write("a/level", 12.5)
        await driver.write("a/power", 0.5)
        with pytest.raises(NotWritable, match="function 22"):
            await driver.write("a/mode", 2)
        with pytest.raises(NotWritable):
            await driver.write("a/volts", 2)
        with pytest.raises(ExceptionAnswer, match="illegal data address"):
            await driver.write("b/c", 7)
        assert await _all(driver) == EXPECTED | {"a/off": "True", "a/level": "12.5", "a/power": "0.5"}
        await driver.close()


async def test_bits_of_a_register_by_function_22(tmp_path: Path) -> None:
    async with served(tmp_path, "tcp") as bus:
        text = device("a", 1, "mode holding 11 bit=4 bits=3", "rest holding 11", more="mask_write = true")
        driver = await asyncio.to_thread(make, tmp_path, bus, text)
        await driver.open()
        await driver.write("a/mode", 2)
        assert await _all(driver) == {"a/mode": "2", "a/rest": str(0x0020)}
        await driver.close()


async def test_a_server_of_another_authority_or_name_is_not_believed(tmp_path: Path) -> None:
    async with served(tmp_path, "tls") as bus:
        other = await asyncio.to_thread(Authority, tmp_path, "other")
        wrong = await asyncio.to_thread(make, tmp_path, bus.replace("/authority.pem", "/other.pem"))
        assert other.file.name == "other.pem"
        with pytest.raises(BusError, match="its certificate is not accepted"):
            await wrong.open()
        wrong = await asyncio.to_thread(make, tmp_path, bus + '\nserver_name = "meter.example"')
        with pytest.raises(BusError, match="its certificate is not accepted"):
            await wrong.open()


async def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("junk")
    for keys, message in (
        ('ca = "{}/none"', "cannot use {}/none: no such file or directory"),
        ('ca = "{}/junk"', "cannot use {}/junk: no certificate or crl found"),
        ('cert = "{}/none"\nkey = "{}/junk"', "cannot use {}/none with {}/junk: no such file or directory"),
        ('cert = "{}/junk"\nkey = "{}/junk"', "cannot use {}/junk with {}/junk: no pem file"),
    ):
        bus = 'transport = "tls"\nhost = "127.0.0.1"\n' + keys.replace("{}", str(tmp_path))
        driver = await asyncio.to_thread(make, tmp_path, bus)
        with pytest.raises(BusError, match=message.replace("{}", str(tmp_path))):
            await driver.open()


@pytest.fixture
def libmodbus(tmp_path: Path) -> str:
    """The path of the C server; skips where there is no compiler or no libmodbus."""
    program = tmp_path / "libmodbus_server"
    try:
        subprocess.run(["cc", "-o", program, SOURCE, "-lmodbus"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no C compiler, or no libmodbus (Debian package libmodbus-dev): {error}")
    return str(program)


@asynccontextmanager
async def _started(program: str, *arguments: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(program, *arguments, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize("kind", ["tcp", "rtu"])
async def test_libmodbus(tmp_path: Path, libmodbus: str, free_port: int, kind: str) -> None:
    points = (
        "h holding 7",
        "i input 99",
        "c coil 3",
        "d discrete 4",
        'wide holding 20 type="uint32"',
        "k holding 30 bit=0",
    )
    text = device("a", 1, *points, more="mask_write = true")
    async with AsyncExitStack() as stack:
        if kind == "tcp":
            await stack.enter_async_context(_started(libmodbus, "tcp", str(free_port)))
            bus = f'transport = "tcp"\nhost = "127.0.0.1"\nport = {free_port}'
        else:
            cable = await stack.enter_async_context(Cable())
            await stack.enter_async_context(_started(libmodbus, "rtu", cable.theirs))
            bus = f'transport = "rtu"\nport = "{cable.ours}"\nbaud = 115200'
        driver = await asyncio.to_thread(make, tmp_path, bus, text)
        await driver.open()
        found = {
            "a/h": "1007",
            "a/i": "1099",
            "a/c": "True",
            "a/d": "False",
            "a/wide": str(1020 << 16 | 1021),
            "a/k": "False",
        }
        assert await _all(driver) == found
        await driver.write("a/h", 65535)
        await driver.write("a/c", False)
        await driver.write("a/wide", 0xDEADBEEF)
        await driver.write("a/k", True)
        new = {"a/h": "65535", "a/c": "False", "a/wide": str(0xDEADBEEF), "a/k": "True"}
        assert await _all(driver) == found | new
        await driver.close()
