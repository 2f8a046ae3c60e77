"""Configurations over a real broker, and out of changed files: the buses that do not change run on."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from buffer.keyring import Keyring
from buffer.keys import SigningKey
from config.prints import fingerprint_of
from gateway.control.client import Client
from gateway.control.sockets import control_socket
from gateway.errors import RequestRefused
from tests.integration.harness import GATEWAY, SITE, Rig
from tests.integration.plant import Plant
from tests.integration.platform import Platform, new_key, now_ms

PANEL = """
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = {panel}
[devices.lamp]
bus = "panel"
address = 7
every = "100ms"
points.level = {{ table = "holding", register = 12 }}
"""
SIDE = """
[buses.side]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = {port}
timeout = "300ms"
[devices.pump]
bus = "side"
address = 8
every = "200ms"
points.speed = {{ table = "holding", register = {register} }}
"""
MAIN = "lamppost.toml"


@dataclass
class Site:
    """A gateway with two plants, each on a bus of its own."""

    rig: Rig
    panel: Plant
    side: Plant
    platform: Platform
    stream: bytes = b""
    numbers: int = 0
    asked: list[int] = field(default_factory=list)
    """When the panel was asked, utc_ms."""

    def text(self, *, port: int = 0, register: int = 2) -> str:
        """Both buses; the side one elsewhere, if asked for."""
        side = SIDE.format(port=port or self.side.port, register=register)
        return PANEL.format(panel=self.panel.port) + side

    async def push(self, text: str, base: str = "", number: int = 0, **other: Any) -> int:
        """Publish a configuration made from what runs; its number."""
        running = base or (await asyncio.to_thread(self.state))["hash"]
        self.numbers = number or self.numbers + 1
        message = self.platform.configuration(
            (MAIN, text), base=running, stream=self.stream, number=self.numbers, **other
        )
        await self.platform.publish(message)
        return self.numbers

    def state(self) -> dict[str, Any]:
        """What the agent says of its configuration. Blocks."""
        found: dict[str, Any] = self.rig.status()["configuration"]
        return found

    def told(self, number: int) -> list[dict[str, Any]]:
        """What the platform was told of a number. Blocks."""
        rows = [json.loads(row.text or "{}") for row in self.rig.rows("gateway/configuration")]
        return [row for row in rows if row["number"] == number and row["status"] != "running"]

    async def ends(self, number: int, status: str, seconds: float = 20.0) -> dict[str, Any]:
        """Wait until the platform knows what came of a number."""

        def ended() -> dict[str, Any] | None:
            told = self.told(number)
            return told[-1] if told and told[-1]["status"] != "applied" else None

        found = await self.rig.until(ended, f"configuration {number} has ended", seconds)
        assert found is not None
        assert found["status"] == status, found
        return found

    async def ask_panel(self, _function: int, _unit: int, _address: int) -> None:
        self.asked.append(now_ms())


@asynccontextmanager
async def site(folder: Path, trial: str = "20s") -> AsyncIterator[Site]:
    async with Plant() as panel, Plant() as side, Rig(folder) as rig:
        found = Site(rig, panel, side, Platform(rig))
        panel.before = found.ask_panel
        found.platform.configurer = await asyncio.to_thread(SigningKey.create, folder / "cleo.pem")
        await asyncio.to_thread(found.platform.pin)
        await rig.start_agent(found.text(), batch="300ms", uplink=f'trial = "{trial}"', heard=True)
        found.stream = await found.platform.ready()
        yield found


def heard(rig: Rig, point: str) -> bool:
    """Whether a point has a good value of the last half second. Blocks."""
    found = {one["id"]: one for one in rig.status()["points"]}.get(point)
    return found is not None and found["quality"] == "good" and found["age_s"] < 0.5


async def test_a_configuration_from_afar_is_judged_tried_and_kept(tmp_path: Path) -> None:
    async with site(tmp_path) as found:
        rig, before = found.rig, set(found.panel.connected)
        own = await asyncio.to_thread(found.state)
        assert (own["source"], own["hash"]) == ("own", own["own_hash"])
        local = await asyncio.to_thread((tmp_path / MAIN).read_text)
        assert own["hash"] == fingerprint_of([(MAIN, local)])

        await _refused(found, local)
        found.side.values[8, 3] = 33
        began = now_ms()
        text = found.text(register=3)
        number = await found.push(text)
        told = await found.ends(number, "kept")
        assert (told["who"], told["key"], told["wanted"]) == ("cleo", "cleo", fingerprint_of([(MAIN, text)]))
        ended = now_ms()
        await rig.until(lambda: heard(rig, "pump/speed"), "the new register is read")
        rows = await rig.until(lambda: [row for row in rig.rows("pump/speed") if row.number == 33], "it has arrived")
        assert rows
        assert set(found.panel.connected) == before, "the bus that did not change was opened again"
        times = [at for at in found.asked if began - 500 <= at <= ended]
        assert max(b - a for a, b in pairwise(times)) < 1000, "polls were missed"
        buses = {bus["id"]: bus for bus in (await asyncio.to_thread(rig.status))["buses"]}
        assert buses["panel"]["missed"] <= 2, "a busy machine misses one now and then"

        running = await asyncio.to_thread(found.state)
        assert (running["source"], running["hash"], running["number"]) == ("pushed", told["wanted"], number)
        await rig.kill_agent()
        await rig.start_agent(heard=True)
        await found.platform.ready()
        assert (await asyncio.to_thread(found.state))["hash"] == told["wanted"]
        assert await asyncio.to_thread((tmp_path / MAIN).read_text) == local, "/etc is never written"

        await found.platform.publish(  # an older number, and the same once more
            *(found.platform.configuration((MAIN, text), base=told["wanted"], stream=found.stream, number=n)
              for n in (1, number))
        )  # fmt: skip
        await rig.until(lambda: found.state()["refused"].get("replay") == 2, "old numbers are refused")
        await _by_hand(found, text)
        await _edited(found, local)


async def _collector(rig: Rig, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """A verb of the collector: its exit code and its rows."""
    line = [sys.executable, "-m", "collector", *words, "--database", str(rig.database), "--json"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*line, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    out, errors = await process.communicate()
    if process.returncode not in (0, 77):
        raise AssertionError(errors.decode())
    return process.returncode, [json.loads(row) for row in out.splitlines()]


async def _by_hand(found: Site, text: str) -> None:
    """The verbs: what is not confirmed is not done; what is, is made from what the platform knows to run."""
    rig, folder = found.rig, found.rig.folder
    broker = ("--broker", rig.broker.url)
    await asyncio.to_thread((folder / "ring.cose").write_bytes, found.platform.ring())
    public = folder / "root.json"
    await asyncio.to_thread(public.write_text, found.platform.authority.public("", "", "authority").to_json())
    await _collector(rig, "keyring", "relay", str(folder / "ring.cose"), "--authority", str(public), *broker, "--yes")
    edited = folder / "edited" / MAIN
    edited.parent.mkdir()
    await asyncio.to_thread(edited.write_text, text + "# by hand\n")
    wish = (str(edited), "--key", str(folder / "cleo.pem"), "--gateway", GATEWAY, "--who", "Cleo", "--why", "a test")
    assert (await _collector(rig, "config", "push", *wish, *broker))[0] == 77
    _, rows = await _collector(rig, "config", "push", *wish, *broker, "--wait", "20s", "--yes")
    assert [row["status"] for row in rows] == ["applied", "kept"]
    assert rows[-1]["hash"] == fingerprint_of([(MAIN, text + "# by hand\n")])
    _, rows = await _collector(rig, "audit", "--gateway", GATEWAY)
    kept = [row for row in rows if row["kind"] == "configuration" and row["status"] == "kept"]
    assert kept[-1]["who"] == "Cleo"
    await _repeated(found)
    found.numbers = now_ms()  # as push numbers them


async def _repeated(found: Site) -> None:
    """A retained message that is no keyring stands in its way only until the collector looks."""
    rig = found.rig
    await found.platform.publish(b"nonsense", retain=True)
    await rig.children.stop("collector")
    await rig.start_collector()
    async with aiomqtt.Client("127.0.0.1", rig.broker.port) as client, asyncio.timeout(20):
        await client.subscribe(f"lamppost/v1/{SITE}/{GATEWAY}/command", qos=1)
        async for message in client.messages:
            if message.payload != b"nonsense":
                assert Keyring.read(bytes(message.payload), found.platform.authority.public("", "", "authority"))
                break


async def _refused(found: Site, local: str) -> None:
    """What is wrong is refused with its word, and nothing changes."""
    key = next(line for line in local.splitlines() if line.startswith("brokers"))
    cases = [
        ("drift", {"text": found.text(register=3), "base": "00" * 32}),
        ("problems", {"text": found.text(register=3) + 'nonsense = 1\n[buses.x]\ndriver = "none"\n'}),
        ("problems", {"text": local.replace(key, 'brokers = ["mqtt://127.0.0.1:1"]')}),
        ("lock: pump is locked", {"text": found.text(register=3)}),
    ]
    for word, wanted in cases:
        if word.startswith("lock"):
            await asyncio.to_thread(_call, found.rig, "lock", device="pump", reason="new pump")
        number = await found.push(**wanted)  # type: ignore[arg-type]
        told = await found.ends(number, "refused")
        assert told["reason"].startswith(word), told
        if "none" in wanted["text"]:
            assert "nonsense" in told["reason"]
            assert "buses.x.driver" in told["reason"]
    await asyncio.to_thread(_call, found.rig, "unlock", device="pump")
    stranger = Platform(found.rig)
    for other in (
        {"gateway": "gw-other"}, {"key": stranger.configurer}, {"key": found.platform.operator},
        {"issued": now_ms() - 100_000, "life_ms": 1_000},
    ):  # fmt: skip
        await found.push(found.text(register=3), number=1000, **other)
    await found.rig.until(lambda: found.state()["refused"].get("expired"), "the last of them has come")
    far = await found.push(found.text(register=3), number=now_ms() + 100_000_000)
    assert (await found.ends(far, "refused"))["reason"].startswith("early: number")  # and leaves room for others
    found.numbers = len(cases)
    assert (await asyncio.to_thread(found.state))["source"] == "own"


async def _edited(found: Site, local: str) -> None:
    """Somebody on site has the last word."""
    edited = local.replace("register = 2 ", "register = 4 ")
    await asyncio.to_thread((found.rig.folder / MAIN).write_text, edited)
    number = await found.push(found.text(register=5))
    assert (await found.ends(number, "refused"))["reason"].startswith("drift: somebody")
    before = set(found.panel.connected)
    words = [sys.executable, "-m", "gateway", "reload", "--json", "--run-dir", str(found.rig.run_dir)]
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(out)["begun"] == ["side"]
    state = await asyncio.to_thread(found.state)
    assert (state["source"], state["last"]["status"]) == ("own", "dropped")
    found.side.values[8, 4] = 44
    await found.rig.until(lambda: found.rig.rows("pump/speed")[-1].number == 44, "the edited file is in use")
    assert set(found.panel.connected) == before


async def test_what_does_no_good_is_taken_back(tmp_path: Path) -> None:
    """By its time, and by a kill in the middle of it."""
    async with site(tmp_path, "2s") as found:
        rig = found.rig
        number = await found.push(found.text(port=1))
        told = await found.ends(number, "rolled-back")
        assert told["reason"] == "1 of 2 points answer, 2 of 2 did before"
        await rig.until(lambda: heard(rig, "pump/speed"), "it is read again as before")
        number = await found.push(found.text(port=1))
        await rig.until(lambda: found.state()["trial"], "it is on trial")
        await rig.kill_agent()
        await rig.start_agent(heard=True)
        state = await asyncio.to_thread(found.state)
        assert (state["source"], state["last"]["status"], state["number"]) == ("own", "rolled-back", number)
        await rig.until(lambda: "started anew" in (rig.rows("gateway/configuration")[-1].text or ""), "it is told of")
        await _removed_meanwhile(found)
        way = tmp_path / "configuration.cbor.new"  # a disk that takes nothing
        await asyncio.to_thread(way.mkdir)
        await rig.kill_agent()
        await rig.start_agent(heard=True)
        await found.platform.ready(2)
        os.kill(rig.children.pid("agent"), signal.SIGHUP)
        number = await found.push(found.text(register=3))
        await rig.until(lambda: found.state()["refused"].get("disk"), "it is not taken")
        assert (await asyncio.to_thread(found.state))["source"] == "own"


async def _removed_meanwhile(found: Site) -> None:
    """Two at once: the second waits for the trial of the first, and is judged by the keyring that came meanwhile."""
    platform = found.platform
    await platform.ready()
    base = (await asyncio.to_thread(found.state))["hash"]
    first = await found.push(found.text(port=1))
    await found.rig.until(lambda: found.state()["trial"], "the first is on trial")
    second = await found.push(found.text(register=3), base=base)
    platform.configurer = new_key()
    await platform.publish(platform.ring(2), retain=True)
    await found.ends(first, "rolled-back")
    assert (await found.ends(second, "refused"))["reason"].startswith("key: ")


async def test_a_hangup_loads_what_was_edited_and_keeps_what_is_wrong_out(tmp_path: Path) -> None:
    async with site(tmp_path) as found:
        rig, file = found.rig, tmp_path / MAIN
        local = await asyncio.to_thread(file.read_text)
        before = set(found.panel.connected)
        pid = rig.children.pid("agent")
        await asyncio.to_thread(file.write_text, local + "nonsense = 1\n")
        os.kill(pid, signal.SIGHUP)
        await rig.until(lambda: "not reloaded" in (tmp_path / "agent.log").read_text(), "it is told")
        assert await asyncio.to_thread(heard, rig, "pump/speed")
        side = local.index("[buses.side]")
        await asyncio.to_thread(file.write_text, local[:side])
        os.kill(pid, signal.SIGHUP)
        await rig.until(lambda: [bus["id"] for bus in rig.status()["buses"]] == ["panel"], "the bus is gone")
        assert set(found.panel.connected) == before
        await asyncio.to_thread(file.write_text, local.replace('commit = "200ms"', 'commit = "300ms"'))
        with pytest.raises(RequestRefused, match=r"buffer\.commit: the agent takes a change of it by a restart"):
            await asyncio.to_thread(_call, rig, "reload")


def _call(rig: Rig, verb: str, **args: object) -> None:
    with Client(control_socket(rig.run_dir)) as client:
        client.call(verb, **args)
