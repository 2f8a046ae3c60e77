"""What is judged of facts: each fault alone, all pairs, and what no fault may be called."""

import copy
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from config import Point, Problem
from drivers.uart import LineCounts
from ext import GOOD, LIMITS, Layout
from gateway.doctor.doctor import judge
from gateway.doctor.facts import Facts, Service
from gateway.doctor.finding import Level
from gateway.doctor.net import connect_packet
from gateway.doctor.words import _verdict

DAY = 86_400_000
NOW = 1_795_000_000_000
RECENT = [""] * 32


def device(name: str, order: int) -> dict[str, Any]:
    """`status` of a device that is well."""
    return {"id": name, "state": "online", "last_error": "", "errors": {}, "order": order}


def healthy() -> Facts:
    """An installation in which nothing is wrong."""
    names = ("a", "b", "c", "d")
    status = {
        "stuck": [], "config_wrong": [], "clock": "synchronized", "clock_from": "system",
        "buses": [
            {"id": "cable", "driver": "modbus", "up": True, "error": "", "planned": 0.3,
             "devices": [device(name, order) for order, name in enumerate(names, 1)]},
            {"id": "air", "driver": "ble", "up": True, "error": "", "planned": None, "devices": []},
        ],
        "buffer": {
            "path": "/var/lib/lamppost/buffer.db", "bytes": 10**6, "error": "", "salvage": [],
            "held": {"refused": 0, "oldest": None}, "made_room": {"thinned": 0, "evicted": 0},
            "disk": {"state": "ok", "free": 10**9, "low": False}, "card": {"years": 30.0},
        },
        "uplink": {"up": True, "broker": "mqtts://b:8883", "since_s": 90, "error": "", "last_ack_s": 3.0,
                   "bad_acks": 0},
    }  # fmt: skip
    bus = {"port": "/dev/ttyX", "baud": 9600, "uart_now": None, "echo": False, "swapped": [], "others": []}
    places = {
        name: {"order": order, "address": 10 + order, "recent": list(RECENT), "followed": 0.0}
        for order, name in enumerate(names, 1)
    }
    seen = {
        "pid": 1, "status": status, "changed": [], "system_utc_ms": NOW, "brokers": [],
        "buses": {"cable": {**bus, "devices": places}, "air": {**bus, "port": None, "devices": {}}},
        "uplink": {"refusal": "", "unanswered_s": None},
        "certificates": [{"path": "gw.pem", "from_utc_ms": NOW - DAY, "until_utc_ms": NOW + 90 * DAY, "error": ""}],
    }  # fmt: skip
    return Facts(Path("/etc/lamppost/lamppost.toml"), Service.RUNS, seen=seen)


def cable(facts: Facts) -> tuple[dict[str, Any], dict[str, Any]]:
    """`status` and `examine` of the cable."""
    return facts.seen["status"]["buses"][0], facts.seen["buses"]["cable"]


def gone(facts: Facts, *names: str, error: str = "NoAnswer") -> Facts:
    """These devices do not answer."""
    status, more = cable(facts)
    for one in status["devices"]:
        if one["id"] in names:
            one |= {"state": "offline", "last_error": "no answer within 0.5 s"}
            more["devices"][one["id"]]["recent"] = [error] * 8
    return facts


def closed(facts: Facts, bus: int, error: str) -> Facts:
    facts.seen["status"]["buses"][bus] |= {"up": False, "error": error}
    return facts


def down(facts: Facts, fault: str) -> Facts:
    facts.seen["status"]["uplink"] |= {"up": False, "error": "gone", "since_s": 60}
    facts.seen["brokers"].append({"url": "mqtts://b:8883", "fault": fault, "error": "so it is"})
    return facts


def put(facts: Facts, value: object, *path: str) -> Facts:
    """`facts` with `value` at `path` of what was seen."""
    table: Any = facts.seen
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value
    return facts


def baud(facts: Facts) -> Facts:
    gone(facts, "a", "b", "c", "d")
    return put(facts, [{"device": "a", "kind": "baud", "value": 19200}], "buses", "cable", "others")


