"""The store as the uplink sees it."""

import asyncio
from pathlib import Path

import pytest

from gateway.keeping import outbox as module
from gateway.keeping.outbox import StoreOutbox
from tests.gateway.support import Parts, bus, device


async def test_a_backlog_is_read_by_page_and_commits_go_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_BATCHES", 2)
    made = await asyncio.to_thread(lambda: Parts(tmp_path, bus() + device("d", "a")))
    await made.open()
    try:
        for value in range(6):
            made.recorder.value("d/a", value)
            await made.keeper.flush()
        held = [batch async for page in StoreOutbox(made.thread, made.clock).held() for batch in page]
        assert [batch.number for batch in held] == [1, 2, 3, 4, 5, 6, 7]
        await made.thread.call(lambda store: store.acknowledge_numbers([1, 4]))
        held = [batch async for page in StoreOutbox(made.thread, made.clock).held() for batch in page]
        assert [batch.number for batch in held] == [2, 3, 5, 6, 7]
    finally:
        await made.close()
