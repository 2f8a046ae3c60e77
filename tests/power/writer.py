"""What runs in the cabinet: a real store under load, that says what it did only after it was done."""

import random
from multiprocessing.connection import Connection
from pathlib import Path

from buffer.ack import read as read_ack
from buffer.block import Block
from buffer.catalogue import SeriesDefinition
from buffer.errors import AckRefused, StoreCorrupt
from buffer.header import Clock, ClockState, Priority
from buffer.keys import PublicKey, SigningKey
from buffer.store import Store
from ext import Packer, Series

GATEWAY = "gw-0017"
SIZE = 4_000_000
SERIES = (SeriesDefinition("meter1", "count", "", "uint32"), SeriesDefinition("meter1", "alarm", "", "uint32"))
OFFSET_MS = 1_779_000_000_000
LIFE = 1_000_000  # values of one life; every value is committed once in all lives


class Part:
    """The packer of one priority."""

    def __init__(self, priority: Priority, number: int) -> None:
        self.priority = priority
        self._packer = Packer()
        self._series = Series(number)
        self._fresh = True

    def block(self, clock: Clock, values: range) -> Block:
        """The values as samples, a millisecond apart."""
        for value in values:
            self._packer.append(self._series, value, value)
        fresh, self._fresh = self._fresh, False
        return Block(self.priority, clock, len(values), values[0], values[-1], self._packer.commit(), fresh)

    def sealed(self) -> None:
        """The next block begins a batch."""
        self._packer.reset()
        self._fresh = True


class Writer:
    """One life of a store, until the power goes."""

    def __init__(self, pipe: Connection, path: Path, key: SigningKey, authority: PublicKey, life: int) -> None:
        self._pipe = pipe
        self._authority = authority
        self._chance = random.Random(life)
        boot = life.to_bytes(16, "big")
        self._clock = Clock(boot, OFFSET_MS, ClockState.SYNCHRONIZED)
        self._next = life * LIFE
        self._store = Store.open(path, GATEWAY, key, boot, size_limit=SIZE, now_ms=lambda: self._next)
        normal, critical = self._store.assign(SERIES)
        self._parts = [Part(Priority.NORMAL, normal), Part(Priority.CRITICAL, critical)]
        self._sent: set[int] = set()

    def relax(self) -> None:
        """As the control: commits no longer wait for the disk."""
        self._store._connection.execute("PRAGMA synchronous=NORMAL")

    def run(self, *, writing: bool) -> None:
        """Commit, seal, send, take acknowledgements and prune in random order, until something fails."""
        while writing or self._store.held(1):
            if writing:
                self._commit()
            if not writing or self._chance.random() < 0.3:
                self._seal_and_send()
            while self._pipe.poll(0 if writing else 1):
                self._acknowledge(self._pipe.recv_bytes())
            if self._chance.random() < 0.1:
                self._store.prune(1 << 62)
        self._store.close()

    def _commit(self) -> None:
        blocks = []
        for part in self._chance.sample(self._parts, self._chance.choice((1, 1, 2))):
            values = range(self._next, self._next + self._chance.randint(1, 60))
            self._next = values.stop
            blocks.append(part.block(self._clock, values))
        self._store.commit(blocks)
        self._pipe.send(("committed", [(block.first_ms, block.last_ms) for block in blocks]))

    def _seal_and_send(self) -> None:
        for part in self._parts:
            self._store.seal(part.priority)
            part.sealed()
        for held in self._store.held(64):
            if held.number not in self._sent:
                self._sent.add(held.number)
                self._pipe.send(("batch", self._store.message(held.number)))

    def _acknowledge(self, message: bytes) -> None:
        ack = read_ack(message, self._authority)
        try:
            freed = self._store.acknowledge(ack)
        except AckRefused as error:
            self._pipe.send(("faulty", str(error)))
        else:
            self._pipe.send(("freed", freed))


def live(
    pipe: Connection, path: Path, key: SigningKey, authority: PublicKey, life: int, *, relaxed: bool, writing: bool
) -> None:
    """A life, and why it ended."""
    try:
        writer = Writer(pipe, path, key, authority, life)
        if relaxed:
            writer.relax()
        writer.run(writing=writing)
    except StoreCorrupt as error:
        pipe.send(("corrupt", str(error)))
    except OSError as error:  # the disk is dead
        pipe.send(("ended", str(error)))
