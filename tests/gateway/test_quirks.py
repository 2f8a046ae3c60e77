"""What was learned of devices: kept over restarts, forgotten when asked to, and never in the way."""

import asyncio
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from drivers.modbus import ModbusDriver
from ext import EXCEPTION, GOOD
from gateway.control.sockets import control_socket
from gateway.polling import quirks
from gateway.polling.quirks import MAX_FILE, MAX_LEARNED, Quirks
from tests.drivers.modbus.support import numbers, reply, server
from tests.gateway.support import Asked, bus, device, living, make, make_agent, until
from tests.gateway.test_cli import GOOD as CONFIG
from tests.gateway.test_cli import run, well
from tests.gateway.test_control import talk

TEXT = bus() + device("d", "p tag = 1", "q") + device("e", "r")


def memory(folder: Path, text: str = TEXT) -> Quirks:
    """As the agent makes it, after `load`."""
    installation, _ = make(folder, text, Asked)
    found = Quirks(folder / quirks.NAME, installation.drivers)
    found.load()
    return found


async def test_what_is_kept_is_recalled_by_the_next_life(tmp_path: Path) -> None:
    first = await asyncio.to_thread(memory, tmp_path)
    assert first.recall("d") is None
    first.keep("d", {"a": [1, 2]})
    first.keep("e", {"b": 3})
    first.keep("e", None)
    await first._write()
    again = await asyncio.to_thread(memory, tmp_path)
    assert (again.recall("d"), again.recall("e")) == ({"a": [1, 2]}, None)


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ("tag = 1", "tag = 2", False),
        ('driver = "test"', 'driver = "test"\ntag = 4', False),
        ('every = "1s"', 'every = "2s"', True),
        ("[devices.e", "[devices.f", True),
    ],
)
async def test_a_device_that_was_changed_is_learned_anew(tmp_path: Path, old: str, new: str, kept: bool) -> None:
    first = await asyncio.to_thread(memory, tmp_path)
    first.keep("d", 7)
    await first._write()
    again = await asyncio.to_thread(memory, tmp_path, TEXT.replace(old, new))
    assert again.recall("d") == (7 if kept else None)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"7", b"null", b"{}", b'{"version":2,"devices":{}}', b'{"version":1}',
        b'{"version":1,"devices":[]}', b'{"version":1,"devices":{"d":7}}', b'{"version":1,"devices":{"d":{}}}',
        b"\xff\xfe", b"\0" * 4096, b"[" * 100_000, b" " * (MAX_FILE + 1),
    ],
    ids=range(15),
)  # fmt: skip
def test_a_damaged_file_is_set_aside(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / quirks.NAME).write_bytes(content)
    assert memory(tmp_path).recall("d") is None
    assert (tmp_path / "quirks.json.damaged").read_bytes() == content
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert not (tmp_path / quirks.NAME).exists()


async def test_what_is_no_json_or_too_much_is_not_kept(tmp_path: Path) -> None:
    found = await asyncio.to_thread(memory, tmp_path)
    found.keep("d", object())
    found.keep("d", "x" * MAX_LEARNED)
    assert found.recall("d") is None


async def test_a_disk_that_takes_nothing_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = await asyncio.to_thread(memory, tmp_path)
    (tmp_path / "quirks.json.new").mkdir()
    for value in range(3):
        found.keep("d", value)
        await found._write()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    (tmp_path / "quirks.json.new").rmdir()
    found.keep("d", 3)
    await found._write()
    assert (await asyncio.to_thread(quirks.load, tmp_path / quirks.NAME))["d"].learned == 3


async def test_an_agent_remembers_what_a_device_refuses(tmp_path: Path, run_dir: Path) -> None:
    asked: list[int] = []

    async def answer(frame: bytes, writer: asyncio.StreamWriter) -> None:
        _, _, function, address, count = numbers(frame)
        asked.append(address)
        refused = address <= 9 < address + count
        writer.write(reply(frame, struct.pack("BB", function | 0x80, 2) if refused else None))

    async with server(answer) as served:
        text = (
            f'[buses.b]\ndriver = "modbus"\ntransport = "tcp"\nhost = "127.0.0.1"\nport = {served.port}\n'
            '[devices.d]\nbus = "b"\naddress = 1\nevery = "20ms"\n'
            'points = { a = { table = "input", register = 8 }, b = { table = "input", register = 9 } }\n'
        )
        agent, _ = await asyncio.to_thread(make_agent, tmp_path, run_dir, text, ModbusDriver)
        with living(agent) as life:
            await until(lambda: hasattr(agent, "quirks") and agent.quirks.recall("d"))
            agent.stopping.set()
            await life
        written = json.loads(await asyncio.to_thread((tmp_path / quirks.NAME).read_bytes))
        assert written["devices"]["d"]["learned"] == {"input": {"refused": [[9, 1, 2]]}}

        asked.clear()
        agent, _ = await asyncio.to_thread(make_agent, tmp_path, run_dir, text, ModbusDriver)
        with living(agent) as life:
            await until(lambda: len(asked) >= 5)
            assert set(asked) == {8}
            points = {name: agent.recorder.last(f"d/{name}") for name in "ab"}
            assert {name: last and last[1:] for name, last in points.items()} == {
                "a": (8, GOOD),
                "b": (None, EXCEPTION),
            }
            async with talk(control_socket(run_dir)) as talker:
                assert (await talker.ask("forget", device="lamp"))["error"]["code"] == "BadRequest"
                assert (await talker.ask("forget", device="d"))["result"] == ["d"]
            await until(lambda: 9 in asked)
            agent.stopping.set()
            await life


LEARNED: dict[str, Any] = {"holding": {"refused": [[12, 1, 2], [20, 4, 0]], "cap": 30}}


def test_the_command_shows_and_forgets_without_a_daemon(tmp_path: Path, run_dir: Path) -> None:
    config = tmp_path / "lamppost.toml"
    config.write_text(CONFIG)
    words = ("device", "quirks", "--config", config, "--run-dir", run_dir)
    assert "nothing odd" in well(run(*words))
    quirks.save(tmp_path / quirks.NAME, {"lamp": quirks.Kept("modbus", "k", LEARNED)})
    shown = well(run(*words))
    assert "holding 12: exception 2" in shown
    assert "holding 20 to 23: not read in one go" in shown
    assert "holding: at most 30" in shown
    assert json.loads(well(run(*words, "lamp", "--json"))) == [
        {"device": "lamp", "driver": "modbus", "learned": LEARNED}
    ]
    assert run(*words, "lmap").returncode == 64
    assert "forgotten: lamp" in well(run(*words, "--forget"))
    assert json.loads(well(run(*words, "--forget", "--json"))) == []
    assert quirks.load(tmp_path / quirks.NAME) == {}
    (tmp_path / quirks.NAME).write_bytes(b"{")
    refused = run(*words)
    assert (refused.returncode, refused.stdout) == (65, "")
    assert f"lamppost: {tmp_path / quirks.NAME} is not what was written" in refused.stderr
