"""docs/cli-json.md: each `--json` has a section, and what the section shows is what a real run prints."""

import asyncio
import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from buffer.catalogue import SeriesEntry
from buffer.header import ClockState
from buffer.keys import SigningKey
from collector.cli import cli
from collector.receiving.incoming import Message
from drivers.base import Read
from ext import Value
from gateway.agent import Agent
from gateway.cli import lamppost
from tests.collector.maker import Bench, Gateway
from tests.conftest import ROOT
from tests.gateway.support import Asked, bus, device, make_agent, until
from tests.gateway.test_cli import GOOD, Kept

PAGE = (ROOT / "docs" / "cli-json.md").read_text()
SECTIONS = {
    title.strip(): text for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
LIVE = bus() + device(
    "lamp", "level writable = { min = 0, max = 100 }", "energy unit = 'kWh'\ncounter = {}", every="50ms"
)
OPEN = ("says", "errors", "facts", "refused", "results", "strangers", "labels", "identification", "options", "learned")
"""Tables whose keys are names of what was found."""


def commands(module: str, attribute: str) -> Iterator[str]:
    """The words of every command that has --json."""
    rest: list[tuple[click.Command, list[str]]] = [(getattr(importlib.import_module(module), attribute), [])]
    while rest:
        command, words = rest.pop()
        if isinstance(command, click.Group):
            ctx = click.Context(command)
            found = ((command.get_command(ctx, name), name) for name in command.list_commands(ctx))
            rest += [(one, [*words, name]) for one, name in found if one is not None]
        elif any("--json" in parameter.opts for parameter in command.params):
            yield " ".join(words)


ALL = [*commands("gateway.cli", "lamppost"), *(f"lamppost-collector {c}" for c in commands("collector.cli", "cli"))]


@pytest.mark.parametrize("command", ALL)
def test_each_has_a_section_with_an_example_or_a_table(command: str) -> None:
    assert command in SECTIONS
    text = SECTIONS[command]
    assert "```json" in text or "\n| key" in text, command


def test_no_section_is_of_a_command_that_is_gone() -> None:
    assert not {title for title in SECTIONS if title not in ALL} - {"tail --frames", "read --direct", "decode"}


def shape(value: object) -> object:
    """The keys of a value at every level; lists as the keys of all that is in them."""
    if isinstance(value, dict):
        return {key: None if key in OPEN and isinstance(item, dict) else shape(item) for key, item in value.items()}
    if isinstance(value, list):
        found: dict[str, object] = {}
        for item in value:
            inner = shape(item)
            found |= inner if isinstance(inner, dict) else {}
        return found or None
    return None


def compare(command: str, output: str) -> None:
    """What a run printed against the section: the example's keys, or each key named in the tables."""
    assert output.strip(), f"{command} printed nothing"
    text = SECTIONS[command]
    example = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    for line in output.splitlines():
        found = json.loads(line)
        if example is None:
            words = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]+)`", text))))
            assert not set(_keys(found)) - words, command
            continue
        wanted = [shape(json.loads(one)) for one in example[1].splitlines() if one.strip()]
        assert any(_same(shape(found), one) for one in wanted), (command, shape(found), wanted)


def _same(found: object, wanted: object) -> bool:
    """The same keys; a list that is empty on either side says nothing of what would be in it."""
    if not isinstance(found, dict) or not isinstance(wanted, dict):
        return True
    return found.keys() == wanted.keys() and all(_same(found[key], wanted[key]) for key in found)


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            if key not in OPEN or not isinstance(item, dict):
                yield from _keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item)


def invoke(words: str) -> str:
    """What `lamppost` prints; it may end as it likes."""
    done = CliRunner().invoke(lamppost, [*words.split(), "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), (words, done.output, done.exception)
    return done.stdout


class Dimmer(Asked):
    """Keeps what is written to it, and lets its bytes be heard."""

    level = 10

    async def zeros(self, read: Read) -> bytes:
        self.tap.tell(True, b"\x01")
        self.tap.tell(False, b"\x02")
        return self.level.to_bytes(2, "big") + bytes(2 * len(read.points) - 2)

    async def write(self, point: str, value: Value) -> None:
        assert (point, type(value)) == ("lamp/level", int)
        self.level = int(value)  # type: ignore[arg-type]


async def test_what_a_running_agent_answers_is_what_the_page_says(tmp_path: Path, run_dir: Path) -> None:
    agent, _ = await asyncio.to_thread(make_agent, tmp_path, run_dir, LIVE, Dimmer)
    task = asyncio.ensure_future(agent.run())
    try:
        await until(lambda: task.done() or len(agent.sockets) == 2)
        await until(lambda: task.done() or agent.recorder.samples > 5)
        await asyncio.to_thread(_ask, run_dir, agent)
    finally:
        agent.stopping.set()
        await task


def _ask(run_dir: Path, agent: Agent) -> None:
    at = f"--run-dir {run_dir}"
    for command, words in {
        "tail": "tail -n 1", "tail --frames": "tail --frames -n 3", "read": "read lamp", "write": "write lamp/level 40",
        "commands": "commands", "lock": "lock lamp --reason work --for 1h", "status": "status", "unlock": "unlock lamp",
        "device replace": "device replace lamp --final 7 --start 1", "queue": "queue",
    }.items():  # fmt: skip
        if command == "queue":
            invoke(f"write lamp/level 41 {at} --yes")  # so that a batch waits
        compare(command, invoke(f"{words} {at}" + (" --yes" if command == "write" else "")))


def test_what_files_say_is_what_the_page_says(tmp_path: Path, run_dir: Path) -> None:
    SigningKey.create(tmp_path / "batch.key")
    config = tmp_path / "lamppost.toml"
    config.write_text(GOOD)
    kept = tmp_path / "kept"
    kept.mkdir()
    buffer = Kept(kept)
    both = f"-c {config} --run-dir {run_dir}"
    for command, words in {
        "check": f"check -c {config}", "doctor": f"doctor {both}", "device list": f"device list {both}",
        "device show": f"device show lamp {both}", "device quirks": f"device quirks --forget {both}",
        "drivers": "drivers modbus", "profile list": "profile list --driver modbus",
        "profile show": "profile show eastron-sdm630", "profile test": "profile test eastron-sdm630",
        "support-bundle": f"support-bundle -o {tmp_path / 'b.tar.gz'} {both}",
        "verify": f"verify {buffer.buffer} --key {buffer.key}", "queue": f"queue --store {buffer.buffer}",
        "scan serial": f"scan serial /dev/null --no-listen {both}",
    }.items():  # fmt: skip
        compare(command, invoke(words))


def test_what_the_collector_prints_is_what_the_page_says(tmp_path: Path) -> None:
    gateway = Gateway()
    bench = Bench(tmp_path / "collector.db", gateway)
    hello = gateway.hello(4)
    lines = [*gateway.lines(), SeriesEntry(9, "gateway", "replacement", "", "json")]
    event = {
        "id": "a", "device": "meter1", "point": "p1", "final": "7", "start": "1", "unit": "V", "who": "anna",
        "why": "old", "withdrawn": False, "ago_ms": 0,
    }  # fmt: skip
    told = [gateway.describe(lines), gateway.send([(9, 1, json.dumps(event), 0)])]
    unset = replace(gateway, clock_state=ClockState.UNSET, boot=bytes(16))
    bench.take(*hello[:2], *hello[3:], *told, Message(gateway.topic, b"nonsense"), unset.send([(1, 1, 1, 0)]))
    for words in (
        "gateways list", "gateways streams", "query --limit 1", "query --continuous --limit 1", "replacements", "gaps",
        "waiting", "refused", "refused --count", "rebuild", "gateways confirm gw-0017", "gateways revoke gw-0017",
    ):  # fmt: skip
        done = CliRunner().invoke(cli, [*words.split(), "--database", str(bench.database.path), "--json"])
        assert done.exception is None, (words, done.exception)
        title = next(t for t in SECTIONS if f"lamppost-collector {words} ".startswith(f"{t} "))
        compare(title, done.stdout)
    bench.close()
