"""The small parts: the inbox's bounds, the service manager's socket, the database file."""

import asyncio
import logging
import os
import socket
import sqlite3
from pathlib import Path

import pytest

from collector.broker import Address
from collector.errors import DatabaseBroken, DatabaseBusy
from collector.notify import notify, watchdog_seconds
from collector.receiving import inbox
from collector.receiving.inbox import Inbox
from collector.receiving.incoming import Message
from collector.receiving.receive import Receiver
from collector.service import Service, Settings
from collector.tables.database import Database
from config import Broker
from tests.collector.maker import PLATFORM, SQLITE, UTC_MS, Bench, Gateway


async def test_inbox_groups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "GROUP_BYTES", 100)
    monkeypatch.setattr(inbox, "GROUP_MESSAGES", 3)
    box = Inbox()
    for size in (10, 10, 10, 10, 300, 5):
        box.put(Message("t", bytes(size)))
    sizes = []
    while not box.empty:
        sizes.append([len(message.payload) for message in await box.group()])
    assert sizes == [[10, 10, 10], [10, 300], [5]]


def test_inbox_lets_go_what_does_not_fit_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inbox, "MAX_BYTES", 100)
    box = Inbox()
    for _ in range(20):
        box.put(Message(f"t{box.metrics.dropped + box.messages}", bytes(30)))
    assert len(asyncio.run(box.group())) == 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "17 messages" in caplog.records[1].message
    box.put(Message("t", bytes(30)))
    assert not box.empty


def test_notify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "socket"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        notify("READY=1")
        assert channel.recv(100) == b"READY=1"
    monkeypatch.setenv("NOTIFY_SOCKET", "relative")
    notify("READY=1")


@pytest.mark.parametrize(
    ("usec", "pid", "wanted"),
    [
        ("10000000", "", 5.0),
        ("10000000", "self", 5.0),
        ("10000000", "1", None),
        ("", "", None),
        ("0", "", None),
        ("x", "", None),
    ],
)
def test_watchdog(monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, wanted: float | None) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "self" else pid)
    assert watchdog_seconds() == wanted


def test_tables_are_as_agreed(bench: Bench) -> None:
    """The names of the tables and columns that others read."""
    wanted = {
        "gateways": "gateway site kid public_key added_at revoked_at",
        "batches": "gateway stream number hash previous kind boot received_at bytes",
        "boots": "gateway boot offset_ms state",
        "series": "id gateway stream number device point unit type",
        "samples": "series ts_ms value exact text quality batch",
        "refused": "received_at topic reason bytes",
        "gaps": "gateway stream first last from_ms to_ms samples reason state",
    }
    for table, columns in wanted.items():
        found = bench.database.connection.execute(f"SELECT * FROM {table}")  # noqa: S608
        assert [column[0] for column in found.description][: len(columns.split())] == columns.split()


@SQLITE
def test_the_identity_of_a_batch_is_its_key(bench: Bench) -> None:
    keys = [row[1] for row in bench.rows("PRAGMA table_info(batches)") if row[5]]
    assert keys == ["gateway", "stream", "number"]


@SQLITE
def test_a_commit_is_on_the_disk(bench: Bench) -> None:
    assert bench.rows("PRAGMA journal_mode") == [("wal",)]
    assert bench.rows("PRAGMA synchronous") == [(2,)]


def test_another_version_is_left_alone(tmp_path: Path) -> None:
    Database.open(tmp_path / "c.db").close()
    with sqlite3.connect(tmp_path / "c.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    for open_it in (Database.open, Database.read):
        with pytest.raises(DatabaseBroken, match="found 99"):
            open_it(tmp_path / "c.db")


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "c.db") as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    with pytest.raises(DatabaseBroken):
        Database.open(tmp_path / "c.db")


def test_a_folder_that_is_not_there_is_worth_another_try(tmp_path: Path) -> None:
    with pytest.raises(DatabaseBusy):
        Database.open(tmp_path / "none" / "c.db")


@SQLITE
def test_a_locked_database_stores_nothing_and_goes_on_later(
    bench: Bench, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.rows("PRAGMA busy_timeout = 1")
    messages = gateway.hello(2)
    with sqlite3.connect(bench.database.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusy):
            bench.take(*messages)
        other.execute("ROLLBACK")
    other.close()
    assert bench.ack(*messages).cumulative == 3


@SQLITE
async def test_what_a_collector_that_died_left_to_be_decoded_is_decoded(
    bench: Bench, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one marked a batch ready, and nothing else comes in."""
    monkeypatch.setattr("collector.service.LOOK_SECONDS", 0.05)
    catalogue, samples = gateway.describe(), gateway.send([(1, 10, 1.0, 0)])
    idle = asyncio.Event()
    loop = asyncio.get_running_loop()

    def die() -> None:
        other = Database.open(bench.database.path)
        Receiver(other, PLATFORM, "lamppost", lambda: UTC_MS).take([samples, catalogue])
        other.close()

    class Telling(Receiver):
        def settle(self) -> int:
            found = super().settle()
            if not found:
                loop.call_soon_threadsafe(idle.set)
            return found

    receiver = await asyncio.to_thread(Telling, bench.database, PLATFORM, "lamppost", lambda: UTC_MS)
    address = Address(Broker.parse("mqtt://127.0.0.1:1"), "lamppost")
    service = Service(Settings(bench.database.path, Path("unused"), address))
    work = asyncio.create_task(service._work(receiver))
    async with asyncio.timeout(20):
        await idle.wait()
        await asyncio.to_thread(die)
        while not await service._call(bench.samples):  # noqa: ASYNC110 - a database tells of nothing
            await asyncio.sleep(0.01)
    work.cancel()
    await asyncio.wait([work])