def unit(facts: Facts) -> Facts:
    gone(facts, "b")
    return put(facts, [{"device": "b", "kind": "address", "value": 21}], "buses", "cable", "others")


def expired(facts: Facts) -> Facts:
    down(facts, "certificate-refused").seen["certificates"][0]["until_utc_ms"] = NOW - DAY
    return facts


def early(facts: Facts) -> Facts:
    put(facts, 31_536_000_000, "system_utc_ms")
    facts.seen["certificates"][0]["from_utc_ms"] = NOW - DAY
    return down(facts, "not-yet-valid")


def full(facts: Facts) -> Facts:
    facts.seen["status"]["buffer"] |= {"error": "database or disk is full"}
    return put(facts, 0, "status", "buffer", "disk", "free")


UNKNOWN = Problem("lamppost.toml", "buses.cable.colour", "unknown key", "red")
SALVAGED = {"file": "buffer.db.1", "moved": False, "samples": 5, "lost": 1, "waiting": 0, "done": True}
MOVED = SALVAGED | {"file": "buffer.db.1.moved", "moved": True, "lost": 0}

FAULTS: dict[str, tuple[str, Callable[[Facts], Facts]]] = {
    "wrong baud": ("wrong-baud", baud),
    "wrong unit": ("wrong-unit", unit),
    "swapped words": (
        "swapped-words",
        lambda f: put(f, [{"device": "a", "points": ("a/v",), "order": "CDAB"}], "buses", "cable", "swapped"),
    ),
    "cable out": ("line-silent", lambda f: gone(f, "a", "b", "c", "d")),
    "cable open": ("line-open", lambda f: gone(f, "c", "d")),
    "dead device": ("device-silent", lambda f: gone(f, "b")),
    "duplicate address": ("duplicate-address", lambda f: put(f, 0.9, "buses", "cable", "devices", "c", "followed")),
    "garbled device": ("duplicate-address", lambda f: gone(f, "c", error="BadAnswer")),
    "garbled line": ("wrong-baud", lambda f: gone(f, "a", "b", "c", "d", error="BadAnswer")),
    "no permission": ("port-denied", lambda f: closed(f, 0, "cannot open /dev/ttyX: permission denied")),
    "port taken": ("port-taken", lambda f: closed(f, 0, "cannot open /dev/ttyX: another program has it open")),
    "port gone": ("port-missing", lambda f: closed(f, 0, "/dev/ttyX is gone: hung up")),
    "adapter off": ("adapter-off", lambda f: closed(f, 1, "Bluetooth adapter hci0 is off (bluetoothctl power on)")),
    "bus overload": ("bus-overload", lambda f: (f.seen["status"]["buses"][0].update(planned=1.7), f)[1]),
    "clock in 1971": ("clock-wrong", early),
    "disk full": ("disk-full", full),
    "corrupt buffer": ("buffer-damaged", lambda f: put(f, [SALVAGED], "status", "buffer", "salvage")),
    "broker down": ("broker-down", lambda f: down(f, "broker-down")),
    "wrong CA": ("wrong-ca", lambda f: down(f, "wrong-ca")),
    "expired certificate": ("certificate-expired", expired),
    "ACL refusal": ("acl", lambda f: put(f, "Not authorized", "uplink", "refusal")),
    "no acknowledgement": ("no-ack", lambda f: put(f, 60.0, "uplink", "unanswered_s")),
    "unknown key": ("config", lambda f: replace(f, problems=(UNKNOWN,))),
    "stale profile": ("stale-profile", lambda f: put(f, ["/etc/lamppost/profiles/m.toml"], "changed")),
}
LINK = {"broker down", "wrong CA", "expired certificate", "ACL refusal", "no acknowledgement", "clock in 1971"}
LINE = {
    "wrong baud", "wrong unit", "cable out", "cable open", "dead device", "duplicate address", "no permission",
    "port taken", "port gone", "swapped words", "garbled device", "garbled line",
}  # fmt: skip
"""Of one and the same cable, or way to the broker: one hides the other, as it would be."""


