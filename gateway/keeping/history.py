"""The samples of a store file, delivered or not: read beside the daemon, a batch at a time."""

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from buffer import cbor
from buffer import header as headers
from buffer.batch import parse
from buffer.catalogue import SeriesEntry
from buffer.catalogue import decode as decode_catalogue
from buffer.errors import BatchFormatError, BufferFault, StoreError
from buffer.header import Clock, ClockState, Header
from buffer.reader import Reader, StoredBatch
from ext import Value, unpack

CATALOGUES = 2
"""Catalogues in memory: a batch names the newest, or the one before it."""
OTHER_BOOTS = 64
"""Headers of other boots to read over in search of a clock: after a restart old batches are sealed among new ones."""
LATER = "later"
"""The clock of a sample that was taken before it was set, and is dated by the clock of a later batch of its boot."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample. `utc_ms` is None when nobody knows: then `clock` is `unset`, and `boot_ms` is all there is."""

    point: str
    unit: str
    value: Value
    quality: int
    clock: str
    boot: bytes
    boot_ms: int
    utc_ms: int | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which samples: shell patterns of full point ids (none: all), from `since_ms` to before `until_ms` (UTC)."""

    points: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None

    @property
    def timed(self) -> bool:
        """Whether only samples of a known time are meant."""
        return self.since_ms is not None or self.until_ms is not None

    def names(self, point: str) -> bool:
        """Whether `point` is meant."""
        return not self.points or any(fnmatch.fnmatchcase(point, pattern) for pattern in self.points)

    def during(self, first_ms: int, last_ms: int) -> bool:
        """Whether a time from `first_ms` to `last_ms` is meant."""
        return (self.since_ms is None or last_ms >= self.since_ms) and (
            self.until_ms is None or first_ms < self.until_ms
        )


@dataclass(slots=True)
class Told:
    """What was met and could not be given out."""

    undated: int = 0
    """samples without a time, when only some times were asked for"""
    damaged: list[str] = field(default_factory=list)


class History:
    """Gives out the samples of a store, in the order of their batches; what is not sealed yet comes last."""

    def __init__(
        self, reader: Reader, selection: Selection, progress: Callable[[int, int], None] = lambda _done, _last: None
    ) -> None:
        """`progress` is told the number of each batch before it is decoded, and that of the last."""
        self._progress = progress
        self._reader = reader
        self._selection = selection
        self._catalogues: dict[int, Mapping[int, SeriesEntry]] = {}
        self._boots: dict[bytes, Clock | None] = {}
        self.told = Told()

    def samples(self) -> Iterator[Sample]:
        """Every sample that is meant. Raises `StoreError`; a damaged batch is told of in `told` and passed over."""
        snapshot = self._reader.snapshot()
        for part in snapshot.unsealed:
            if part.clock.state is not ClockState.UNSET:
                self._boots.setdefault(part.clock.boot, part.clock)
        yield from self.sealed(1, snapshot.last_number)
        for part in snapshot.unsealed:
            try:
                yield from self._decoded(part.blocks, part.clock, snapshot.catalogue, snapshot.last_number)
            except (BufferFault, ValueError) as error:
                self.told.damaged.append(f"what is not sealed yet ({part.priority}): {error}")

    def sealed(self, first: int, last: int) -> Iterator[Sample]:
        """The samples that are meant in the batches of these numbers. Raises `StoreError`."""
        for stored in self._reader.batches(first, last):
            self._progress(stored.number, last)
            if stored.samples:
                yield from self._batch(stored)

    def _batch(self, stored: StoredBatch) -> Iterator[Sample]:
        try:
            batch = parse(stored.message)
            if batch.hash != stored.hash:
                raise ValueError("it no longer has the hash it was sealed with")
            if self._meant(batch.header, stored.number):
                yield from self._decoded(batch.blocks, _clock(batch.header), stored.catalogue, stored.number)
        except StoreError:
            raise
        except (BufferFault, ValueError) as error:
            self.told.damaged.append(f"batch {stored.number}: {error}")

    def _meant(self, header: Header, number: int) -> bool:
        """Whether a sample of the batch may be."""
        if not self._selection.timed:
            return True
        clock = self._dated(_clock(header), number)
        if clock is None:
            self.told.undated += header.samples
            return False
        return self._selection.during(header.first_ms + clock.clock_ms, header.last_ms + clock.clock_ms)

    def _decoded(self, blocks: Sequence[bytes], clock: Clock, catalogue: int, number: int) -> Iterator[Sample]:
        """The samples of one batch, which is decoded before the first is given out."""
        dated = self._dated(clock, number)
        series = self._series(catalogue)
        state = clock.state.value if dated is clock or dated is None else LATER
        for name, boot_ms, value, quality in unpack(blocks):
            entry = series.get(name)
            if entry is None:
                raise ValueError(f"series {name} is not in catalogue {catalogue}")
            point = f"{entry.device}/{entry.point}"
            utc_ms = None if dated is None else boot_ms + dated.clock_ms
            if not self._selection.names(point):
                continue
            if self._selection.timed and (utc_ms is None or not self._selection.during(utc_ms, utc_ms)):
                self.told.undated += utc_ms is None
                continue
            yield Sample(point, entry.unit, value, quality, state, clock.boot, boot_ms, utc_ms)

    def _dated(self, clock: Clock, number: int) -> Clock | None:
        """The clock by which samples of batch `number` are dated; None when its boot never had one."""
        if clock.state is not ClockState.UNSET:
            return clock
        if clock.boot not in self._boots:
            self._boots[clock.boot] = self._later(clock.boot, number)
        return self._boots[clock.boot]

    def _later(self, boot: bytes, number: int) -> Clock | None:
        others = 0
        for _, encoded in self._reader.headers(number + 1):
            try:
                header = headers.decode(cbor.loads(encoded, "a header"))
            except BatchFormatError:
                continue  # told of when its turn comes
            if header.boot != boot:
                others += 1
                if others > OTHER_BOOTS:
                    return None
            elif header.clock_state is not ClockState.UNSET:
                return _clock(header)
        return None

    def _series(self, number: int) -> Mapping[int, SeriesEntry]:
        known = self._catalogues.get(number)
        if known is None:
            known = self._read_catalogue(number)
            while len(self._catalogues) >= CATALOGUES:
                del self._catalogues[next(iter(self._catalogues))]
            self._catalogues[number] = known
        return known

    def _read_catalogue(self, number: int) -> Mapping[int, SeriesEntry]:
        stored = next(islice(self._reader.batches(number, number), 1), None)
        if stored is None:
            raise ValueError(f"its catalogue, batch {number}, is not here")
        return {entry.number: entry for entry in decode_catalogue(parse(stored.message).blocks)}


def _clock(header: Header) -> Clock:
    return Clock(header.boot, header.clock_ms, header.clock_state)
