"""`lamppost scan mbus`: by address, by number, with collisions; what it writes is a configuration; a bus in service."""

import asyncio
import json
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from drivers.errors import BusError, NoAnswer
from drivers.mbus import MbusDriver
from drivers.mbus.wire import Tcp
from gateway.cli.scan import command
from gateway.control.sockets import status_socket
from tests.drivers.line import Line
from tests.drivers.mbus.slaves import Bus, Slave
from tests.drivers.mbus.telegrams import HEAT, WATER, readdressed
from tests.drivers.support import GATEWAY, WAIT_SECONDS, make

TWIN = readdressed(HEAT, 7, "45000000")
"""The same kind of meter, whose number begins with the same digit."""


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


@pytest.fixture
def meters(line: Line) -> Iterator[Line]:
    """A line with three meters, in a thread of its own since the command has an event loop of its own."""
    loop = asyncio.new_event_loop()
    slaves = (Slave(6, [HEAT]), Slave(7, [TWIN]), Slave(0, [WATER]))
    task = loop.create_task(Bus(line, *slaves).serve())
    thread = Thread(target=lambda: loop.run_until_complete(asyncio.wait((task,))))
    thread.start()
    yield line
    loop.call_soon_threadsafe(task.cancel)
    thread.join()
    loop.close()


def scan(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["mbus", *arguments, "--baud", "38400"])


def test_by_address(meters: Line, tmp_path: Path) -> None:
    done = scan(meters.path, "--by", "address", "--last", "8", "--json", "--run-dir", str(tmp_path))
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [(one["address"], one["number"], one["manufacturer"]) for one in found] == [
        (0, "08021382", "LSE"), (6, "44493951", "ELS"), (7, "45000000", "ELS")
    ]  # fmt: skip


def test_by_number_and_what_is_written_is_a_configuration(meters: Line, tmp_path: Path) -> None:
    file = tmp_path / "found.toml"
    done = scan(meters.path, "--by", "number", "--write", str(file), "--json", "--run-dir", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert sorted(one["number"] for one in json.loads(done.stdout)) == ["08021382", "44493951", "45000000"]
    written = file.read_text()
    devices = tomllib.loads(written)["devices"]
    assert {device["secondary"] for device in devices.values()} == {"08021382", "45000000", "44493951"}
    driver = make(MbusDriver, tmp_path, written)
    assert len(driver.reads()) == 3
    again = scan(meters.path, "--by", "number", "--write", str(file), "--run-dir", str(tmp_path))
    assert again.exit_code == 2
    assert "is there already" in again.output
    assert file.read_text() == written


def test_nobody(line: Line, tmp_path: Path) -> None:
    done = scan(line.path, "--by", "address", "--last", "1", "--json", "--run-dir", str(tmp_path))
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])


def test_a_bus_in_service_is_left_alone(line: Line, tmp_path: Path) -> None:
    link = tmp_path / "by-id"
    link.symlink_to(line.path)
    config = tmp_path / "lamppost.toml"
    config.write_text(GATEWAY + f'[buses]\ncellar = {{ driver = "mbus", port = "{link}" }}\n')
    with socket.socket(socket.AF_UNIX) as agent:
        status_socket(tmp_path).parent.mkdir()
        agent.bind(str(status_socket(tmp_path)))
        agent.listen()
        done = scan(line.path, "--config", str(config), "--run-dir", str(tmp_path))
    assert "bus cellar of the running agent" in str(done.exception)
    assert getattr(done.exception, "exit_code", 0) == 69


async def test_a_converter_behind_tcp() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(5):
            writer.write(b"\xe5" if asked == b"?????" else b"")
            if asked == b"!!!!!":
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    wire = Tcp("127.0.0.1", server.sockets[0].getsockname()[1])
    with pytest.raises(BusError, match="not connected"):
        await wire.ask(b"?????", lambda data: data, 10)
    async with asyncio.timeout(WAIT_SECONDS):
        await wire.open()
        assert await wire.ask(b"?????", lambda data: data, 10_000) == b"\xe5"
        with pytest.raises(NoAnswer):
            await wire.ask(b"-----", lambda data: data, 10)
        with pytest.raises(BusError, match="hung up"):
            await wire.ask(b"!!!!!", lambda data: data, 10_000)
        await wire.close()
        await wire.close()
        server.close()
        await server.wait_closed()
        with pytest.raises(BusError, match="no level converter"):
            await wire.open()
