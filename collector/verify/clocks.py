"""The clock of each boot: the estimates in the signed headers, beside the table that rows were dated by."""

from typing import TypeAlias

from buffer.header import ClockState, Header
from collector.receiving import boots
from collector.tables.database import Sql
from collector.verify.report import Fault, Report

_Best: TypeAlias = tuple[int, int, str, int | None, str]
"""Rank, number, stream, offset, state: the smallest counts."""


class Clocks:
    """All boots of a gateway."""

    def __init__(self, db: Sql, gateway: str) -> None:
        self._db = db
        self._gateway = gateway
        self._best: dict[str, _Best] = {}

    def learn(self, header: Header) -> None:
        """What a verified header says of its boot."""
        state = header.clock_state
        offset = None if state is ClockState.UNSET else header.clock_ms
        found = (-boots.RANK[state], header.number, header.stream.hex(), offset, state.value)
        boot = header.boot.hex()
        self._best[boot] = min(self._best.get(boot, found), found, key=lambda best: best[:3])

    def finish(self, report: Report) -> None:
        """Compare with the table, once every stream was walked."""
        rows = self._db.execute("SELECT boot, offset_ms, state FROM boots WHERE gateway = ?", (self._gateway,))
        told = {boot: (offset, state) for boot, offset, state in rows}
        signed = {boot: best[3:] for boot, best in self._best.items()}
        for boot in sorted(told.keys() | signed.keys()):
            if told.get(boot) != signed.get(boot):
                detail = f"boot {boot}: the table boots says {told.get(boot)}, signed is {signed.get(boot)}"
                report.fault(Fault.CLOCK, detail)
