"""From an unknown device on a wire to values in the buffer, as docs/drivers.md shows it: scan, a profile, check."""

import asyncio
import json
import os
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from buffer.keys import SigningKey
from config import load
from drivers import registry
from drivers.decoding import Reading
from drivers.profiled import Readings
from drivers.replay import ReplayDriver
from drivers.setup import prepare
from ext import Value
from gateway.demo.processes import Children
from gateway.setup.installation import profile_folders
from tests.drivers.modbus.cable import Cable

UNIT = 17
# Input registers of an SDM120 (Eastron SDM120Modbus Protocol V2.4): 0 voltage, 70 frequency; 0xFC02 the meter's code.
SDM120 = SimDevice(
    UNIT,
    (
        [SimData(0, values=[False], datatype=DataType.BITS)],
        [SimData(0, values=[False], datatype=DataType.BITS)],
        [SimData(0xFC02, values=[0x0020], datatype=DataType.REGISTERS)],
        [SimData(0, values=[230.5] * 200, datatype=DataType.FLOAT32)],
    ),
)
HOSTILE = ModbusDeviceIdentification(  # type: ignore[no-untyped-call]
    info_name={"VendorName": "Eastron\x1b[31m", "ProductCode": "SDM120"}
)
MAIN = """\
[gateway]
id = "gw-1"
site = "test"
key = "batch.key"
[buffer]
path = "{buffer}"
commit = "200ms"
keep_free = "0B"
"""


class Slow(Cable):
    """A cable that carries nothing but 19200 baud, as a UART at another rate hears noise."""

    def _pass(self, source: int, target: int) -> None:
        self.broken = termios.tcgetattr(self._ours)[5] != termios.B19200
        super()._pass(source, target)


class Lone:
    """One unit on a line: pymodbus would answer for the others as well, with exception 4."""

    def __init__(self) -> None:
        self._unit = 0

    def pdu(self, _: bool, pdu: ModbusPDU) -> ModbusPDU:
        self._unit = pdu.dev_id
        return pdu

    def packet(self, sending: bool, data: bytes) -> bytes:
        return b"" if sending and self._unit != UNIT else data


@asynccontextmanager
async def meter() -> AsyncIterator[str]:
    """The port of a line with the meter on it."""
    lone = Lone()
    async with Slow() as cable:
        server = ModbusSerialServer(
            [SDM120], identity=HOSTILE, framer=FramerType.RTU, port=cable.theirs, baudrate=19200, trace_pdu=lone.pdu,
            trace_packet=lone.packet,
        )  # fmt: skip
        await server.serve_forever(background=True)
        try:
            yield cable.ours
        finally:
            await server.shutdown()  # type: ignore[no-untyped-call]


