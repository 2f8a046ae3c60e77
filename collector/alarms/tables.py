"""The tables of alarms, and of what is to be told of them elsewhere."""

TABLES = """
-- what is wrong or was: `kind` and `subject` name it within the gateway; open while `cleared_at` is null
CREATE TABLE alarms (
    id INTEGER PRIMARY KEY AUTOINCREMENT, gateway TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    detail TEXT NOT NULL, raised_at INTEGER NOT NULL, acknowledged_at INTEGER, acknowledged_by TEXT,
    note TEXT, cleared_at INTEGER
);
CREATE UNIQUE INDEX alarms_open ON alarms (gateway, kind, subject) WHERE cleared_at IS NULL;
-- changes of alarms that a webhook is to be told; `told_at` is null until it took them, `given_up` after too many tries
CREATE TABLE alarm_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, alarm INTEGER NOT NULL, event TEXT NOT NULL, at INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, next_at INTEGER NOT NULL, told_at INTEGER, given_up INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX alarm_events_due ON alarm_events (next_at) WHERE told_at IS NULL AND given_up = 0"""
