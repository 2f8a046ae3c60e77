"""Locks by bus and address, over restarts, reboots and renaming; whatever is in doubt stays locked."""

import asyncio
from pathlib import Path

import pytest

from buffer.errors import NotAllowed
from gateway.clock import AgentClock
from gateway.commands.locks import Locks, Place, _load, beside
from tests.gateway.support import BOOT, Asked, Hand, make

HOUR = 3_600_000
BUS = '[buses.{bus}]\ndriver = "test"\ntag = 1\n[devices.{name}]\nbus = "{bus}"\npoints.p = {{}}\n'


def locks(folder: Path, *, name: str = "lamp", bus: str = "b", boot: bytes = BOOT, hand: Hand | None = None) -> Locks:
    """The locks of a life of the agent."""
    _, drivers = make(folder, BUS.format(name=name, bus=bus), Asked)
    made = Locks(beside(folder / "buffer.db"), drivers, AgentClock(boot, hand or Hand()))
    made.load()
    return made


def locked(found: Locks, device: str = "lamp") -> bool:
    """Whether it is."""
    try:
        found.check(device)
    except NotAllowed as error:
        return error.reason == "lock"
    return False


def test_a_lock_holds_until_it_is_ended(tmp_path: Path) -> None:
    first = locks(tmp_path)
    assert not locked(first)
    asyncio.run(first.lock("lamp", "new lamp", "eva", None))
    assert locked(first)
    assert locked(locks(tmp_path))
    assert locked(locks(tmp_path, boot=bytes(16), hand=Hand(boot=10 * HOUR, sync=False)))
    assert locked(locks(tmp_path, name="lamp-renamed"), "lamp-renamed")
    with pytest.raises(NotAllowed, match="lamp is locked by eva: new lamp"):
        first.check("lamp")
    ended = asyncio.run(first.unlock("lamp"))
    assert ended is not None
    assert ended.who == "eva"
    assert asyncio.run(first.unlock("lamp")) is None
    assert not locked(locks(tmp_path))


def test_a_lock_with_an_end(tmp_path: Path) -> None:
    hand = Hand()
    first = locks(tmp_path, hand=hand)
    asyncio.run(first.lock("lamp", "r", "eva", HOUR))
    hand.boot += HOUR - 1
    assert locked(first)
    other = bytes(16)
    assert locked(locks(tmp_path, boot=other, hand=Hand(boot=HOUR, sync=False)))  # who knows how late it is
    assert locked(locks(tmp_path, boot=other, hand=Hand(boot=HOUR)))
    assert not locked(locks(tmp_path, boot=other, hand=Hand(boot=HOUR + 1_000)))
    hand.boot += 1
    assert not locked(first)


def test_an_end_that_no_clock_knew_is_none_after_a_reboot(tmp_path: Path) -> None:
    hand = Hand(sync=False)
    first = locks(tmp_path, hand=hand)
    asyncio.run(first.lock("lamp", "r", "eva", HOUR))
    assert locked(locks(tmp_path, boot=bytes(16), hand=Hand(boot=100 * HOUR)))
    hand.boot += HOUR
    assert not locked(first)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 2, "locks": []}', b'{"version": 1, "locks": [{}]}']
)
def test_while_the_file_makes_no_sense_everything_is_locked(tmp_path: Path, content: bytes) -> None:
    beside(tmp_path / "buffer.db").write_bytes(content)
    assert locked(locks(tmp_path))


def test_another_lock_takes_the_place_of_the_first(tmp_path: Path) -> None:
    found = locks(tmp_path)
    asyncio.run(found.lock("lamp", "one", "eva", HOUR))
    asyncio.run(found.lock("lamp", "two", "ann", None))
    assert [lock.reason for lock in found.held()] == ["two"]
    assert [lock.reason for lock in _load(beside(tmp_path / "buffer.db"))] == ["two"]


def test_a_lock_that_the_disk_does_not_take_is_none(tmp_path: Path) -> None:
    found = locks(tmp_path)
    (tmp_path / "locks.json.new").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        asyncio.run(found.lock("lamp", "r", "eva", None))
    assert not locked(found)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("modbus 10.0.0.5", "modbus 10.0.0.5", True), ("modbus plc.local 502", "modbus PLC.local", True),
        ("modbus 10.0.0.5 502", "modbus 10.0.0.5 503", False), ("modbus 10.0.0.5", "modbus 10.0.0.50", False),
        ("modbus 10.0.0.5", "ble_gatt hci0", False), ("", "", False),
        ("modbus /tmp/../dev/null", "modbus /dev/null", True),
    ],
)  # fmt: skip
def test_one_device_by_two_names(one: str, other: str, same: bool) -> None:
    assert Place("a", one, "7").same(Place("b", other, "7")) is same
    assert Place("a", other, "7").same(Place("b", one, "7")) is same
    assert not Place("a", one, "7").same(Place("b", other, "8"))
    assert Place("a", one, "aa:0B").same(Place("a", other, "AA:0b"))


def test_what_may_be_a_locked_device_is_not_begun(tmp_path: Path) -> None:
    """A host has many names, of which a gateway knows one."""
    found = locks(tmp_path)
    found._places = {"lamp": Place("b", "modbus plc", "7"), "pump": Place("c", "modbus pump", "7")}
    asyncio.run(found.lock("lamp", "r", "eva", None))
    found.check_new("pump2", Place("d", "modbus pump", "7"))
    found.check_new("other", Place("d", "modbus 10.0.0.9", "8"))
    with pytest.raises(NotAllowed, match="may be lamp"):
        found.check_new("other", Place("d", "modbus 10.0.0.9", "7"))
    asyncio.run(found.unlock("lamp"))
    found.check_new("other", Place("d", "modbus 10.0.0.9", "7"))


def test_two_technicians_at_once(tmp_path: Path) -> None:
    """Whoever is told of a lock has it, in memory and on the disk, whatever others do meanwhile."""
    two = BUS.format(name="lamp", bus="b") + BUS.format(name="pump", bus="c")
    _, drivers = make(tmp_path, two, Asked)
    found = Locks(beside(tmp_path / "buffer.db"), drivers, AgentClock(BOOT, Hand()))

    async def both() -> None:
        for _ in range(20):
            await found.lock("lamp", "r", "eva", None)
            await asyncio.gather(found.unlock("lamp"), found.lock("pump", "r", "ann", None))
            assert (locked(found, "lamp"), locked(found, "pump")) == (False, True)
            await asyncio.gather(found.lock("lamp", "r", "eva", None), found.lock("pump", "again", "ann", HOUR))
            assert sorted(lock.device for lock in _load(beside(tmp_path / "buffer.db"))) == ["lamp", "pump"]

    asyncio.run(both())
