"""The walk along the points and its signed record; the last hour of a point; what the agent logged lately."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buffer import cose
from buffer.commissioning import MAX_NOTE, Look, Record, Verdict, is_record
from buffer.cose import Kind
from buffer.errors import BatchFormatError, SignatureError
from buffer.header import ClockState
from buffer.reader import Reader
from gateway.agent import Agent
from gateway.control import commissioning, trends
from gateway.control.commissioning import NAME, RECORD
from gateway.control.verbs import Verbs
from gateway.errors import BadRequest, GatewayError
from gateway.keeping.history import History, Selection
from gateway.reporting.lately import LINES, Lately
from tests.gateway.support import KEY, PUBLIC, Asked, bus, device, living, make_agent, until

TEXT = bus() + device("d", "p unit = 'V'\nscale = 0.1", "q", every="20ms")
WORDS = st.text(max_size=20)
LOOKS = st.lists(
    st.builds(
        Look, st.text(min_size=1, max_size=20), WORDS, st.sampled_from(Verdict), WORDS, WORDS, WORDS,
        st.integers(0, 1 << 48),
    ),
    unique_by=lambda look: look.point, max_size=9,
)  # fmt: skip
RECORDS = st.builds(
    Record, st.just(PUBLIC.gateway), st.just(PUBLIC.site), st.text(min_size=1, max_size=64), WORDS,
    st.integers(0, 1 << 48), st.sampled_from(ClockState), LOOKS.map(tuple),
)  # fmt: skip
RECORD_1 = Record(
    PUBLIC.gateway, PUBLIC.site, "Marie", "", 1, ClockState.UNSET, (Look("d/p", "V", Verdict.OK, "", "1.5", "good", 1),)
)


@pytest.fixture(autouse=True)
def no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's card is worn here."""
    monkeypatch.setattr(commissioning, "PACE_S", 0)
    monkeypatch.setattr(commissioning, "SIGN_PACE_S", 0)


@given(RECORDS)
def test_what_was_signed_is_what_is_read(record: Record) -> None:
    assert Record.read(record.sign(KEY), PUBLIC) == record


@given(st.data())
def test_a_record_that_was_touched_is_refused(data: st.DataObject) -> None:
    message = bytearray(RECORD_1.sign(KEY))
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((SignatureError, BatchFormatError)):
        Record.read(bytes(message), PUBLIC)


def test_a_record_of_another_gateway_or_kind_is_refused() -> None:
    with pytest.raises(BatchFormatError, match="of gw-2"):
        Record.read(replace(RECORD_1, gateway="gw-2").sign(KEY), PUBLIC)
    payload = cose.verify(RECORD_1.sign(KEY), Kind.COMMISSIONING, PUBLIC)
    with pytest.raises(SignatureError):
        Record.read(cose.sign(payload, Kind.BATCH, KEY), PUBLIC)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(RECORD_1, who=""), replace(RECORD_1, who="x" * 65), replace(RECORD_1, note="x" * (MAX_NOTE + 1)),
        replace(RECORD_1, at_ms=-1), replace(RECORD_1, looks=RECORD_1.looks * 2),
        replace(RECORD_1, looks=(replace(RECORD_1.looks[0], value="x" * 201),)),
    ],
)  # fmt: skip
def test_nothing_out_of_range_is_signed(wrong: Record) -> None:
    with pytest.raises(BatchFormatError):
        wrong.sign(KEY)


@asynccontextmanager
async def agent_of(folder: Path, run_dir: Path) -> AsyncIterator[tuple[Agent, Verbs]]:
    """An agent whose device says 12.3 V, running in this process."""
    agent, (driver,) = await asyncio.to_thread(make_agent, folder, run_dir, TEXT, Asked)

    async def answer(_: object) -> bytes:
        return (123).to_bytes(2) + (7).to_bytes(2)

    driver.answer = answer
    with living(agent) as task:
        await until(lambda: task.done() or (len(agent.sockets) == 2 and agent.recorder.samples > 5))
        yield agent, Verbs(agent)
        agent.stopping.set()
        await task


async def call(verbs: Verbs, name: str, **args: object) -> Any:
    return await verbs.view[name](dict(args))  # type: ignore[misc]


