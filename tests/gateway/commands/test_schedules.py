"""The life of a schedule on the gateway: taken, on trial, in force, rolled back; real store and bus, virtual time."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer.calendar import Calendar
from buffer.command import Command, Wanted, Write, new_number
from buffer.keyring import Keyring, RingKey, parse_scope
from buffer.keys import SigningKey
from buffer.schedule import Entry, Schedule
from gateway.commands import ring, shelf
from gateway.commands.schedules import NOWHERE, Site
from gateway.commands.timetable import Timetable
from gateway.uplink.transport import Message
from tests.gateway.commands.test_life import AUTHORITY, OPERATOR, POINT, RING, Life, World, template
from tests.gateway.support import GATEWAY, TRUTH, bus, decoded, device, in_memory, samples

T = TypeVar("T")
RULES = "min = 0, max = 100, unset_value = 90, revert_after = '300s', safe_value = 77"
TEXT = bus() + device("lamp", f"level writable = {{ {RULES} }}")
ASIDE = Site("UTC", (43.6, -79.6))


class AtOnce(ThreadPoolExecutor):
    """Does everything in place, so that virtual time stands still meanwhile."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            done.set_exception(error)
        return done


class Street:
    """One lamp, its agent, and an operator. It is 14:30:00 UTC on 2026-09-21."""

    def __init__(self, text: str = TEXT, where: Site = NOWHERE) -> None:
        self.world = World(in_memory())
        shutil.copy(template(), self.world.folder)
        ring.beside(self.world.folder / "buffer.db").write_bytes(RING)
        self.world.loop.set_default_executor(AtOnce())
        self.text, self.where = text, where
        self.writes: list[int] = []
        self.value, self.mode, self.edition = 0, "ok", 0
        self.begin()

    def begin(self) -> None:
        self.life = Life(self.world, self.text, self.where)
        self.life.lamp.value, self.life.lamp.mode = self.value, self.mode
        self.life.lamp.arrived = self.writes.append
        self.life.office.desk.acknowledged(fresh=True, newer=True)

    def kill(self, *, reboot: bool = False) -> None:
        self.life.end(self.world.loop)
        self.value = self.life.lamp.value
        self.world.boot += reboot
        self.begin()

    def run(self, seconds: float) -> None:
        self.world.loop.run_until_complete(asyncio.sleep(seconds))
        for task in self.life.tasks:
            if task.done():
                task.result()

    def rearrange(self, text: str) -> None:
        """Another configuration for the life that runs."""
        self.life.rearrange(self.world, text)
        self.life.lamp.value, self.life.lamp.mode = self.value, self.mode
        self.life.lamp.arrived = self.writes.append

    def now_ms(self) -> int:
        return TRUTH + self.world.loop.boot_ms()

    def send(self, *entries: tuple[str, Wanted | int], edition: int = 0, **more: Any) -> int:
        """Send a schedule of (time, value); its number."""
        self.edition = edition or self.edition + 1
        points = more.get("points", (POINT,))
        made = tuple(
            Entry(points, at, Decimal(value) if type(value) is int else value)  # type: ignore[arg-type]
            for at, value in entries
        )
        number, now = more.get("number") or new_number(), self.now_ms()
        schedule = Schedule(
            more.get("gateway", GATEWAY), more.get("stream", self.life.store.stream), number, now,
            now + more.get("life_ms", 60_000), self.edition, made, "anna", "dim",
        )  # fmt: skip
        self.message = schedule.sign(more.get("key", OPERATOR))
        self.give(self.message, retained=more.get("retained", False))
        return int(number)

    def give(self, message: bytes, *, retained: bool = False) -> None:
        self.life.office.desk.received(Message("command", message, retained))
        self.run(3)

    def command(self, value: int) -> None:
        now = self.now_ms()
        write = Write(POINT, Decimal(value))
        made = Command(GATEWAY, self.life.store.stream, new_number(), now, now + 60_000, (write,), "otto", "w")
        self.give(made.sign(OPERATOR))

    def told(self) -> list[dict[str, Any]]:
        """All results in the chain, in order."""
        self.world.loop.run_until_complete(self.life.keeper.flush())
        return [
            json.loads(str(value))
            for batch in decoded(self.world.folder / "buffer.db")
            if batch.header.kind == "batch" and batch.header.samples
            for number, _, value, _ in samples(batch)
            if number == self.life.results
        ]

    def of(self, number: int) -> list[tuple[str, str]]:
        """Status and reason of what was told of a number."""
        return [(one["status"], one["reason"]) for one in self.told() if one["number"] == number]

    def status(self) -> dict[str, Any]:
        return self.world.loop.run_until_complete(self.life.office.schedules.json())

    def close(self) -> None:
        self.life.end(self.world.loop)
        shutil.rmtree(self.world.folder)
        self.world.loop.close()


