"""The table of alarms: raised once, acknowledged by somebody, cleared when it is over."""

from collections.abc import Iterator
from dataclasses import dataclass

from collector.alarms.conditions import Found, Key
from collector.errors import UsageError
from collector.query import Row, rows
from collector.tables.database import Database

_LIST = """
    SELECT id, gateway, kind, subject, detail, raised_at, acknowledged_at, acknowledged_by, note, cleared_at FROM alarms
    WHERE (:gateway IS NULL OR gateway = :gateway) AND (:past = 1 OR cleared_at IS NULL)
    ORDER BY id DESC LIMIT :limit"""

_RAISE = """
    INSERT INTO alarms (gateway, kind, subject, detail, raised_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (gateway, kind, subject) WHERE cleared_at IS NULL DO NOTHING RETURNING id"""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of an alarm: `raised`, `acknowledged` or `cleared`."""

    alarm: int
    event: str
    key: Key
    detail: str


class Book:
    """Reads and writes the table; `tell` enters each change for the webhook as well."""

    def __init__(self, database: Database, *, tell: bool) -> None:
        self._database = database
        self._tell = tell

    def still_open(self) -> dict[Key, tuple[int, str]]:
        """The open alarms, with id and detail."""
        sql = "SELECT gateway, kind, subject, id, detail FROM alarms WHERE cleared_at IS NULL"
        with self._database.errors():
            found = self._database.connection.execute(sql).fetchall()
        return {(gateway, kind, subject): (number, detail) for gateway, kind, subject, number, detail in found}

    def update(self, found: Found, now_ms: int) -> list[Change]:
        """Raise what is new and clear what is over; nothing is locked when nothing changed."""
        known = self.still_open()
        new = {key: detail for key, detail in found.wrong.items() if key not in known}
        over = {key: one for key, one in known.items() if key not in found.wrong and key not in found.unknown}
        if not new and not over:
            return []
        changes: list[Change] = []
        with self._database.transaction() as db:
            for key, detail in new.items():
                row = db.execute(_RAISE, (*key, detail, now_ms)).fetchone()
                if row is not None:  # else another process was faster
                    changes.append(Change(row[0], "raised", key, detail))
            for key, (number, detail) in over.items():
                sql = "UPDATE alarms SET cleared_at = ? WHERE id = ? AND cleared_at IS NULL"
                if db.execute(sql, (now_ms, number)).rowcount:
                    changes.append(Change(number, "cleared", key, detail))
            if self._tell:
                for change in changes:
                    self._note(change.alarm, change.event, now_ms)
        return changes

    def acknowledge(self, number: int, who: str, note: str | None, now_ms: int) -> Row:
        """Enter that somebody knows; return the alarm. Raises UsageError for none, or one that was acknowledged."""
        with self._database.transaction() as db:
            done = db.execute(
                "UPDATE alarms SET acknowledged_at = ?, acknowledged_by = ?, note = ?"
                " WHERE id = ? AND acknowledged_at IS NULL",
                (now_ms, who, note, number),
            )
            if not done.rowcount:
                raise UsageError(f"alarm {number} is not there, or was acknowledged before")
            if self._tell or self._told_before():
                self._note(number, "acknowledged", now_ms)
        return next(rows(self._database, "SELECT * FROM alarms WHERE id = :id", {"id": number}))

    def listed(self, *, gateway: str | None = None, past: bool = False, limit: int = 1000) -> Iterator[Row]:
        """Yield alarms, the newest first: the open ones, or all."""
        return rows(self._database, _LIST, {"gateway": gateway, "past": int(past), "limit": limit})

    def _told_before(self) -> bool:
        """Whether somebody is told of alarms: whoever acknowledges one need not know the rules."""
        return self._database.connection.execute("SELECT 1 FROM alarm_events LIMIT 1").fetchone() is not None

    def _note(self, alarm: int, event: str, now_ms: int) -> None:
        self._database.connection.execute(
            "INSERT INTO alarm_events (alarm, event, at, next_at) VALUES (?, ?, ?, ?)", (alarm, event, now_ms, now_ms)
        )