async def test_a_walk_is_noted_kept_signed_and_told(tmp_path: Path, run_dir: Path) -> None:
    async with agent_of(tmp_path, run_dir) as (agent, verbs):
        look = await call(verbs, "tick", point="d/p", verdict="ok", note="as its display", value="99")
        assert (look["value"], look["unit"], look["quality"]) == ("12.3", "V", "good")
        assert abs(look["seen_ms"] - agent.clock.utc_ms()) < 20_000
        await call(verbs, "tick", point="d/q", verdict="fault")
    async with agent_of(tmp_path, run_dir) as (agent, verbs):
        assert [one["verdict"] for one in (await call(verbs, "walk"))["points"]] == ["ok", "fault"]
        with pytest.raises(GatewayError, match="no record"):
            await call(verbs, "record")
        told = await call(verbs, "sign", who="Marie Tremblay", note="pole 7")
        assert (told["ok"], told["fault"], told["open"]) == (1, 1, 0)
        found = await call(verbs, "record")
        assert found["hash"] == told["hash"]
        record = Record.read(bytes.fromhex(found["message"]), PUBLIC)
        assert (record.who, record.note, record.looks[0].value) == ("Marie Tremblay", "pole 7", "12.3")
        assert await asyncio.to_thread(is_record, tmp_path / RECORD)
        await call(verbs, "tick", point="*", verdict="open")
        assert [one["verdict"] for one in (await call(verbs, "walk"))["points"]] == ["open", "open"]
    chain = await asyncio.to_thread(samples, tmp_path / "buffer.db", "gateway/commissioning")
    assert [json.loads(text) for text in chain] == [told]


def samples(store: Path, point: str) -> list[Any]:
    with Reader(store) as reader:
        return [one.value for one in History(reader, Selection((point,))).samples()]


async def test_what_is_no_verdict_is_refused(tmp_path: Path, run_dir: Path) -> None:
    async with agent_of(tmp_path, run_dir) as (_, verbs):
        for args in (
            {"point": "d/x", "verdict": "ok"}, {"point": "*", "verdict": "ok"}, {"point": "d/p", "verdict": "great"},
            {"point": "d/p", "verdict": "ok", "note": "x" * (MAX_NOTE + 1)}, {"point": ["d/p"], "verdict": "ok"},
            {"point": "d/p", "verdict": "ok", "note": "two\nlines"}, {},
        ):  # fmt: skip
            with pytest.raises(BadRequest):
                await call(verbs, "tick", **args)
        for who in ("", "x" * 65, 7):
            with pytest.raises(BadRequest):
                await call(verbs, "sign", who=who)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("damage", [b"", b"[", b'{"version":2}', b'{"version":1,"points":[{"point":1}]}', b"\xff"])
def test_a_walk_that_cannot_be_read_begins_again(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / NAME
    assert commissioning._load(file) == {}
    file.write_bytes(damage)
    assert commissioning._load(file) == {}


async def test_the_last_hour_is_decoded_once(tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with agent_of(tmp_path, run_dir) as (agent, verbs):
        await agent.keeper.flush()
        found = await call(verbs, "trends")
        assert set(found["points"]) == {"d/p", "d/q"}
        values = found["points"]["d/p"]
        assert (len(values), {value for value in values if value is not None}) == (trends.MINUTES, {12.3})
        assert set((await call(verbs, "trends", device="e"))["points"]) == set()
        monkeypatch.setattr(trends, "BATCHES_MAX", 0)  # what was seen stays seen
        assert (await call(verbs, "trends"))["points"]["d/q"].count(7.0) in (1, 2)


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (Decimal("0.1"), 0.1), (True, None), ("x", None), (float("inf"), None), (float("nan"), None)],
)
def test_a_line_is_made_of_numbers(value: Any, number: float | None) -> None:
    assert trends._number(value) == number


async def test_what_was_logged_lately_is_told_newest_first_and_bounded() -> None:
    lately, log = Lately(), logging.getLogger("gateway.made_up")
    log.setLevel(logging.DEBUG)
    lately.start()
    try:
        for number in range(LINES + 5):
            log.info("line %d", number)
        for _ in range(3):
            log.warning("again %s", "x" * 999)
        log.debug("a poll")
        logging.getLogger("bleak.made_up").error("another's")
    finally:
        lately.stop()
    log.info("too late")
    found = await lately.events({})
    assert [one["text"] for one in found][1:] == [f"line {number}" for number in range(LINES + 4, 5, -1)]
    assert (found[0]["times"], found[0]["level"], len(found[0]["text"])) == (3, "warning", 300)
