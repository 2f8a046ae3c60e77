"""A box breaks: the one in its place has its name, what it ran and its series, by a token and by hand."""

import asyncio
import json
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from buffer.keys import PublicKey, SigningKey
from buffer.running import Running
from config.prints import fingerprint_of
from gateway.identity.enrol import Places
from tests.integration.harness import GATEWAY, SITE, Rig
from tests.integration.plant import Plant
from tests.integration.platform import Platform
from tests.mosquitto import free_port

pytest.importorskip("uvicorn")

MAIN = "lamppost.toml"
LAMP = """
# the meter's menu: password = hunter2-in-a-comment
[buses.panel]
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = {port}
[devices.lamp]
bus = "panel"
address = 7
every = "200ms"
points.level = {{ table = "holding", register = 12 }}
"""
PUMP = """
[devices.pump]
bus = "panel"
address = 8
every = "200ms"
points.speed = { table = "holding", register = 2, report = { on = "change" } }
"""


@dataclass
class Scene:
    """One gateway's box, and the platform with its enrolment server."""

    rig: Rig
    plant: Plant
    platform: Platform
    url: str

    @property
    def etc(self) -> Path:
        """Of the box that is there now: the same place on each."""
        return self.rig.config.parent

    @property
    def places(self) -> Places:
        return Places(self.etc / "keys")

    async def call(self, module: str, *words: object, text: str = "", wanted: int = 0) -> tuple[str, str]:
        """A verb: standard output and standard error."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *map(str, words), stdin=pipe, stdout=pipe, stderr=pipe,
            env={**os.environ, "NO_COLOR": "1", "LAMPPOST_COLLECTOR_DATABASE": str(self.rig.database)},
        )  # fmt: skip
        out, error = (stream.decode() for stream in await process.communicate(text.encode()))
        assert process.returncode == wanted, (process.returncode, out, error)
        return out, error

    async def replace(self) -> str:
        """The platform's token for another box."""
        ca = ("--url", self.url, "--ca", self.rig.folder / "ca")
        return (await self.call("collector", "gateways", "replace", GATEWAY, *ca))[0]

    async def box(self, name: str) -> None:
        """A new box stands where the old one stood, which is put on the shelf."""
        await self.rig.kill_agent()
        await asyncio.to_thread(self.etc.rename, self.rig.folder / name)
        await asyncio.to_thread(self.places.folder.mkdir, parents=True)

    async def enroll(self, *words: object, text: str = "") -> tuple[str, str]:
        return await self.call(
            "gateway", "enroll", "--keys", self.places.folder, "--config", self.rig.config, *words, text=text
        )

    def told(self) -> list[Running]:
        """What the platform was told of files. Blocks."""
        return [Running.from_json(row.text or "") for row in self.rig.rows("gateway/running")]

    async def series(self) -> list[tuple[str, int]]:
        """(stream, value) of the lamp, as who asks the platform for it is told."""
        out, _ = await self.call("collector", "query", "--gateway", GATEWAY, "--device", "lamp", "--json")
        return [(row["stream"], row["value"]) for row in map(json.loads, out.splitlines())]


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    async with Plant() as plant, Rig(folder) as rig:
        platform = Platform(rig)
        platform.configurer = await asyncio.to_thread(SigningKey.create, folder / "cleo.pem")
        await asyncio.to_thread(platform.pin)
        rig.config = folder / "etc" / MAIN
        port = free_port()
        found = Scene(rig, plant, platform, f"https://127.0.0.1:{port}")
        cert, key, ca = folder / "server.pem", folder / "server.key", folder / "ca"
        await found.call("collector", "ca", "init", ca)
        await found.call("collector", "ca", "server", ca, "127.0.0.1", "--cert", cert, "--key", key)
        pinned = folder / "authority.json"
        words = ["--listen", f"127.0.0.1:{port}", "--cert", cert, "--cert-key", key, *offline(found)]
        words += ["--update-authority", pinned, "--database", rig.database]
        await rig.children.start("enrol", [sys.executable, "-m", "collector", "enroll-server", *map(str, words)])
        await rig.until(lambda: _serves(port, ca / "ca.pem"), "the enrolment server answers")
        await asyncio.to_thread(found.places.folder.mkdir, parents=True)
        yield found


def offline(found: Scene) -> list[object]:
    """What both ways of enrolling are told of the platform."""
    folder, link = found.rig.folder, f"mqtt://127.0.0.1:{found.rig.link.port}"
    return ["--ca", folder / "ca", "--authority", folder / "authority.json", "--tell-broker", link]


def _serves(port: int, ca: Path) -> bool:
    context = ssl.create_default_context(cafile=str(ca))
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1"),
        ):
            return True
    except OSError:
        return False


