"""From a sealed batch to the messages of another form: decoded with its catalogue, dated, converted."""

import logging
from collections.abc import Mapping
from typing import Protocol

from buffer.batch import parse
from buffer.catalogue import SeriesEntry
from buffer.catalogue import decode as decode_catalogue
from buffer.cose import Kind
from buffer.errors import BufferFault
from buffer.header import ClockState, Header
from ext import CLOCK, GOOD, unpack
from gateway.clock import AgentClock
from gateway.keeping.history import Sample
from gateway.northbound.form import Form, Publish

log = logging.getLogger(__name__)

CATALOGUES = 2
"""In memory: a batch names the newest, or the one before it."""
BOOTS = 64
"""Whose clock is remembered."""


class Catalogues(Protocol):
    """Where catalogues are."""

    async def catalogue(self, digest: bytes) -> bytes | None:
        """The message of the catalogue with this hash, when it is kept."""


class Translator:
    """Makes messages of batches, one after the other."""

    def __init__(self, form: Form, shelf: Catalogues, clock: AgentClock) -> None:
        self.form = form
        self._shelf = shelf
        self._clock = clock
        self._catalogues: dict[bytes, Mapping[int, SeriesEntry]] = {}
        self._boots: dict[bytes, int] = {}
        self.undated = 0
        """Samples that nobody can date any more, and no form can say: they are left out."""

    async def messages(self, data: bytes) -> list[Publish]:
        """What says a batch; raises `BufferFault` or `ValueError`.

        A catalogue says nothing, nor does an account of losses: these forms have no words for it. What this boot took
        before its clock was set is dated by the clock as it is now, be that a guess.
        """
        batch = parse(data)
        header = batch.header
        if header.kind is Kind.CATALOGUE or not header.samples:
            return []
        dated = self._dated(header)
        if dated is None:
            self.undated += header.samples
            log.warning("uplink: batch %d is left out: nobody can date its %d samples", header.number, header.samples)
            return []
        offset, state = dated
        series = await self._series(header.catalogue or b"")
        return self.form.convert([
            Sample(
                f"{series[number].device}/{series[number].point}", series[number].unit, value,
                GOOD if quality == CLOCK and state is not ClockState.UNSET else quality,
                state.value, header.boot, boot_ms, boot_ms + offset,
            )
            for number, boot_ms, value, quality in unpack(batch.blocks)
        ])  # fmt: skip

    def _dated(self, header: Header) -> tuple[int, ClockState] | None:
        """UTC minus boot clock for a batch, and how sure that is; None for a boot of before that never had a clock."""
        if header.clock_state is not ClockState.UNSET:
            if len(self._boots) >= BOOTS:
                del self._boots[next(iter(self._boots))]
            self._boots[header.boot] = header.clock_ms
            return header.clock_ms, header.clock_state
        if header.boot == self._clock.boot:
            return self._clock.utc_ms() - self._clock.now(), self._clock.estimate().state
        known = self._boots.get(header.boot)
        return None if known is None else (known, ClockState.HOLDOVER)

    async def _series(self, digest: bytes) -> Mapping[int, SeriesEntry]:
        known = self._catalogues.get(digest)
        if known is None:
            message = await self._shelf.catalogue(digest)
            if message is None:
                raise BufferFault("its catalogue is not here")
            known = {entry.number: entry for entry in decode_catalogue(parse(message).blocks)}
            while len(self._catalogues) >= CATALOGUES:
                del self._catalogues[next(iter(self._catalogues))]
            self._catalogues[digest] = known
        return known
