"""Verify batches: signatures, numbers, the chain of hashes; what `lamppost verify` shows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from buffer import batch as batches
from buffer import catalogue
from buffer import header as headers
from buffer.batch import Batch
from buffer.cose import MAX_MESSAGE_BYTES, PREFIX, Kind
from buffer.errors import BatchFormatError, SignatureError, StoreError
from buffer.keys import PublicKey
from buffer.reader import Reader

Count = Callable[[Sequence[bytes]], int]
"""How many samples the blocks of one batch hold; raises `ValueError` when they do not decode."""
Progress = Callable[[int, int], None]
"""Told the number of a batch before it is looked at, and the last number there is."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and with which number (None: it could not be read)."""

    number: int | None
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at and what is wrong with it.

    `missing` are (first, last) numbers between others, `pruned` those of them that a store delivered and dropped.
    """

    gateway: str
    streams: tuple[bytes, ...]
    batches: int
    samples: int
    first: int
    last: int
    missing: tuple[tuple[int, int], ...]
    pruned: tuple[tuple[int, int], ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Nothing is missing and nothing wrong."""
        return not self.missing and not self.findings


class Checker:
    """Takes the batches of one stream in any order; `report` says what they make together."""

    def __init__(self, key: PublicKey, count: Count | None = None) -> None:
        self._key = key
        self._count = count
        self._hashes: dict[int, bytes] = {}
        self._previous: dict[int, bytes] = {}
        self._named: dict[int, bytes] = {}
        self._catalogues: set[bytes] = set()
        self._streams: set[bytes] = set()
        self._filled: list[tuple[int, int]] = []
        self._samples = 0
        self._findings: list[Finding] = []

    def check(self, message: bytes, number: int | None = None, digest: bytes | None = None) -> None:
        """Verify one message; `number` and `digest` are what a store says it is."""
        try:
            batch = batches.decode(message, self._key)
            self._content(batch)
        except (BatchFormatError, SignatureError) as error:
            self._findings.append(Finding(number, str(error)))
            return
        header = batch.header
        if number not in {None, header.number}:
            self._findings.append(Finding(number, f"the message says number {header.number}"))
        if digest not in {None, batch.hash}:
            self._findings.append(Finding(header.number, "not the hash it was sealed with"))
        self._place(batch)

    def known(self, number: int, digest: bytes, encoded: bytes = b"") -> None:
        """A batch whose bytes are gone, but whose hash is remembered, and the header if it took the place of others."""
        self._hashes.setdefault(number, digest)
        if encoded:
            try:
                self._filled += [(claim.first, claim.last) for claim in headers.loads(encoded).replaces]
            except BatchFormatError as error:
                self._findings.append(Finding(number, str(error)))

    def report(self, *, delivered: int | None = None) -> Report:
        """The account. Of a store: every number to `delivered` may be gone, every catalogue named must be there."""
        findings = [*self._findings, *self._broken()]
        if delivered is not None:
            lost = [n for n, digest in sorted(self._named.items()) if digest not in self._catalogues]
            findings += [Finding(number, "names a catalogue that is not here") for number in lost]
        numbers = sorted(self._hashes)
        gone = list(self._missing(numbers))
        pruned = [found for found in gone if found[1] <= (delivered or 0)]
        return Report(
            gateway=self._key.gateway,
            streams=tuple(sorted(self._streams)),
            batches=len(self._previous),
            samples=self._samples,
            first=numbers[0] if numbers else 0,
            last=numbers[-1] if numbers else 0,
            missing=tuple(found for found in gone if found not in pruned),
            pruned=tuple(pruned),
            findings=tuple(findings),
        )

    def _content(self, batch: Batch) -> None:
        if batch.header.kind is Kind.CATALOGUE:
            catalogue.decode(batch.blocks)
        elif self._count is not None:
            self._counted(batch, self._count)

    def _counted(self, batch: Batch, count: Count) -> None:
        try:
            found = count(batch.blocks) if batch.blocks else 0
        except ValueError as error:
            raise BatchFormatError(f"the blocks do not decode: {error}") from error
        if found != batch.header.samples:
            raise BatchFormatError(f"the header says {batch.header.samples} samples, the blocks hold {found}")

    def _place(self, batch: Batch) -> None:
        header = batch.header
        if self._hashes.get(header.number, batch.hash) != batch.hash:
            self._findings.append(Finding(header.number, "two batches of this number: a fork"))
            return
        self._streams.add(header.stream)
        if len(self._streams) > 1:
            self._findings.append(Finding(header.number, f"of another stream: {header.stream.hex()}"))
        if header.number not in self._previous:
            self._samples += header.samples
        self._hashes[header.number] = batch.hash
        self._previous[header.number] = header.previous
        self._filled += [(claim.first, claim.last) for claim in header.replaces]
        if header.kind is Kind.CATALOGUE:
            self._catalogues.add(batch.hash)
        elif header.catalogue is not None:
            self._named[header.number] = header.catalogue

    def _broken(self) -> Iterable[Finding]:
        for number, previous in sorted(self._previous.items()):
            if self._hashes.get(number - 1, previous) != previous:
                yield Finding(number, f"does not follow batch {number - 1}: the chain is broken")

    def _missing(self, numbers: Sequence[int]) -> Iterable[tuple[int, int]]:
        reached = numbers[0] if numbers else 0
        for first, last in sorted([*((number, number) for number in numbers), *self._filled]):
            if reached + 1 < first <= numbers[-1]:
                yield reached + 1, first - 1
            reached = max(reached, last)


def verify_messages(messages: Iterable[bytes], key: PublicKey, count: Count | None = None) -> Report:
    """Verify batch messages of one stream, in any order."""
    checker = Checker(key, count)
    for message in messages:
        checker.check(message)
    return checker.report()


def verify_store(
    path: Path, key: PublicKey, count: Count | None = None, progress: Progress = lambda _done, _last: None
) -> Report:
    """Verify every sealed batch that a store keeps; raises `StoreError` when it cannot be read."""
    checker = Checker(key, count)
    with Reader(path) as reader:
        snapshot = reader.snapshot()
        delivered = snapshot.delivered
        for dropped in reader.dropped():
            checker.known(*dropped)
        for stored in reader.batches():
            progress(stored.number, snapshot.last_number)
            checker.check(stored.message, stored.number, stored.hash)
    return checker.report(delivered=delivered)


def verify_file(
    path: Path, key: PublicKey, count: Count | None = None, progress: Progress = lambda _done, _last: None
) -> Report:
    """Verify a file: one batch message, or else a store; raises `StoreError` when it is neither."""
    try:
        with path.open("rb") as file:
            start = file.read(MAX_MESSAGE_BYTES + 1)
    except OSError as error:
        raise StoreError(error.errno, error.strerror, str(path)) from error
    if start.startswith(PREFIX):
        return verify_messages([start], key, count)
    return verify_store(path, key, count, progress)
