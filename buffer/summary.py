"""Thinned samples as a batch has them: the series of the statistics, their numbers, their catalogue."""

import sqlite3
from collections.abc import Collection, Sequence
from typing import NamedTuple

from buffer import catalogue, sealing
from buffer.block import CATALOGUE_PART
from buffer.catalogue import SeriesDefinition, SeriesEntry, statistic_of
from buffer.cose import Kind
from buffer.header import KIND_CODES, Clock
from buffer.memory import Memory
from buffer.numbering import number_of
from buffer.sealing import Sealer
from buffer.thinning import Role, Sample, thin
from ext import Packer, Series


class _Known(NamedTuple):
    """The newest catalogue of thinned series."""

    number: int
    hash: bytes
    entries: dict[int, SeriesEntry]


class Summary:
    """Sums samples up, within the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection, sealer: Sealer) -> None:
        self._connection = connection
        self._sealer = sealer
        self._known: _Known | None = None

    def of(self, memory: Memory, samples: Sequence[Sample], window_ms: int) -> list[Sample]:
        """The statistics of `samples` over windows, under the numbers of their series, by time."""
        definitions = {number: self._definition(number) for number in {sample[0] for sample in samples}}
        roles, numbers = _roles(definitions)
        made = []
        for coarse in thin(samples, roles, window_ms):
            key = coarse.point, coarse.statistic
            if key not in numbers and coarse.point < 0:
                continue  # of a point of whose statistics not all were kept
            if key not in numbers:
                definition = definitions[coarse.point].summed_by(coarse.statistic)
                numbers[key] = number_of(self._connection, memory, definition)
            made.append((numbers[key], coarse.boot_ms, coarse.value, coarse.quality))
        return made

    def joints(self, samples: Sequence[Sample]) -> list[int]:
        """Where statistics of one window end and others begin: with the count, which is the first of them."""
        numbers = {sample[0] for sample in samples}
        counts = {n for n in numbers if statistic_of(self._definition(n).point)[1] == "count"}
        return [place for place, sample in enumerate(samples) if place and sample[0] in counts]

    def catalogue(self, memory: Memory, clock: Clock, numbers: Collection[int]) -> int:
        """The number of a catalogue that has these series, sealed if there is none; it keeps what the last one had."""
        known = self._kept() or self._newest()
        if known is None or not known.entries.keys() >= set(numbers):
            entries = dict(known.entries) if known else {}
            entries |= {number: self._definition(number).numbered(number) for number in numbers}
            made = self._sealer.seal_further_catalogue(memory, clock, catalogue.encode(entries.values()))
            known = _Known(made, memory.last_hash, entries)
        self._known = known
        return known.number

    def _kept(self) -> _Known | None:
        """The one that was used last, if it still is in the file: its transaction may have failed."""
        query = "SELECT 1 FROM batches WHERE number = ? AND hash = ? AND signature != x''"
        known = self._known
        return known if known and self._connection.execute(query, (known.number, known.hash)).fetchone() else None

    def _newest(self) -> _Known | None:
        """The one that the newest thinned batch names, after a restart."""
        query = (
            "SELECT k.number, k.hash, k.first_block, k.last_block FROM batches AS k WHERE k.kind = ? AND k.number ="
            " (SELECT max(catalogue) FROM batches WHERE window > 0 AND acked_utc_ms = 0 AND part >= 2)"
            " AND k.signature != x''"
        )
        row = self._connection.execute(query, (KIND_CODES[Kind.CATALOGUE],)).fetchone()
        if row is None:
            return None
        number, digest, first, last = row
        lines = catalogue.decode(sealing.read_blocks(self._connection, CATALOGUE_PART, first, last))
        return _Known(number, digest, {line.number: line for line in lines})

    def _definition(self, number: int) -> SeriesDefinition:
        query = "SELECT definition FROM series WHERE number = ?"
        return SeriesDefinition.of_key(self._connection.execute(query, (number,)).fetchone()[0])


def packed(samples: Sequence[Sample]) -> bytes:
    """One block of samples as they are; empty when a batch cannot hold them."""
    packer = Packer()
    series: dict[int, Series] = {}
    try:
        for number, boot_ms, value, quality in samples:
            packer.append(series.setdefault(number, Series(number)), boot_ms, value, quality)
    except OverflowError:
        return b""
    return packer.commit()


def _roles(definitions: dict[int, SeriesDefinition]) -> tuple[dict[int, Role], dict[tuple[int, str], int]]:
    """What each series is, and the numbers of the statistics that there are; a point as sampled is its own number."""
    roles: dict[int, Role] = {}
    numbers: dict[tuple[int, str], int] = {}
    families: dict[tuple[str, str], int] = {}
    for number, definition in sorted(definitions.items()):
        base, statistic = statistic_of(definition.point)
        if statistic is None:
            roles[number] = Role(number, None)
        else:
            point = families.setdefault((definition.device, base), -1 - len(families))
            roles[number] = Role(point, statistic)
            numbers[point, statistic] = number
    return roles, numbers
