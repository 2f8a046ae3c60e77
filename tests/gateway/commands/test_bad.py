"""Ten thousand bad commands to a real store and bus task: by the device's own log none of them is done."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer import cose
from buffer.command import MAX_LIFE_MS, Command, Write
from buffer.cose import Kind
from buffer.keyring import Keyring, RingKey, parse_scope
from buffer.keys import SigningKey
from gateway.commands import ring
from gateway.uplink.transport import Message
from tests.gateway.commands.test_life import AUTHORITY, OPERATOR, POINT, Life, World, template
from tests.gateway.support import GATEWAY, SITE, TRUTH, in_memory

COLLECTOR, LIMITED, ENDED, CONFIGURER, STRANGER, GONE = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(6))
EACH = 900
ROOM = 200
"""Messages at a time: fewer than wait for the disk at most."""


def _key(name: str, role: str, key: SigningKey, scope: str = "*", ends: int = TRUTH * 2) -> RingKey:
    return RingKey(name, role, key.public("", "", role).raw, (parse_scope(scope),), ends)


KEYS = (
    _key("anna", "command", OPERATOR),
    _key("collector", "acknowledge", COLLECTOR),
    _key("ben", "command", LIMITED, f"{SITE}/{GATEWAY}/other"),
    _key("cleo", "command", ENDED, ends=TRUTH),
    _key("dora", "configure", CONFIGURER),
)
OLD = Keyring(1, TRUTH, (*KEYS, _key("gone", "command", GONE))).sign(AUTHORITY)
NOW = Keyring(2, TRUTH, KEYS).sign(AUTHORITY)


class Box:
    """A gateway whose device writes down what arrives."""

    def __init__(self, folder: Path | None = None) -> None:
        self.world = World(in_memory())
        shutil.copytree(folder or template().parent, self.world.folder, dirs_exist_ok=True)
        if folder is None:
            ring.beside(self.world.folder / "buffer.db").write_bytes(NOW)
        self.arrived: list[int] = []
        self.numbers = count(1)
        self.begin()

    def begin(self) -> None:
        self.life = Life(self.world)
        self.life.lamp.arrived = self.arrived.append

    def end(self) -> None:
        self.life.end(self.world.loop)

    def answered(self) -> None:
        self.life.office.desk.acknowledged(fresh=True, newer=True)

    def command(self, life_ms: int = 60_000) -> Command:
        """A good one."""
        now, number = TRUTH + self.world.boot_ms(), next(self.numbers)
        write = Write(POINT, Decimal(number))
        return Command(GATEWAY, self.life.store.stream, number, now, now + life_ms, (write,), "anna", "a test")

    def give(self, *messages: bytes, retained: bool = False) -> None:
        """As the broker does; time enough for all of them."""
        for at in range(0, len(messages), ROOM):
            for message in messages[at : at + ROOM]:
                self.life.office.desk.received(Message("command", message, retained))
            self.wait(2.0)

    def wait(self, seconds: float) -> None:
        self.world.loop.run_until_complete(asyncio.sleep(seconds))
        for task in self.life.tasks:
            if task.done():
                task.result()

    @property
    def refused(self) -> Counter[str]:
        return Counter(self.life.office.desk.counts)


@pytest.fixture
def box() -> Iterator[Box]:
    made = Box()
    made.answered()
    yield made
    made.wait(1.0)
    made.end()
    shutil.rmtree(made.world.folder)
    made.world.loop.close()


def kinds(box: Box, pick: random.Random) -> dict[str, Callable[[], bytes]]:
    """What is wrong, and a message of which that is true; all but the first are validly signed."""
    wrong = [kind for kind in Kind if kind is not Kind.COMMAND]
    good = [box.command().sign(OPERATOR) for _ in range(50)]

    def now() -> int:
        return TRUTH + box.world.boot_ms()

    return {
        "mutated": lambda: _mutated(pick.choice(good), pick),
        "kind": lambda: cose.sign(cose.read(pick.choice(good)).payload, pick.choice(wrong), OPERATOR),
        "role": lambda: box.command().sign(pick.choice([COLLECTOR, CONFIGURER])),
        "scope": lambda: box.command().sign(LIMITED),
        "keyring": lambda: box.command().sign(pick.choice([STRANGER, ENDED, GONE])),
        "stream": lambda: replace(box.command(), stream=pick.randbytes(16)).sign(OPERATOR),
        "addressee": lambda: replace(box.command(), gateway="gw-other").sign(OPERATOR),
        "expired": lambda: replace(box.command(), issued_ms=now() - 90_000, expires_ms=now() - 1).sign(OPERATOR),
        "limits": lambda: replace(box.command(), writes=(Write(POINT, Decimal(30_001)),)).sign(OPERATOR),
    }


def _mutated(message: bytes, pick: random.Random) -> bytes:
    changed = bytearray(message)
    changed[pick.randrange(len(changed))] ^= 1 << pick.randrange(8)
    return bytes(changed[: pick.randrange(len(changed))] if pick.random() < 0.2 else changed)


def test_ten_thousand_are_not_done(box: Box) -> None:
    pick = random.Random(9)
    done = [box.command(MAX_LIFE_MS).sign(OPERATOR) for _ in range(30)]
    box.give(*done)
    first = list(box.arrived)
    assert first == list(range(1, 31)), "the good ones are done, or nothing is proved"
    box.give(OLD)
    wrong = kinds(box, pick)
    for make in wrong.values():
        box.give(*(make() for _ in range(EACH)))
    box.give(*done * 30)
    box.give(*(box.command().sign(OPERATOR) for _ in range(100)), *done * 30, retained=True)
    sent = EACH * len(wrong) + 30 * len(done) + 100 + 30 * len(done)
    refused = box.refused
    assert box.arrived == first
    assert sent >= 10_000
    assert {"signature", "format", "role", "scope", "key", "stream", "addressee", "expired", "limits", "replay",
            "retained", "keyring"} <= refused.keys()  # fmt: skip
    assert sum(refused.values()) == sent + 1, "each is counted, and so is the old keyring"
    assert refused["replay"] == 30 * len(done)


def test_a_locked_device_across_a_reboot(box: Box) -> None:
    box.world.loop.run_until_complete(box.life.office.lock("lamp", "new driver", "eva", None))
    box.give(*(box.command().sign(OPERATOR) for _ in range(300)))
    box.end()
    box.world.boot += 1
    box.begin()
    box.answered()
    box.give(*(box.command().sign(OPERATOR) for _ in range(300)))
    assert box.arrived == []
    assert box.refused["lock"] == 300


def test_a_restored_store_and_a_clone(box: Box) -> None:
    """Nobody acknowledges what they send: its numbers are taken, with other hashes."""
    box.end()
    copy = in_memory()
    shutil.copytree(box.world.folder, copy, dirs_exist_ok=True)
    box.begin()
    box.answered()
    done = [box.command().sign(OPERATOR) for _ in range(100)]
    box.give(*done[:20], *done[20:40])
    first = list(box.arrived)
    assert first
    clone = Box(copy)
    clone.numbers = box.numbers
    fresh = [clone.command().sign(OPERATOR) for _ in range(200)]
    clone.give(*done, *fresh)
    assert clone.arrived == []
    assert clone.refused["waiting"] == len(done) + len(fresh)
    clone.end()
    clone.world.loop.close()
    box.end()
    shutil.rmtree(box.world.folder)
    shutil.copytree(copy, box.world.folder)
    box.begin()
    box.give(*done, *fresh)
    assert box.arrived == first
    assert box.refused["waiting"] == len(done) + len(fresh)
    for folder in (copy, clone.world.folder):
        shutil.rmtree(folder)
