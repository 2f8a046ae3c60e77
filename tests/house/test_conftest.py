"""The shared fixtures do what they say."""

import os
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from blockbuster import BlockingError

from tests.conftest import ROOT, Watch
from tests.mosquitto import Mosquitto


def _as_ours(function: Callable[[], object]) -> Callable[[], object]:
    """`function` as if it stood in a file of ours."""
    code: CodeType = function.__code__.replace(co_filename=str(ROOT / "config" / "made_up.py"))
    return FunctionType(code, globals())


async def test_event_loop_watch_fails_what_blocks(event_loop_watch: Watch) -> None:
    with pytest.raises(BlockingError):
        _as_ours(lambda: time.sleep(0))()
    assert event_loop_watch.calls == ["time.sleep"]
    event_loop_watch.calls.clear()


async def test_event_loop_watch_sees_sqlite(event_loop_watch: Watch) -> None:
    with pytest.raises(BlockingError):
        _as_ours(lambda: sqlite3.connect(":memory:").execute("select 1"))()
    event_loop_watch.calls.clear()


async def test_event_loop_watch_leaves_the_test_alone() -> None:
    time.sleep(0)  # noqa: ASYNC251 - that is the point


def test_mosquitto_keeps_its_port_over_restarts(mosquitto: Mosquitto) -> None:
    port = mosquitto.port
    for end in (mosquitto.stop, mosquitto.kill):
        end()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        mosquitto.start()
        assert mosquitto.port == port
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_mosquitto_says_why_it_did_not_start(make_mosquitto: Callable[..., Mosquitto]) -> None:
    with pytest.raises(RuntimeError, match="no_such_option"):
        make_mosquitto("no_such_option true")


def test_tmpfs_is_as_small_as_asked(tmpfs: Callable[[int], Path]) -> None:
    with pytest.raises(OSError, match="No space left"):
        (tmpfs(65536) / "file").write_bytes(b"x" * 100_000)


def test_a_pty_that_is_not_seen_in_the_text_fails_the_test() -> None:
    with pytest.raises(pytest.fail.Exception, match="PTYS"):
        getattr(os, "open" + "pty")()