@pytest.fixture
def street() -> Iterator[Street]:
    made = Street()
    yield made
    made.close()


def test_a_schedule_is_taken_and_each_switch_is_written_and_told_of_once(street: Street) -> None:
    number = street.send(("13:00", 10), ("14:32", 20), ("14:34", 30))
    assert street.writes == [10]  # what is in force now
    assert street.of(number) == [("verified", "")]
    street.run(300)
    assert street.writes == [10, 20, 30]
    switches = [one for one in street.told() if one["source"] == "schedule"]
    assert [(one["status"], one["who"], one["key"]) for one in switches] == [("verified", "anna", "anna")] * 3
    assert [one["why"] for one in switches][1] == "dim (schedule 1, 14:32)"
    assert [one["writes"][0]["read_back"] for one in switches] == [10, 20, 30]
    found = street.status()
    assert (found["edition"], found["trial"], found["who"], found["key"]) == (1, False, "anna", "anna")
    (here,) = found["in_force"]
    assert (here["value"], here["state"]) == (30, "verified")
    assert [(one["value"], one["at"]) for one in found["next"]][:3] == [(10, "13:00"), (20, "14:32"), (30, "14:34")]
    assert len(found["next"]) == 10


def test_the_next_one_takes_the_place_of_the_whole_and_a_lower_one_is_never_taken(street: Street) -> None:
    street.send(("13:00", 10), ("14:32", 20), edition=5)
    old = street.message
    second = street.send(("13:30", 50), edition=7)
    lower = street.send(("13:40", 60), edition=6)
    street.give(old)
    street.run(200)
    assert street.writes == [10, 50]
    assert street.of(second) == [("verified", "")]
    assert street.of(lower) == [("refused", "edition: 6 came, 7 was here")]
    street.kill()
    street.run(2)
    equal = street.send(("13:40", 60), edition=7)
    assert street.of(equal) == [("refused", "edition: 7 came, 7 was here")]
    assert street.writes == [10, 50, 50]


@pytest.mark.parametrize(
    ("entries", "more", "reason"),
    [
        ([("13:00", 10)], {"points": ("lamp/other",)}, "not-writable: there is no point lamp/other"),
        ([("13:00", 10), ("23:00", 101)], {}, "limits: lamp/level: 101 is above 100"),
        ([("13:00", "dim")], {}, "limits: lamp/level: 'dim' is a text"),
        ([("sunset", 10)], {}, "location: lamp/level: nobody knows where it is"),
        ([("13:00", 10)], {"stream": bytes(16)}, "stream: "),
    ],
)
def test_what_cannot_be_done_is_refused_as_a_whole(
    street: Street, entries: list[tuple[str, int]], more: dict[str, Any], reason: str
) -> None:
    street.send(("13:10", 5))
    number = street.send(*entries, **more)
    ((status, why),) = street.of(number)
    assert status == "refused"
    assert why.startswith(reason)
    assert street.writes == [5]
    assert street.status()["edition"] == 1


def test_what_nobody_may_send_is_not_taken(street: Street) -> None:
    street.send(("13:10", 5), gateway="gw-other")
    street.send(("13:10", 5), retained=True)
    street.send(("13:10", 5), key=AUTHORITY)
    good = street.message
    street.give(good[:-1] + bytes([good[-1] ^ 1]))
    assert street.writes == []
    assert street.status()["edition"] is None
    assert set(street.life.office.status()["refused"]) >= {"addressee", "retained"}


def test_a_trial_is_not_over_before_it_began() -> None:
    """What the schedule before had done says nothing of the new one."""
    calendar = Calendar([Entry((POINT,), "13:00", Decimal(10))], ZoneInfo("UTC"), lambda _: None)
    before = Timetable(calendar)
    (switch,) = before.due(0, TRUTH, lambda _: None)
    before.standings[POINT].end("verified")
    assert before.begun
    other = Calendar([Entry((POINT,), "13:00", Decimal(20))], ZoneInfo("UTC"), lambda _: None)
    after = Timetable(other, before.standings)
    assert not after.begun
    assert [one.value for one in after.due(0, TRUTH, lambda _: None)] == [20]
    assert (switch.value, after.begun) == (10, False)


