"""Simulated gateways: each packs, seals and signs its batches as a store does, in a chain of its own."""

import random
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer import batch, catalogue
from buffer.catalogue import SeriesEntry
from buffer.cose import Kind
from buffer.header import NO_HASH, ClockState, Header, Priority
from buffer.keys import PublicKey, SigningKey
from ext import Packer, Series

KINDS = (
    # name, unit, start, step of the walk: what a meter's points look like
    ("voltage", "V", Decimal("230.0"), Decimal("0.1")),
    ("current", "A", Decimal("12.50"), Decimal("0.01")),
    ("power", "W", Decimal("2875.0"), Decimal("0.5")),
    ("energy", "kWh", Decimal("10423.07"), Decimal("0.01")),
    ("temperature", "Cel", Decimal("21.40"), Decimal("0.01")),
)


class Signed(NamedTuple):
    """One message, and how many samples are in it."""

    topic: str
    payload: bytes
    samples: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What every gateway does: `points` read every `every_ms`, sealed every `batch_ms`."""

    points: int = 50
    every_ms: int = 1000
    batch_ms: int = 10_000
    site: str = "load"
    root: str = "lamppost"
    prefix: str = "sim"

    @property
    def samples(self) -> int:
        """Of one batch."""
        return self.points * max(self.batch_ms // self.every_ms, 1)


@dataclass(slots=True)
class Life:
    """One gateway; `start_ms` is UTC of its boot."""

    name: str
    plan: Plan
    start_ms: int
    rng: random.Random
    key: SigningKey = field(default_factory=lambda: SigningKey(Ed25519PrivateKey.generate()))
    stream: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    boot: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    number: int = 0
    at_ms: int = 0
    _previous: bytes = NO_HASH
    _catalogue: bytes | None = None
    _values: list[Decimal] = field(default_factory=list)

    @property
    def public(self) -> PublicKey:
        """What `lamppost-collector gateways add` takes."""
        return self.key.public(self.name, self.plan.site)

    @property
    def topic(self) -> str:
        """Where its batches go."""
        return f"{self.plan.root}/v1/{self.plan.site}/{self.name}/batch"

    def next(self) -> Signed:
        """The next batch of the chain; the first is the catalogue."""
        return self._described() if self._catalogue is None else self._sampled()

    def _described(self) -> Signed:
        lines = catalogue.encode(_entries(self.plan.points))
        self._values = [KINDS[place % len(KINDS)][2] for place in range(self.plan.points)]
        signed = self._sign(self._header(kind=Kind.CATALOGUE, priority=Priority.CRITICAL), lines)
        self._catalogue = self._previous
        return signed

    def _sampled(self) -> Signed:
        packer, series = Packer(), [Series(number) for number in range(1, self.plan.points + 1)]
        first = self.at_ms
        for at in range(first, first + self.plan.batch_ms, self.plan.every_ms):
            for place, one in enumerate(series):
                self._walk(place)
                packer.append(one, at, self._values[place])
            self.at_ms = at + self.plan.every_ms
        header = self._header(
            catalogue=self._catalogue, samples=packer.samples, first_ms=packer.first_ms, last_ms=packer.last_ms
        )
        return self._sign(header, packer.commit())

    def _walk(self, place: int) -> None:
        self._values[place] += self.rng.randrange(-2, 3) * KINDS[place % len(KINDS)][3]

    def _header(self, **changed: object) -> Header:
        fields: dict[str, object] = {
            "kind": Kind.BATCH, "gateway": self.name, "stream": self.stream, "number": self.number + 1,
            "previous": self._previous, "boot": self.boot, "clock_ms": self.start_ms,
            "clock_state": ClockState.SYNCHRONIZED, "catalogue": None, "samples": 0, "priority": Priority.NORMAL,
        }  # fmt: skip
        return Header(**{**fields, **changed})  # type: ignore[arg-type]

    def _sign(self, header: Header, block: bytes) -> Signed:
        message = batch.encode(header, [block], self.key)
        self.number, self._previous = header.number, batch.batch_hash(message)
        return Signed(self.topic, message, header.samples)


def lives(count: int, plan: Plan, start_ms: int, seed: int | None = None) -> list[Life]:
    """So many gateways; their keys are new each time, whatever the seed of their values."""
    rng = random.Random(seed)
    return [
        Life(f"{plan.prefix}-{number:05d}", plan, start_ms, random.Random(rng.random()))
        for number in range(1, count + 1)
    ]


def rounds(made: Sequence[Life], count: int) -> Iterator[Signed]:
    """Every gateway's catalogue, then so many batches of each, one gateway after the other, as they come in."""
    for _ in range(count + 1):
        for life in made:
            yield life.next()


def _entries(points: int) -> list[SeriesEntry]:
    return [
        SeriesEntry(number, f"meter{(number - 1) // len(KINDS) + 1}", name, unit, "decimal")
        for number in range(1, points + 1)
        for name, unit, _, _ in [KINDS[(number - 1) % len(KINDS)]]
    ]