async def test_another_box_runs_on_with_what_the_first_one_ran(tmp_path: Path) -> None:
    async with scene(tmp_path) as found:
        rig = found.rig
        await _first_box(found)
        text = await _pushed(found)
        first = await asyncio.to_thread(lambda: SigningKey.load(found.places.batch).kid)

        await found.box("first")
        token = await found.replace()
        out, error = await found.enroll("-", text=token)
        assert f"{rig.config} is what the box before ran (20" in error
        assert out == "", "nothing is left to write by hand"
        assert await asyncio.to_thread(rig.config.read_text) == text
        assert await asyncio.to_thread((found.etc / "conf.d/pump.toml").read_text) == PUMP
        assert not (found.etc / "pulled").exists()
        assert await asyncio.to_thread(lambda: SigningKey.load(found.places.batch).kid) != first
        await _authority_of_updates(found, error)

        found.plant.values[7, 13] = 222
        await rig.start_agent(heard=True)
        await found.platform.ready(2)
        state = (await asyncio.to_thread(rig.status))["configuration"]
        assert (state["hash"], state["source"]) == (fingerprint_of([(MAIN, text), ("conf.d/pump.toml", PUMP)]), "own")
        await rig.until(lambda: 222 in [row.value for row in rig.rows("lamp/level")], "the series go on")
        values = await found.series()
        assert [value for _, value in values][-1] == 222
        assert len({stream for stream, _ in values}) == 2, "one series, of two boxes"
        await rig.until(lambda: len(found.told()) == 3, "the platform is told by the new box as well")
        await _by_hand(found, text)


async def _first_box(found: Scene) -> None:
    """Enrolled, configured by hand, running, and known to the platform with all its files but the secret."""
    rig = found.rig
    lines, _ = await found.enroll("-", text=await found.replace())
    store = f'[buffer]\npath = "{found.etc}/buffer.db"\ncommit = "200ms"\n'
    text = lines.replace("[uplink]", '[uplink]\nbatch = "300ms"').replace("tls = ", "# tls = ") + store
    await asyncio.to_thread(rig.config.write_text, text + LAMP.format(port=found.plant.port))
    await asyncio.to_thread((found.etc / "conf.d").mkdir)
    await asyncio.to_thread((found.etc / "conf.d/pump.toml").write_text, PUMP)
    found.plant.values[7, 12] = 111
    await rig.start_agent(heard=True)
    await found.platform.ready()
    await rig.until(found.told, "the files are told")
    await rig.kill_agent()
    await rig.start_agent(heard=True)
    await rig.until(lambda: 111 in [row.value for row in rig.rows("lamp/level")], "it reads the lamp")
    (told,) = await asyncio.to_thread(found.told)  # and a second start told nothing new
    assert [name for name, _ in told.texts] == [MAIN, "conf.d/pump.toml"]
    shown = dict(told.texts)
    assert shown["conf.d/pump.toml"] == PUMP
    assert "hunter2" not in shown[MAIN]
    assert shown[MAIN].replace("(hidden)", "hunter2-in-a-comment") == await asyncio.to_thread(rig.config.read_text)


async def _pushed(found: Scene) -> str:
    """What the platform knows to run, edited and sent; the text that runs from then on."""
    rig, folder = found.rig, found.rig.folder
    broker = ("--broker", rig.broker.url)
    await asyncio.to_thread((folder / "ring.cose").write_bytes, found.platform.ring())
    ring = (folder / "ring.cose", "--authority", folder / "authority.json", *broker, "--yes")
    await found.call("collector", "keyring", "relay", *ring)
    mine = folder / "mine"
    _, note = await found.call("collector", "config", "running", GATEWAY, "--out", mine)
    assert "hidden" not in note, "no value was: a comment is no value"
    text = (await asyncio.to_thread((mine / MAIN).read_text)).replace("register = 12", "register = 13")
    await asyncio.to_thread((mine / MAIN).write_text, text)
    wish = ("--key", folder / "cleo.pem", "--gateway", GATEWAY, "--who", "Cleo", "--why", "a test", "--wait", "20s")
    await found.call("collector", "config", "push", mine / MAIN, mine / "conf.d/pump.toml", *wish, *broker, "--yes")
    await rig.until(lambda: [one.source for one in found.told()] == ["own", "pushed"], "it is told what was pushed")
    told = (await asyncio.to_thread(found.told))[-1]
    assert told.texts == ((MAIN, text), ("conf.d/pump.toml", PUMP))
    return text


async def _authority_of_updates(found: Scene, said: str) -> None:
    """As root only: an agent's user cannot tell root whom to believe."""
    path = found.etc / "update-authority.json"
    if os.geteuid() != 0:
        assert not path.exists()
        return
    wanted = found.platform.authority.public("", "", "authority")
    assert PublicKey.from_json(await asyncio.to_thread(path.read_text)).raw == wanted.raw
    assert path.stat().st_mode & 0o777 == 0o644
    assert wanted.kid.hex() in said


async def _by_hand(found: Scene, text: str) -> None:
    """The same without a network; here somebody has begun to write a configuration."""
    await found.box("second")
    request, answer = found.rig.folder / "request", found.rig.folder / "answer"
    await asyncio.to_thread(found.rig.config.write_text, "# mine\n")
    await found.enroll("--request", request, "--gateway", GATEWAY, "--site", SITE)
    kid = (await asyncio.to_thread(lambda: SigningKey.load(found.places.batch).kid)).hex()
    _, shown = await found.call("collector", "enroll", request, "--kid", kid, "--out", answer, *offline(found))
    words = ("--answer", answer, "--check", shown.split()[-1])
    out, error = await found.enroll(*words)
    assert 'brokers = ["mqtt://127.0.0.1' in out
    assert f"lies in {found.etc / 'pulled'}, and is not used:\n- {found.rig.config} was written here\n" in error
    assert await asyncio.to_thread((found.etc / "pulled" / MAIN).read_text) == text
    assert await asyncio.to_thread(found.rig.config.read_text) == "# mine\n"
    assert not (found.etc / "update-authority.json").exists(), "nobody said one"
    await asyncio.to_thread(found.rig.config.unlink)
    _, error = await found.enroll(*words)
    assert "is what the box before ran" in error
