"""The two sockets: whatever a client says or does not say, the others are served and the agent goes on."""

import asyncio
import json
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Read
from gateway.agent import Agent
from gateway.control.server import CLIENTS_MAX, REQUEST_MAX, Args, ControlServer, Verb
from gateway.control.sockets import control_socket, status_socket
from gateway.control.verbs import PATTERNS_MAX, TAIL_QUEUE, Verbs
from tests.gateway.support import Asked, bus, device, make_agent, until

TEXT = bus() + device("d", "p unit = 'V'\nscale = 0.1", "q", every="20ms") + device("e", "r", every="20ms")
ANSWER_S = 10.0


class Talker:
    """A client by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, line: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(line)
        await self.writer.drain()

    async def hear(self) -> Any:
        """The next answer; None when the conversation is over."""
        line = await asyncio.wait_for(self.reader.readline(), ANSWER_S)
        return json.loads(line) if line else None

    async def ask(self, verb: object, **args: object) -> Any:
        """One request, one answer."""
        await self.say(json.dumps({"id": 7, "verb": verb, "args": args}).encode() + b"\n")
        return await self.hear()


@asynccontextmanager
async def talk(path: Path) -> AsyncIterator[Talker]:
    """A conversation on a socket."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield Talker(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def running(tmp_path: Path, run_dir: Path) -> AsyncIterator[tuple[Agent, Asked]]:
    """An agent in this process, stopped at the end."""
    agent, (driver,) = await asyncio.to_thread(make_agent, tmp_path, run_dir, TEXT, Asked)
    task = asyncio.ensure_future(agent.run())
    try:
        await until(lambda: len(agent.sockets) == 2 or task.done())
        await until(lambda: task.done() or all(server._server is not None for server in agent.sockets))
        await until(lambda: task.done() or agent.recorder.samples > 5)
        yield agent, driver
    finally:
        agent.stopping.set()
        await asyncio.wait_for(task, 20)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"hello\n", "not a line of JSON"),
        (b"\xff\xfe\n", "not a line of JSON"),
        (b"\n", "not a line of JSON"),
        (b"[" * 30_000 + b"\n", "not a line of JSON"),
        (b'{"id":1,"verb":"status","args":' + b'{"a":' * 9_000 + b"\n", "not a line of JSON"),
        (b"9" * 10_000 + b"\n", "not a line of JSON"),
        (b"[]\n", "a request is {id, verb, args}"),
        (b'"status"\n', "a request is {id, verb, args}"),
        (b'{"id":1,"verb":"status","args":[]}\n', "a request is {id, verb, args}"),
        (b'{"id":1,"verb":"status","args":null}\n', "a request is {id, verb, args}"),
        (b'{"id":1,"verb":"reboot"}\n', "no verb 'reboot' here; there are: queue, status, tail"),
        (b'{"id":1,"verb":["status"]}\n', "no verb ['status'] here"),
        (b'{"id":1}\n', "no verb None here"),
        (b'{"id":1,"verb":"tail","args":{"points":"d/p"}}\n', f"a list of at most {PATTERNS_MAX} patterns"),
        (b'{"id":1,"verb":"tail","args":{"points":[1]}}\n', f"a list of at most {PATTERNS_MAX} patterns"),
        (
            json.dumps({"id": 1, "verb": "tail", "args": {"points": ["*"] * (PATTERNS_MAX + 1)}}).encode() + b"\n",
            f"a list of at most {PATTERNS_MAX} patterns",
        ),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else "",
)
async def test_a_bad_request_is_told_why_and_the_conversation_goes_on(
    tmp_path: Path, run_dir: Path, line: bytes, told: str
) -> None:
    async with serving(run_dir) as path, talk(path) as client:
        await client.say(line)
        answer = await client.hear()
        assert answer["ok"] is False
        assert told in answer["error"]["message"]
        assert set(answer["error"]) == {"code", "message", "remedy"}
        assert answer["error"]["code"] == "BadRequest"
        assert (await client.ask("status"))["result"] == {"well": True}


@asynccontextmanager
async def serving(run_dir: Path) -> AsyncIterator[Path]:
    """A server whose verbs need no agent."""

    async def status(_: Args) -> dict[str, bool]:
        return {"well": True}

    async def queue(_: Args) -> list[int]:
        raise RuntimeError("a mistake")

    verbs: dict[str, Verb] = {"status": status, "tail": Verbs(None).tail, "queue": queue}  # type: ignore[arg-type]
    server = ControlServer(run_dir / "view" / "status.sock", verbs)
    await server.start()
    try:
        yield server.path
    finally:
        await server.stop()