def test_a_device_that_does_not_take_it_brings_the_last_good_one_back(street: Street) -> None:
    first = street.send(("13:00", 10))
    street.life.lamp.mode = "refuses"
    second = street.send(("13:30", 20))
    street.run(5)
    assert street.of(first) == [("verified", "")]
    ((status, why),) = street.of(second)
    assert status == "failed"
    assert why.startswith("rolled back to schedule 1: lamp/level: ")
    found = street.status()
    assert (found["edition"], found["highest"], found["trial"]) == (1, 2, False)
    street.life.lamp.mode = "ok"
    street.kill()
    street.run(3)
    assert street.writes == [10, 10]
    assert street.of(street.send(("13:30", 20), edition=2))[0][0] == "refused"


def test_the_first_one_stays_for_there_is_none_before_it(street: Street) -> None:
    street.life.lamp.mode = "stuck"
    street.life.lamp.value = 1
    number = street.send(("13:00", 10))
    street.run(8)
    ((status, why),) = street.of(number)
    assert (status, "there is none before it" in why) == ("failed", True)
    assert street.status()["edition"] == 1


@pytest.mark.parametrize("first", [True, False])
def test_a_kill_while_a_trial_ends_never_makes_a_failed_one_good(street: Street, first: bool) -> None:
    if not first:
        street.send(("12:00", 0))
    street.life.lamp.mode = "stuck"
    street.life.lamp.value = 1
    number = street.send(("13:00", 10))
    while street.life.office.schedules._shelf.kept.trial:
        street.run(0.0005)
    street.kill()
    street.life.lamp.mode = "stuck"
    street.run(20)
    ((status, _),) = street.of(number)
    assert status in ({"failed"} if first else {"failed", "unknown"})
    assert not street.status()["trial"]


def test_a_device_that_does_not_answer_is_no_fault_of_the_schedule(street: Street) -> None:
    street.send(("13:00", 10))
    street.life.lamp.mode = "mute"
    number = street.send(("13:30", 20), ("14:36", 30))
    street.run(130)
    assert street.of(number) == [("verified", "")]
    assert [one["status"] for one in street.told() if one["source"] == "schedule"][1:] in (["unknown"], ["failed"])
    street.life.lamp.mode = "ok"
    street.run(70)
    late = [one for one in street.told() if one["source"] == "schedule"]
    assert [one["status"] for one in late][2:] == ["verified"]  # done after all, and told of again
    assert street.life.lamp.value == 20
    street.run(240)
    assert street.life.lamp.value == 30


def test_after_a_start_the_value_in_force_is_written_once(street: Street) -> None:
    street.send(("13:00", 10), ("18:00", 20))
    street.kill(reboot=True)
    street.run(90)
    assert street.writes == [10, 10]
    street.kill()
    street.run(30)
    assert street.writes == [10, 10, 10]


def test_a_command_holds_until_the_next_switch_and_over_a_restart(street: Street) -> None:
    street.send(("13:00", 10), ("14:33", 20))
    street.command(55)
    street.run(5)
    street.kill()
    street.run(20)
    assert street.writes == [10, 55]
    assert street.status()["in_force"][0]["state"] == "command"
    street.run(200)
    assert street.writes == [10, 55, 20]


def test_what_a_command_wrote_goes_back_to_the_schedule(street: Street) -> None:
    """Not to the safe value, and what the schedule writes does not go back at all."""
    street.send(("13:00", 10))
    street.command(55)
    street.run(700)
    assert street.writes == [10, 55, 10]
    told = [one["source"] for one in street.told()]
    assert (sorted(told), told[-1]) == (["remote", "remote", "revert", "schedule"], "revert")


def test_a_lock_holds_the_schedule_off_and_its_end_replays_nothing(street: Street) -> None:
    street.world.loop.run_until_complete(street.life.office.lock("lamp", "new driver", "eva", None))
    street.send(("13:00", 10), ("14:33", 20))
    street.kill()
    street.run(10)
    assert street.writes == []
    street.world.loop.run_until_complete(street.life.office.unlock("lamp", "eva"))
    street.run(60)
    assert street.writes == []
    street.run(130)
    assert street.writes == [20]


