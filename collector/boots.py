"""What is known of the clock of each boot of a gateway: it dates the batches that were made without a clock."""

import sqlite3

from buffer.header import ClockState, Header

_RANK = {ClockState.UNSET: 0, ClockState.HOLDOVER: 1, ClockState.SYNCHRONIZED: 2}


def learn(db: sqlite3.Connection, header: Header) -> int | None:
    """Enter a header's estimate; return the offset by which batches are now dated when it changed.

    The best state wins, then the lowest number, so that the order of arrival decides nothing.
    """
    key = header.gateway, header.boot.hex()
    row = db.execute(
        "SELECT offset_ms, state, number, stream FROM boots NATURAL JOIN boot_sources WHERE gateway = ? AND boot = ?",
        key,
    ).fetchone()
    stream = header.stream.hex()
    if row and (-_RANK[row[1]], row[2], row[3]) <= (-_RANK[header.clock_state], header.number, stream):
        return None
    offset = None if header.clock_state is ClockState.UNSET else header.clock_ms
    db.execute("INSERT OR REPLACE INTO boots VALUES (?, ?, ?, ?)", (*key, offset, header.clock_state))
    db.execute("INSERT OR REPLACE INTO boot_sources VALUES (?, ?, ?, ?)", (*key, header.number, stream))
    before = row[0] if row and row[1] == ClockState.SYNCHRONIZED else None
    return offset if header.clock_state is ClockState.SYNCHRONIZED and offset != before else None


def synchronized_offset(db: sqlite3.Connection, gateway: str, boot: str) -> int | None:
    """Return UTC minus CLOCK_BOOTTIME in ms by the first synchronized estimate of a boot."""
    row = db.execute(
        "SELECT offset_ms FROM boots WHERE gateway = ? AND boot = ? AND state = ?",
        (gateway, boot, ClockState.SYNCHRONIZED),
    ).fetchone()
    return row[0] if row else None


def offset_of(db: sqlite3.Connection, header: Header) -> int | None:
    """Return what dates the samples of a batch: its own estimate, or its boot's when it has none."""
    if header.clock_state is ClockState.UNSET:
        return synchronized_offset(db, header.gateway, header.boot.hex())
    return header.clock_ms
