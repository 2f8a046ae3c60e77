"""What is known of the clock of each boot of a gateway: it dates the batches that were made without a clock."""

from buffer.header import ClockState, Header
from collector.tables.database import Sql

RANK = {ClockState.UNSET: 0, ClockState.HOLDOVER: 1, ClockState.SYNCHRONIZED: 2}


def learn(db: Sql, header: Header) -> int | None:
    """Enter a header's estimate; return the offset by which batches are now dated when it changed.

    The best state wins, then the lowest number, so that the order of arrival decides nothing.
    """
    key = header.gateway, header.boot.hex()
    row = db.execute(
        "SELECT offset_ms, state, number, stream FROM boots NATURAL JOIN boot_sources WHERE gateway = ? AND boot = ?",
        key,
    ).fetchone()
    if adds_nothing(row, header):
        return None
    stream = header.stream.hex()
    offset = None if header.clock_state is ClockState.UNSET else header.clock_ms
    db.execute(
        "INSERT INTO boots VALUES (?, ?, ?, ?) ON CONFLICT (gateway, boot)"
        " DO UPDATE SET offset_ms = excluded.offset_ms, state = excluded.state",
        (*key, offset, header.clock_state),
    )
    db.execute(
        "INSERT INTO boot_sources VALUES (?, ?, ?, ?) ON CONFLICT (gateway, boot)"
        " DO UPDATE SET number = excluded.number, stream = excluded.stream",
        (*key, header.number, stream),
    )
    before = row[0] if row and row[1] == ClockState.SYNCHRONIZED else None
    return offset if header.clock_state is ClockState.SYNCHRONIZED and offset != before else None


def adds_nothing(row: tuple[int | None, str, int, str] | None, header: Header) -> bool:
    """Whether what is known of a boot (offset_ms, state, number, stream) stands beside a header's estimate."""
    if row is None:
        return False
    _, state, number, stream = row
    return (-RANK[ClockState(state)], number, stream) <= (
        -RANK[header.clock_state],
        header.number,
        header.stream.hex(),
    )


def synchronized_offset(db: Sql, gateway: str, boot: str) -> int | None:
    """Return UTC minus CLOCK_BOOTTIME in ms by the first synchronized estimate of a boot."""
    row = db.execute(
        "SELECT offset_ms FROM boots WHERE gateway = ? AND boot = ? AND state = ?",
        (gateway, boot, ClockState.SYNCHRONIZED),
    ).fetchone()
    return row[0] if row else None


def offset_of(db: Sql, header: Header) -> int | None:
    """Return what dates the samples of a batch: its own estimate, or its boot's when it has none."""
    if header.clock_state is ClockState.UNSET:
        return synchronized_offset(db, header.gateway, header.boot.hex())
    return header.clock_ms