def test_an_unset_clock_and_a_clock_that_gets_set(street: Street) -> None:
    street.send(("13:00", 10), ("18:00", 20))
    street.world.sync = False
    street.kill(reboot=True)
    street.run(50)
    assert street.writes == [10]
    street.run(20)
    assert street.writes == [10, 90]
    street.run(100)
    street.world.sync = True
    street.run(5)
    assert street.writes == [10, 90, 10]


def test_a_receiver_may_tell_the_time_of_a_schedule(street: Street) -> None:
    street.send(("13:00", 10), ("18:00", 20))
    street.world.sync = False
    street.kill(reboot=True)
    for _ in range(20):
        street.life.clock.receiver_time(street.now_ms(), 0)
        street.run(1)
    assert street.writes == [10, 10]


def test_steps_of_the_clock(street: Street) -> None:
    street.send(("13:00", 10), ("14:32", 20), ("15:00", 30), ("16:00", 40))
    street.run(150)
    assert street.writes == [10, 20]
    street.world.skew = -120_000  # back before the switch: it is done, and stays done
    street.run(150)
    assert street.writes == [10, 20]
    street.world.skew = 3 * 3_600_000  # over two of them: the last counts
    street.run(5)
    assert street.writes == [10, 20, 40]
    street.world.skew = 0  # it was wrong
    street.run(5)
    assert street.writes == [10, 20, 40, 20]


def test_a_kill_at_any_moment_of_taking_one_leaves_one_result(street: Street) -> None:
    numbers = []
    for step in range(14):
        number = new_number()
        numbers.append(number)
        edition = street.edition + 1
        now = street.now_ms()
        entry = Entry((POINT,), "13:30", Decimal(step + 1))
        made = Schedule(
            GATEWAY, street.life.store.stream, number, now, now + 60_000, edition, (entry,), "anna", "dim"
        )  # fmt: skip
        street.edition = edition
        street.life.office.desk.received(Message("command", made.sign(OPERATOR), retained=False))
        street.world.loop.run_until_complete(asyncio.sleep(0.001 * step**2))
        street.kill()
        street.run(3)
    street.run(130)
    for number in numbers:
        assert len(street.of(number)) <= 1, number
    current = street.status()
    assert current["edition"] == street.edition
    assert street.of(current["number"]) == [("verified", "")]
    assert street.life.lamp.value == 14
    taken = [street.of(number) for number in numbers]
    assert {one[0][0] for one in taken if one} <= {"verified", "unknown", "refused"}


def test_a_damaged_file_is_told_of_and_the_next_schedule_is_taken(street: Street) -> None:
    street.send(("13:00", 10))
    file = shelf.beside(street.world.folder / "buffer.db")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    street.life.end(street.world.loop)
    file.write_bytes(data)
    street.begin()
    street.run(5)
    found = street.status()
    assert (found["edition"], "cannot be read" in found["damaged"]) == (None, True)
    street.send(("13:30", 20))
    assert (street.writes, street.status()["damaged"]) == ([10, 20], None)


def test_a_disk_that_does_not_take_it(street: Street) -> None:
    street.send(("13:00", 10))
    way = shelf.beside(street.world.folder / "buffer.db").with_name(shelf.NAME + ".new")
    way.mkdir()
    number = street.send(("13:30", 20))
    ((status, why),) = street.of(number)
    assert (status, why.startswith("the disk does not take it")) == ("failed", True)
    assert (street.writes, street.status()["edition"]) == ([10], 1)
    way.rmdir()
    street.send(("13:30", 20), edition=2)
    assert (street.writes, street.status()["edition"]) == ([10, 20], 2)


def test_what_the_configuration_no_longer_allows_is_left_out() -> None:
    street = Street()
    street.send(("13:00", 10), ("14:33", 60))
    street.text = TEXT.replace("max = 100", "max = 90").replace("max = 90", "max = 50").replace("90", "40")
    street.text = street.text.replace("77", "7")
    street.kill()
    street.run(240)
    assert street.writes == [10, 10]
    assert street.status()["left_out"] == ["lamp/level: 60 is above 50"]
    street.close()