class Shell:
    """Runs `lamppost` as a technician does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def __call__(self, *words: str, code: int | None = 0) -> tuple[str, str]:
        """What it prints on stdout and stderr."""
        environment = {**os.environ, "LAMPPOST_RUN_DIR": str(self.folder), "COLUMNS": "200"}
        environment["LAMPPOST_CONFIG"] = str(self.folder / "lamppost.toml")
        made = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", *words, env=environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await made.communicate()
        assert code in (None, made.returncode), (words, out, err)
        return out.decode(), err.decode()

    async def until(self, *words: str, holds: str) -> str:
        """Again and again until it prints that."""
        async with asyncio.timeout(30):
            while True:
                out, _ = await self(*words, code=None)  # 69 until the agent is up
                if holds in out:
                    return out
                await asyncio.sleep(0.1)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "lamppost.toml").write_text(MAIN.format(buffer=tmp_path / "buffer.db"))
    (tmp_path / "conf.d").mkdir()
    SigningKey.create(tmp_path / "batch.key")
    return Shell(tmp_path)


async def test_from_a_wire_to_the_buffer(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "conf.d" / "meter.toml"
    async with meter() as port:
        scan = ("--units", "16-18", "--baud", "9600", "--baud", "19200", "--timeout", "100")
        out, err = await shell("scan", "modbus", port, *scan, "--json", "--write", str(file))
        (found,) = json.loads(out)
        assert (found["unit"], found["bus"]["baud"], found["profile"]) == (UNIT, 19200, "eastron-sdm120")
        assert found["identification"] == {"vendor": "Eastron\x1b[31m", "product": "SDM120"}
        assert "this takes at most" in err
        assert "\x1b" not in out + err + file.read_text()
        _, err = await shell("scan", "modbus", port, *scan, "--write", str(file), code=64)
        assert "is there already" in err
        file.write_text(file.read_text().replace('"10s"', '"200ms"'))
        await shell("check")
        children = Children(tmp_path)
        words = ("run", "--run-dir", str(tmp_path), "--config", str(tmp_path / "lamppost.toml"))
        await children.start("agent", [sys.executable, "-m", "gateway", *words])
        try:
            await shell.until("status", "--json", holds='"state":"online"')
            await _used(shell, port)
            frames = await _recorded(shell, f"modbus-{Path(port).name}", tmp_path / "meter.frames")
        finally:
            await children.stop_all()
    out, _ = await shell("export", "eastron-sdm120-17/voltage")
    assert "230.5" in out
    assert "maintenance" in out
    assert frames
    assert await asyncio.to_thread(_replayed, file, tmp_path / "meter.frames") == frames * [230.5]


async def _used(shell: Shell, port: str) -> None:
    """What a technician does beside a running agent."""
    out, _ = await shell("read", "eastron-sdm120-17/voltage", "--json")
    row = json.loads(out)
    assert (row["value"], row["unit"], row["quality"], row["error"]) == (230.5, "V", "good", "")
    _, err = await shell("read", "nobody", code=70)
    assert "no device or point" in err
    out, err = await shell("scan", "modbus", port, "--units", "17", "--baud", "19200", "--parity", "none", "--json")
    assert [one["unit"] for one in json.loads(out)] == [UNIT]
    assert "lent by the running agent" in err
    out, _ = await shell("maintenance", f"modbus-{Path(port).name}", "--for", "100ms")
    assert "is yours for" in out.splitlines()[0]
    assert out.splitlines()[1].endswith("is the agent's again")
    where = ("--unit", str(UNIT), "--table", "input", "--count", "2", "--baud", "19200", "--json")
    out, _ = await shell("read", "--direct", port, *where)
    assert json.loads(out)["values"] == list(struct.unpack(">2H", struct.pack(">f", 230.5)))
    await shell.until("status", "--json", holds='"state":"online"')


async def _recorded(shell: Shell, bus: str, file: Path) -> int:
    """Record some frames; how many of them answer the read that has the voltage."""
    out, _ = await shell("tail", "--frames", bus, "-n", "9", "--json", "--record", str(file))
    rows = [json.loads(line) for line in out.splitlines()]
    assert {row["bus"] for row in rows} == {bus}
    assert all("answer" in row["what"] for row in rows[1:] if not row["sent"])
    asked = [row.get("address") for row in rows]
    return sum(1 for before in asked[:-1] if before == 0)


def _replayed(config: Path, recording: Path) -> list[Value]:
    """The voltages that come of the recording, through the driver replay and the devices that the scan wrote."""
    text = re.sub(
        r"(?s)(\[buses[^\n]*\n).*?\n\n",
        rf'\1driver = "replay"\nof = "modbus"\nfile = "{recording}"\nspeed = 100\nbus = {{ transport = "rtu" }}\n\n',
        config.read_text(),
        count=1,
    )
    file = config.with_name("replayed.toml")
    file.write_text('[gateway]\nid = "gw-1"\nsite = "test"\n' + text)
    (driver,) = prepare(load(file, profiles=profile_folders()), registry.load)
    assert isinstance(driver, ReplayDriver)
    heard = Readings(driver.setup)

    async def play() -> None:
        await driver.open()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await driver.listen(heard)

    asyncio.run(play())
    return [one.value for one in heard.found if isinstance(one, Reading) and one.point == "voltage"]
