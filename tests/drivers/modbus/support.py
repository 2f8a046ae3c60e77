"""What the Modbus tests share: a driver from TOML, a sink that decodes for real, and hostile servers."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from config import load as load_config
from drivers.base import Read
from drivers.errors import DeviceError
from drivers.modbus import ModbusDriver
from drivers.setup import prepare
from ext import GOOD, Packer, ScanPlan, Series, Value, unpack

GATEWAY = '[gateway]\nid = "gw"\nsite = "nord"\nkey = "k"\n'
BUS = '[buses.panel]\ndriver = "modbus"\ntransport = "tcp"\nhost = "127.0.0.1"\nport = {port}\ntimeout = "{timeout}"\n'


def make(folder: Path, text: str, port: int = 502, timeout: str = "300ms") -> ModbusDriver:
    """The driver of one bus `panel` with the devices of `text`; raises as `lamppost check` would."""
    file = folder / "lamppost.toml"
    file.write_text(GATEWAY + BUS.format(port=port, timeout=timeout) + text)
    return from_file(file)


def from_file(file: Path) -> ModbusDriver:
    """The driver of the only bus of a configuration."""
    profiles = ModbusDriver.profiles
    assert profiles is not None
    (driver,) = prepare(load_config(file, profiles=[profiles]), lambda _: ModbusDriver)
    assert isinstance(driver, ModbusDriver)
    return driver


def device(name: str, address: int, *points: str, more: str = "") -> str:
    """A device table; a point is `name table register rest...`, the rest as `key=value` in TOML."""
    text = f'[devices.{name}]\nbus = "panel"\naddress = {address}\n{more}\n'
    for point in points:
        title, table, register, *rest = point.split()
        text += f'[devices.{name}.points.{title}]\ntable = "{table}"\nregister = {register}\n'
        text += "".join(f"{part}\n" for part in rest)
    return text


class Values:
    """A sink that decodes payloads with the plans of the packer, as the agent does."""

    def __init__(self, driver: ModbusDriver) -> None:
        self._packer = Packer()
        self._points: list[str] = []
        self._plans: dict[Read, ScanPlan] = {}
        self._scales = {p.point.id: p.point for d in driver.setup.devices for p in d.points}
        self.errors: list[tuple[str, DeviceError]] = []
        self.strangers: list[str] = []

    def scan(self, read: Read, payload: bytes, quality: int = GOOD) -> None:
        if read not in self._plans:
            self._plans[read] = ScanPlan([(layout, self._series(point)) for point, layout in read.points], read.every)
        self._packer.append_scan(self._plans[read], payload, 1, quality)

    def value(self, point: str, value: Value, quality: int = GOOD) -> None:
        raise AssertionError(f"a polled driver gives scans, not {point} = {value!r} ({quality})")

    def values(self, device: str, values: Sequence[tuple[str, Value, int]]) -> None:
        raise AssertionError(f"a polled driver gives scans, not {values} of {device}")

    def failed(self, device: str, error: DeviceError) -> None:
        self.errors.append((device, error))

    def stranger(self, description: str) -> None:
        self.strangers.append(description)

    def time(self, utc_ms: int, accuracy_ms: int) -> None:
        raise AssertionError(f"a meter tells no time: {utc_ms} ms, within {accuracy_ms} ms")

    def decoded(self) -> dict[str, Value]:
        """The good values since the last call."""
        block = self._packer.commit()
        samples = unpack([block]) if block else []
        self._packer.reset()
        assert all(quality == GOOD for *_, quality in samples)
        return {self._points[number - 1]: value for number, _, value, _ in samples}

    def _series(self, point: str) -> Series:
        self._points.append(point)
        multiplier, addend, exponent = self._scales[point].scaling
        sentinels = self._scales[point].sentinel
        return Series(len(self._points), multiplier=multiplier, addend=addend, exponent=exponent, sentinels=sentinels)


Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""Told the request (a whole frame), writes what it likes."""


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator["Server"]:
    """A TCP server on a free port that answers each request frame as `answer` has it, and counts connections."""
    served = Server(answer)
    listener = await asyncio.start_server(served.connected, "127.0.0.1", 0)
    served.port = listener.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        listener.close()
        served.hang_up()


class Server:
    """The state of `server`."""

    def __init__(self, answer: Answer) -> None:
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []
        self._asked = asyncio.Event()
        self._answer = answer
        self._writers: list[asyncio.StreamWriter] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while True:
                frame = await reader.readexactly(12)
                self.requests.append(frame)
                self._asked.set()
                await self._answer(frame, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def asked(self) -> None:
        """Wait until a request has come since the last call."""
        await self._asked.wait()
        self._asked.clear()

    def hang_up(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.close()


def numbers(frame: bytes) -> tuple[int, int, int, int, int]:
    """Transaction, unit, function, address, count of a request frame."""
    transaction, _, _, unit, function, address, count = struct.unpack(">HHHBBHH", frame)
    return transaction, unit, function, address, count


def reply(frame: bytes, pdu: bytes | None = None, *, transaction: int | None = None, unit: int | None = None) -> bytes:
    """An answer to `frame`; registers hold their own addresses when no PDU is given."""
    asked, to, function, address, count = numbers(frame)
    if pdu is None:
        pdu = bytes([function, 2 * count]) + struct.pack(f">{count}H", *range(address, address + count))
    number = asked if transaction is None else transaction
    return struct.pack(">HHHB", number, 0, len(pdu) + 1, to if unit is None else unit) + pdu
