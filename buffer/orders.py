"""What the store remembers of commands: their numbers and results, how often points were written, what is to go back.

Each function takes the store's connection: `Store.ask` for those that read, `Store.change` or `Store.commit(also=)` for
those that write.
"""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from buffer.errors import NotAllowed

MAX_WAITING = 1024  # commands not expired: one every four seconds for the hour that a command lives at most
MAX_REFUSED = 512  # of them, that nothing came of: whoever signs nonsense must not keep out what makes sense
MAX_LASTING = 512  # the same of schedules, whose numbers stay for days: the other half is for commands, and an hour
SHOWN = 200  # newest results that stay for people to look at


_SELECT = "SELECT number, expires_ms, accepted_ms, message, result, final FROM commands"


@dataclass(frozen=True, slots=True)
class Order:
    """A command as it is kept; `result` is JSON: until it is `final`, what is to be said if the agent dies now.

    `expires_ms` is 0 for one that nobody can send again: it was made here.
    """

    number: int
    expires_ms: int
    accepted_ms: int
    message: bytes
    result: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """One more write to a point of which at most `count` may be in any `ms`."""

    point: str
    count: int
    ms: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """The time that a gateway has lived through, as `gateway.commands.silence` counts it, and when it was noted."""

    quiet_ms: int
    heard_ms: int
    boot: bytes
    boot_ms: int
    utc_ms: int
    """0: nobody knew."""


def accept(
    connection: sqlite3.Connection, order: Order, *, floor_ms: int, uses: Collection[Use] = (),
    reverts: Collection[tuple[str, int]] = (), most: int = MAX_WAITING,
) -> None:  # fmt: skip
    """Take the number for ever, and note the writes that follow; `floor_ms` is the newest verified time.

    There is no room where `most` wait already.

    Raises `NotAllowed` (`expired`, `replay`, `full`, `rate`); the caller's transaction must fail with it.
    """
    if 0 < order.expires_ms <= floor_ms:
        raise NotAllowed("expired", "the newest signed time is later than its expiry")
    _prune(connection, floor_ms)
    _check(connection, order.number, floor_ms, most)
    _insert(connection, order)
    for use in uses:
        _use(connection, use, order.accepted_ms)
    query = "INSERT INTO reverts (point, written_ms) VALUES (?, ?) ON CONFLICT (point) DO UPDATE SET written_ms = ?"
    connection.executemany(query, [(point, quiet_ms, quiet_ms) for point, quiet_ms in reverts])


def check_refusal(connection: sqlite3.Connection, number: int, floor_ms: int) -> None:
    """Raise `NotAllowed` (`replay`, `full`) when no result is to be kept of a command that is not done."""
    _check(connection, number, floor_ms, MAX_REFUSED)


def refuse(connection: sqlite3.Connection, order: Order, floor_ms: int) -> None:
    """Take the number of a command that is not done; nothing happens when it was taken meanwhile."""
    _prune(connection, floor_ms)
    _insert(connection, order)


def finish(connection: sqlite3.Connection, number: int, result: str) -> None:
    """The one final result of a command."""
    connection.execute("UPDATE commands SET result = ?, final = 1 WHERE number = ?", (result, number))


def reverted(connection: sqlite3.Connection, point: str, written_ms: int) -> None:
    """`point` is back; nothing happens when it was written again since."""
    connection.execute("DELETE FROM reverts WHERE point = ? AND written_ms = ?", (point, written_ms))


def known(connection: sqlite3.Connection, number: int) -> bool:
    """Whether there was a command of this number."""
    return connection.execute("SELECT 1 FROM commands WHERE number = ?", (number,)).fetchone() is not None


def unfinished(connection: sqlite3.Connection) -> list[Order]:
    """What was accepted by a life before, and nobody knows what became of it."""
    return [_order(row) for row in connection.execute(f"{_SELECT} WHERE final = 0 ORDER BY accepted_ms, number")]


def newest(connection: sqlite3.Connection, limit: int = SHOWN) -> list[Order]:
    """The last commands, the newest first."""
    query = f"{_SELECT} ORDER BY accepted_ms DESC, number LIMIT ?"
    return [_order(row) for row in connection.execute(query, (limit,))]


def pending_reverts(connection: sqlite3.Connection) -> dict[str, int]:
    """The points that are to go back, with the quiet time at which they were written."""
    return dict(connection.execute("SELECT point, written_ms FROM reverts"))


def forget_revert(connection: sqlite3.Connection, point: str) -> None:
    """`point` has no safe value any longer."""
    connection.execute("DELETE FROM reverts WHERE point = ?", (point,))


def shift_reverts(connection: sqlite3.Connection, after_ms: int, by_ms: int) -> None:
    """What was written later than `after_ms` was so by `by_ms` more: the count has found what it had missed."""
    connection.execute("UPDATE reverts SET written_ms = written_ms + ? WHERE written_ms > ?", (by_ms, after_ms))


def quiet(connection: sqlite3.Connection) -> Quiet:
    """What was noted last."""
    return Quiet(*connection.execute("SELECT quiet_ms, heard_ms, boot, boot_ms, utc_ms FROM quiet").fetchone())


def note_quiet(connection: sqlite3.Connection, now: Quiet) -> None:
    """Note it."""
    query = "UPDATE quiet SET quiet_ms = ?, heard_ms = ?, boot = ?, boot_ms = ?, utc_ms = ?"
    connection.execute(query, (now.quiet_ms, now.heard_ms, now.boot, now.boot_ms, now.utc_ms))


def _check(connection: sqlite3.Connection, number: int, floor_ms: int, most: int) -> None:
    if known(connection, number):
        raise NotAllowed("replay", f"command {number} was here before")
    count = connection.execute("SELECT count(*) FROM commands WHERE expires_ms > ?", (floor_ms,)).fetchone()[0]
    if count >= most:
        raise NotAllowed("full", f"{count} commands have come whose time is not over")


def _insert(connection: sqlite3.Connection, order: Order) -> None:
    row = (order.number, order.expires_ms, order.accepted_ms, order.message, order.result, int(order.final))
    connection.execute("INSERT OR IGNORE INTO commands VALUES (?, ?, ?, ?, ?, ?)", row)


def _prune(connection: sqlite3.Connection, floor_ms: int) -> None:
    """Forget the numbers that no clock of this store will ever find in time; that floor goes to the disk with it."""
    connection.execute("UPDATE state SET floor_ms = max(floor_ms, ?)", (floor_ms,))
    connection.execute(
        "DELETE FROM commands WHERE final = 1 AND expires_ms <= ? AND number NOT IN"
        " (SELECT number FROM commands ORDER BY accepted_ms DESC LIMIT ?)",
        (floor_ms, SHOWN),
    )


def _use(connection: sqlite3.Connection, use: Use, now_ms: int) -> None:
    """What is dated later than now, by a clock that was wrong then or is now, counts."""
    connection.execute("DELETE FROM rates WHERE point = ? AND at_ms <= ?", (use.point, now_ms - use.ms))
    count = connection.execute("SELECT count(*) FROM rates WHERE point = ?", (use.point,)).fetchone()[0]
    if count >= use.count:
        raise NotAllowed("rate", f"{use.point}: written {count} times in {use.ms // 1000} s, as often as is allowed")
    connection.execute("INSERT INTO rates (point, at_ms) VALUES (?, ?)", (use.point, now_ms))


def _order(row: tuple[int, int, int, bytes, str, int]) -> Order:
    return Order(*row[:5], final=bool(row[5]))