def failures(facts: Facts) -> list[str]:
    return [one.fault for one in judge(facts) if one.level is Level.FAILURE]


def fresh(*faults: str) -> Facts:
    facts = copy.deepcopy(healthy())
    for fault in faults:
        facts = FAULTS[fault][1](facts)
    return facts


def test_nothing_is_wrong_with_what_is_well() -> None:
    assert {one.level for one in judge(healthy())} == {Level.OK}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_the_one_failure_and_has_a_sentence_and_a_remedy(fault: str) -> None:
    (found,) = [one for one in judge(fresh(fault)) if one.level is not Level.OK]
    assert (found.fault, found.level) == (FAULTS[fault][0], Level.FAILURE)
    assert found.remedy
    assert found.message.endswith(".")
    assert "\n" not in found.message + found.remedy


ACTIONS = ("measure ", "swap A", "check that ", "disconnect ", "tell the ", "ask the ", "order = ")
"""Remedies for hands and telephones."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_remedy_that_is_a_command_can_be_typed_as_it_stands(fault: str) -> None:
    for one in judge(FAULTS[fault][1](healthy())):
        if not one.remedy or one.remedy.startswith(ACTIONS):
            continue
        words = one.remedy.partition("  # ")[0]
        assert subprocess.run(["bash", "-n", "-c", words], check=False).returncode == 0, one.remedy
        assert "," not in words, one.remedy
        assert words.startswith("sudo ") or not words.startswith(("lamppost check", "dmesg", "journalctl")), one.remedy


def test_a_broker_with_an_ipv6_address_is_named_as_each_command_wants_it() -> None:
    (refused,) = (one for one in judge(named_by(down(healthy(), "broker-down"))) if one.level is Level.FAILURE)
    assert refused.remedy == "nc -vz fd00::1 8883"
    (wrong,) = (one for one in judge(named_by(down(healthy(), "wrong-ca"))) if one.level is Level.FAILURE)
    assert "-connect [fd00::1]:8883 " in wrong.remedy


def named_by(facts: Facts) -> Facts:
    facts.seen["brokers"][0]["url"] = "mqtts://[fd00::1]:8883"
    return facts


def test_a_card_from_another_board_is_told_of_and_is_no_damage() -> None:
    (found,) = (one for one in judge(put(healthy(), [MOVED], "status", "buffer", "salvage")) if one.fault)
    assert (found.fault, found.level) == ("board-changed", Level.WARNING)
    assert found.remedy.endswith("sudo rm /var/lib/lamppost/buffer.db.1.moved")


def test_a_host_that_is_not_reached_is_the_one_to_ping() -> None:
    facts = put(closed(healthy(), 0, "no connection to [fd00::9]:502: no answer"), None, "buses", "cable", "port")
    (found,) = (one for one in judge(facts) if one.level is Level.FAILURE)
    assert (found.fault, found.remedy) == ("host-unreachable", "ping -c 3 fd00::9")


def test_a_port_that_is_for_root_alone_is_not_mended_by_a_group(tmp_path: Path) -> None:
    port = tmp_path / "port"
    port.touch(mode=0o600)
    facts = put(closed(healthy(), 0, f"cannot open {port}: permission denied"), str(port), "buses", "cable", "port")
    (found,) = (one for one in judge(facts) if one.level is Level.FAILURE)
    assert (found.fault, found.remedy) == ("port-denied", f"sudo chgrp dialout {port} && sudo chmod 660 {port}")


def pairs() -> Iterator[tuple[str, str]]:
    for first, second in combinations(FAULTS, 2):
        if (
            not {first, second} <= LINK
            and not {first, second} <= LINE
            and {first, second} != {"disk full", "no acknowledgement"}
        ):
            yield first, second


@pytest.mark.parametrize("pair", list(pairs()), ids=" + ".join)
def test_independent_faults_are_both_told(pair: tuple[str, str]) -> None:
    expected = sorted(FAULTS[fault][0] for fault in pair)
    assert sorted(failures(fresh(*pair))) == expected


def test_a_full_disk_explains_that_nothing_is_acknowledged() -> None:
    assert failures(fresh("disk full", "no acknowledgement")) == ["disk-full"]


def test_a_broken_configuration_explains_a_stopped_agent() -> None:
    assert failures(Facts(Path("l.toml"), Service.STOPPED, problems=(UNKNOWN,))) == ["config"]


@pytest.mark.parametrize(
    ("counts", "fault"),
    [
        (LineCounts(40, 0, 40, 0, 0, 60), "line-swapped"),
        (LineCounts(40, 0, 30, 0, 0, 0), "wrong-baud"),
        (LineCounts(40, 0, 0, 0, 12, 0), "wrong-baud"),
        (LineCounts(0, 90, 0, 0, 0, 0), "line-silent"),
    ],
)
def test_the_uarts_counts_tell_silence_breaks_and_bytes_that_are_none(counts: LineCounts, fault: str) -> None:
    uart = {"frame": counts.frame, "parity": counts.parity, "breaks": counts.breaks}
    assert failures(put(fresh("cable out"), uart, "buses", "cable", "uart_now")) == [fault]


def test_counts_run_over() -> None:
    before, now = LineCounts(-2, 0, 0, 0, 0, 0), LineCounts(3, 1, 0, 0, 0, 0)
    assert now.since(before) == LineCounts(5, 1, 0, 0, 0, 0)


def test_damaged_answers_of_all_are_noise_of_the_line_and_of_one_its_own() -> None:
    facts = healthy()
    for name in "abcd":
        put(facts, ["", "BadAnswer", "", ""] * 8, "buses", "cable", "devices", name, "recent")
    (found,) = [one for one in judge(facts) if one.level is not Level.OK]
    assert (found.fault, found.level) == ("line-noise", Level.WARNING)
    facts = put(healthy(), ["", "NoAnswer", "", ""] * 8, "buses", "cable", "devices", "b", "recent")
    assert [one.fault for one in judge(facts) if one.level is not Level.OK] == ["device-flaky"]


def test_the_last_of_the_cable_alone_is_a_device_and_a_device_that_refuses_all_is_another_model() -> None:
    assert failures(gone(healthy(), "d")) == ["device-silent"]
    facts = put(healthy(), ["", "ExceptionAnswer"] * 16, "buses", "cable", "devices", "b", "recent")
    assert failures(facts) == ["device-refuses"]
    cable(facts)[0]["devices"][1]["last_error"] = "exception 11: gateway target device failed to respond"
    assert failures(facts) == ["device-silent"]


# words ---------------------------------------------------------------------------------------------------


def turned(number: float) -> float:
    """A float32 with its two registers exchanged, as IEEE 754 has it."""
    data = struct.pack(">f", number)
    found: float = struct.unpack(">f", data[2:] + data[:2])[0]
    return found


@pytest.mark.parametrize(
    ("type_", "value", "quality", "verdict"),
    [
        ("float32", turned(230.0), GOOD, True),
        ("float32", 230.0, GOOD, False),
        ("float32", turned(230.4), LIMITS, True),
        ("float32", 0.0, GOOD, None),
        ("uint32", 230 << 16, GOOD, True),
        ("uint32", 230, GOOD, False),
        ("uint32", 123_456_789, GOOD, None),
        ("uint16", 230, GOOD, None),
    ],
)  # fmt: skip
def test_what_values_say_of_the_order_of_words(type_: str, value: float, quality: int, verdict: bool | None) -> None:
    point = Point(id="a/v", name="v")
    assert _verdict(point, Layout(0, type_), value, quality) is verdict


# the broker ----------------------------------------------------------------------------------------------


def test_connect_is_that_of_the_standard() -> None:
    # MQTT 3.1.1, 3.1.2: protocol name and level 4; flags: user name, password, clean session; keep alive 10 s
    packet = "10 15 0004 4d515454 04 c2 000a 0002 6777 0001 75 0002 7077"
    assert connect_packet("gw", "u", "pw") == bytes.fromhex(packet)