async def test_a_line_that_is_too_long_is_told_of_and_ends_the_conversation(run_dir: Path) -> None:
    async with serving(run_dir) as path, talk(path) as client:
        await client.say(b"x" * (REQUEST_MAX + 1))
        answer = await client.hear()
        assert f"at most {REQUEST_MAX} bytes" in answer["error"]["message"]
        with pytest.raises((ConnectionError, AssertionError)):
            assert await client.hear() is not None
    async with serving(run_dir) as path, talk(path) as client:
        assert (await client.ask("status"))["ok"]


async def test_a_mistake_in_a_verb_costs_the_conversation_and_is_logged(
    run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(run_dir) as path:
        async with talk(path) as client:
            assert await client.ask("queue") is None
        async with talk(path) as client:
            assert (await client.ask("status"))["ok"]
    assert [record.getMessage() for record in caplog.records] == ["status.sock: a request failed"]


async def test_requests_that_come_together_are_answered_in_order(run_dir: Path) -> None:
    async with serving(run_dir) as path, talk(path) as client:
        await client.say(b"".join(b'{"id":%d,"verb":"status"}\n' % number for number in range(50)))
        assert [(await client.hear())["id"] for _ in range(50)] == list(range(50))


async def test_no_more_clients_than_the_agent_can_bear(run_dir: Path) -> None:
    async with serving(run_dir) as path:
        talkers = [await asyncio.open_unix_connection(path) for _ in range(CLIENTS_MAX)]
        for reader, writer in talkers:
            writer.write(b'{"id":1,"verb":"status"}\n')
            assert json.loads(await asyncio.wait_for(reader.readline(), ANSWER_S))["ok"]
        async with talk(path) as one_more:
            assert await one_more.hear() is None
        talkers[0][1].close()
        await until_served(path)
        for _, writer in talkers:
            writer.close()


async def until_served(path: Path) -> None:
    """Wait until a client is served."""
    async with asyncio.timeout(ANSWER_S):
        while True:
            async with talk(path) as client:
                try:
                    if await client.ask("status") is not None:
                        return
                except ConnectionError:
                    pass
            await asyncio.sleep(0.01)


async def test_a_stream_that_ends_says_so(run_dir: Path) -> None:
    async def count(_: Args) -> AsyncGenerator[int, None]:
        for number in range(3):
            yield number

    server = ControlServer(run_dir / "s.sock", {"count": count})
    await server.start()
    async with talk(server.path) as client:
        for _ in range(2):  # and the conversation goes on
            await client.say(b'{"id":"x","verb":"count"}\n')
            answers = [await client.hear() for _ in range(4)]
            assert [answer.get("result") for answer in answers] == [0, 1, 2, None]
            assert answers[3] == {"id": "x", "end": True}
    await server.stop()


async def test_a_socket_left_over_is_replaced_and_a_stopped_server_leaves_none(run_dir: Path) -> None:
    left = run_dir / "view" / "status.sock"
    await asyncio.to_thread(left.parent.mkdir)
    await asyncio.to_thread(left.touch)
    async with serving(run_dir) as path, talk(path) as client:
        assert (await client.ask("status"))["ok"]
    assert not await asyncio.to_thread(path.exists)


# The agent's own verbs ------------------------------------------------------------------------------------------------


async def test_both_sockets_are_for_owner_and_group_alone(tmp_path: Path, run_dir: Path) -> None:
    async with running(tmp_path, run_dir):
        for path in (status_socket(run_dir), control_socket(run_dir)):
            mode = (await asyncio.to_thread(path.stat)).st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o660
    for path in (status_socket(run_dir), control_socket(run_dir)):
        assert not await asyncio.to_thread(path.exists)


async def test_whoever_may_look_may_not_change(tmp_path: Path, run_dir: Path) -> None:
    async with running(tmp_path, run_dir):
        async with talk(status_socket(run_dir)) as client:
            answer = await client.ask("flush")
            assert "no verb 'flush' here" in answer["error"]["message"]
            assert (await client.ask("status"))["ok"]
        async with talk(control_socket(run_dir)) as client:
            assert (await client.ask("flush"))["result"]["committed"] > 0


async def test_tail_shows_the_points_that_match(tmp_path: Path, run_dir: Path) -> None:
    async with running(tmp_path, run_dir) as (_, driver):

        async def answer(read: Read) -> bytes:
            return b"\x08\xfb\xff\xff"[: 2 * len(read.points)]

        driver.answer = answer
        async with talk(status_socket(run_dir)) as client:
            await client.say(b'{"id":3,"verb":"tail","args":{"points":["*/p","e/[q-s]"]}}\n')
            seen = [(await client.hear()) for _ in range(20)]
            assert all(item["ok"] and item["id"] == 3 for item in seen)
            assert {item["result"]["point"] for item in seen} == {"d/p", "e/r"}
            sample = next(
                item["result"] for item in seen if item["result"]["point"] == "d/p" and item["result"]["value"]
            )
            assert set(sample) == {"point", "utc_ms", "value", "unit", "quality"}
            assert (sample["value"], sample["unit"], sample["quality"]) == (229.9, "V", "good")


async def test_a_client_that_goes_away_while_nothing_matches_leaves_its_place(tmp_path: Path, run_dir: Path) -> None:
    async with running(tmp_path, run_dir) as (agent, _):
        for _ in range(CLIENTS_MAX + 5):
            async with talk(status_socket(run_dir)) as client:
                await client.say(b'{"id":1,"verb":"tail","args":{"points":["nothing/*"]}}\n')
        async with talk(status_socket(run_dir)) as client:
            await client.say(b'{"id":1,"verb":"tail","args":{"points":["nothing/*"]}}\n')
            await until(lambda: len(agent.recorder._listeners) == 1)
        await until(lambda: not agent.recorder._listeners)
        await until_served(status_socket(run_dir))


async def test_a_client_that_says_more_while_it_is_told_ends_the_conversation(tmp_path: Path, run_dir: Path) -> None:
    async with running(tmp_path, run_dir) as (agent, _), talk(status_socket(run_dir)) as client:
        await client.say(b'{"id":1,"verb":"tail"}\n')
        assert (await client.hear())["ok"]
        await client.say(b'{"id":2,"verb":"status"}\n')
        await until(lambda: not agent.recorder._listeners)


async def test_a_client_that_never_reads_costs_a_bounded_memory_and_nobody_else(
    tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.control.verbs.TAIL_QUEUE", 100)
    assert TAIL_QUEUE > 100
    async with running(tmp_path, run_dir) as (agent, _), talk(status_socket(run_dir)) as lazy:
        await lazy.say(b'{"id":1,"verb":"tail"}\n')
        await until(lambda: agent.recorder._listeners)
        flood(agent, 200_000)
        async with talk(status_socket(run_dir)) as client:
            assert (await client.ask("status"))["result"]["stuck"] == []
        missed = 0
        while not missed:
            missed = (await lazy.hear())["result"].get("missed", 0)
            flood(agent, 200)
        assert missed > 0


def flood(agent: Agent, count: int) -> None:
    """Tell the listeners of so many samples."""
    for listener in tuple(agent.recorder._listeners):
        for number in range(count):
            listener("d/p", 0, number, 0)


async def test_status_has_what_the_command_line_shows(tmp_path: Path, run_dir: Path) -> None:
    async with running(tmp_path, run_dir):
        async with talk(status_socket(run_dir)) as client:
            shown = (await client.ask("status"))["result"]
            assert (await client.ask("queue"))["result"][0]["kind"] == "catalogue"
        assert set(shown) == {
            "gateway", "site", "version", "boot", "utc_ms", "clock", "clock_from", "stuck", "config_wrong",
            "buses", "points", "strangers", "buffer", "uplink", "commands", "configuration",
        }  # fmt: skip
        assert keys(shown["buses"]) == {"id", "driver", "up", "error", "facts", "missed", "planned", "busy", "devices"}
        assert keys(shown["buses"][0]["devices"]) == {
            "id", "state", "since_s", "heard_s", "answers", "failures", "skipped", "last_error", "errors",
            "period",
        }  # fmt: skip
        assert set(shown["buses"][0]["devices"][0]["period"]) == {"wanted_s", "median_s", "mean_s", "worst_s"}
        assert keys(shown["points"]) == {"id", "value", "unit", "quality", "age_s"}
        assert set(shown["buffer"]) == {
            "path", "stream", "bytes", "limit", "loss_window_s", "error", "salvage", "samples", "committed", "commits",
            "sealed", "held", "made_room", "history", "ledger", "memory", "disk", "card",
        }  # fmt: skip
        sums = {"batches", "samples", "bytes", "refused"}
        assert set(shown["buffer"]["held"]) == sums | {"oldest"}
        assert set(shown["buffer"]["history"]) == sums | {"keep_s"}
        assert set(shown["buffer"]["memory"]) == {"bytes", "limit", "samples", "given_up"}
        assert set(shown["buffer"]["disk"]) == {"state", "since_s", "size", "free", "keep_free", "low"}
        assert set(shown["buffer"]["card"]) == {
            "source", "written_bytes", "seen_s", "bytes_per_day", "endurance", "years",
        }  # fmt: skip
        assert [point["id"] for point in shown["points"]] == ["d/p", "d/q", "e/r"]
        assert shown["buffer"]["bytes"] > 0
        assert shown["uplink"] is None


def keys(rows: Iterable[dict[str, object]]) -> set[str]:
    """The keys that every row has."""
    return set.intersection(*(set(row) for row in rows))