def test_a_configuration_without_one_of_its_points_stops_no_other() -> None:
    """Out of changed files or from afar, while the agent runs: lamp2 is gone, then there again with another rule."""
    rules = f"{{ {RULES} }}"
    both = bus() + device("lamp", f"level writable = {rules}") + device("lamp2", f"level writable = {rules}")
    street = Street(both)
    first = street.send(("13:00", 10), ("14:32", 20), ("14:34", 30), points=(POINT, "lamp2/level"))
    assert street.of(first) == [("verified", "")]
    assert street.writes == [10, 10]
    street.rearrange(TEXT)
    street.run(120)
    assert street.status()["left_out"] == ["there is no point lamp2/level"] * 3
    assert street.writes == [10, 10, 20]
    street.rearrange(both.replace("max = 100", "max = 90"))
    street.run(120)
    assert street.writes == [10, 10, 20, 20, 30, 30]
    assert street.status()["left_out"] == []
    assert all(one["status"] == "verified" for one in street.told())
    street.close()


def test_who_is_removed_does_nothing_that_waits_still(street: Street) -> None:
    """What lies behind the next keyring in the queue is judged by that."""
    now, stream = street.now_ms(), street.life.store.stream
    numbers = new_number(), new_number()
    write, entry = Write(POINT, Decimal(40)), Entry((POINT,), "13:00", Decimal(30))
    made = Command(GATEWAY, stream, numbers[0], now, now + 60_000, (write,), "anna", "w")
    schedule = Schedule(GATEWAY, stream, numbers[1], now, now + 60_000, 1, (entry,), "anna", "dim")
    for message in (Keyring(2, now, ()).sign(AUTHORITY), made.sign(OPERATOR), schedule.sign(OPERATOR)):
        street.life.office.desk.received(Message("command", message, retained=False))
    street.run(5)
    assert street.writes == []
    assert street.life.office.status()["keyring"] == 2
    for number in numbers:
        ((status, why),) = street.of(number)
        assert (status, why.partition(":")[0]) == ("refused", "key")


def test_who_may_not_write_a_point_takes_it_out_of_no_schedule() -> None:
    """A schedule takes the place of the whole one before: who is there for one lamp leaves no street dark."""
    street = Street(bus() + "".join(device(name, f"level writable = {{ {RULES} }}") for name in ("lamp", "lamp2")))
    street.send(("13:00", 10), points=(POINT, "lamp2/level"))
    helper = SigningKey(Ed25519PrivateKey.generate())
    keys = [
        RingKey(name, "command", key.public("", "", "command").raw, (parse_scope(scope),))
        for name, key, scope in (("anna", OPERATOR, "*"), ("bob", helper, "*/*/lamp"))
    ]
    street.give(Keyring(2, street.now_ms(), tuple(keys)).sign(AUTHORITY))
    number = street.send(("13:00", 20), key=helper)
    assert street.of(number) == [("refused", "scope: bob may not end what schedule 1 says of lamp2/level")]
    assert street.of(street.send(("13:00", 20))) == [("verified", "")]
    assert street.of(street.send(("13:00", 30), key=helper)) == [("verified", "")]
    street.close()


def test_an_edition_leaves_room_for_others(street: Street) -> None:
    """Else one schedule of somebody who is removed then would be the last one of the gateway for ever."""
    far = street.send(("13:00", 10), edition=street.now_ms() + 100_000_000)
    ((status, why),) = street.of(far)
    assert (status, why.partition(":")[0]) == ("refused", "edition")
    assert street.of(street.send(("13:00", 20), edition=street.now_ms())) == [("verified", "")]


def test_names_of_values() -> None:
    """What is not a number is compared as it is; this device knows numbers only, and says so."""
    street = Street(TEXT.replace(RULES, "allowed = ['auto', 'off'], safe_value = 'off'"))
    number = street.send(("13:00", "on"))
    assert street.of(number) == [("refused", "limits: lamp/level: on is not one of auto, off")]
    street.close()


def test_lamps_go_on_at_sunset() -> None:
    """Toronto at the equinox: six hours after noon, which is at 13:11 EDT there."""
    street = Street(where=ASIDE)
    street.send(("sunset", 80), ("sunrise", 5))
    assert street.writes == [5]
    first = street.status()["next"][0]
    assert first["value"] == 80
    assert abs(first["utc_ms"] - 1_790_032_500_000) < 900_000
    street.close()
