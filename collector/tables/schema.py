"""The tables of the collector's database. docs/collector.md describes them; texts in hexadecimal are lower case."""

from collector.alarms import tables as alarms
from collector.tables import arrivals

BASE = """
CREATE TABLE gateways (
    gateway TEXT NOT NULL, site TEXT NOT NULL, kid TEXT PRIMARY KEY, public_key TEXT NOT NULL,
    added_at INTEGER NOT NULL, revoked_at INTEGER
) WITHOUT ROWID;
CREATE INDEX gateways_by_name ON gateways (gateway);

-- the truth: every batch as it was received
CREATE TABLE batches (
    gateway TEXT NOT NULL, stream TEXT NOT NULL, number INTEGER NOT NULL,
    hash TEXT NOT NULL, previous TEXT NOT NULL, kind TEXT NOT NULL, boot TEXT NOT NULL,
    received_at INTEGER NOT NULL, bytes BLOB NOT NULL,
    PRIMARY KEY (gateway, stream, number)
);

-- what was not taken, with the reason
CREATE TABLE refused (
    received_at INTEGER NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL, bytes BLOB NOT NULL,
    id INTEGER PRIMARY KEY
);
-- each reason's messages: how many came, how many of them are no longer kept in `refused`
CREATE TABLE refusals (
    reason TEXT PRIMARY KEY, count INTEGER NOT NULL, overflow INTEGER NOT NULL, last_at INTEGER NOT NULL
) WITHOUT ROWID;
-- refused messages whose signature is valid; `aside` is the id in `refused`, null when its bytes are not kept
CREATE TABLE rejects (
    gateway TEXT NOT NULL, stream TEXT NOT NULL, number INTEGER NOT NULL, hash TEXT NOT NULL,
    reason TEXT NOT NULL, count INTEGER NOT NULL, aside INTEGER,
    PRIMARY KEY (gateway, stream, number, hash)
) WITHOUT ROWID;
CREATE INDEX rejects_by_aside ON rejects (aside);

-- a stream; `newest` is the highest number that is filled, `newest_ms` the time (UTC) of its last sample
CREATE TABLE streams (
    gateway TEXT NOT NULL, stream TEXT NOT NULL, first_seen INTEGER NOT NULL,
    newest INTEGER NOT NULL DEFAULT 0, newest_ms INTEGER,
    forked_at INTEGER, forked_number INTEGER,
    PRIMARY KEY (gateway, stream)
) WITHOUT ROWID;

-- derived from the batches, see `collector.rebuild`
CREATE TABLE boots (
    gateway TEXT NOT NULL, boot TEXT NOT NULL, offset_ms INTEGER, state TEXT NOT NULL,
    PRIMARY KEY (gateway, boot)
) WITHOUT ROWID;
-- the batch whose estimate stands in `boots`: the one with the lowest number
CREATE TABLE boot_sources (
    gateway TEXT NOT NULL, boot TEXT NOT NULL, number INTEGER NOT NULL, stream TEXT NOT NULL,
    PRIMARY KEY (gateway, boot)
) WITHOUT ROWID;
CREATE TABLE series (
    id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, stream TEXT NOT NULL, number INTEGER NOT NULL,
    device TEXT NOT NULL, point TEXT NOT NULL, unit TEXT NOT NULL, type TEXT NOT NULL,
    UNIQUE (gateway, stream, number)
);
CREATE INDEX series_by_point ON series (device, point);
CREATE TABLE samples (
    series INTEGER NOT NULL, ts_ms INTEGER NOT NULL, value DOUBLE, exact TEXT, text TEXT,
    quality INTEGER NOT NULL, batch INTEGER NOT NULL
);
CREATE INDEX samples_by_time ON samples (series, ts_ms);
CREATE TABLE gaps (
    gateway TEXT NOT NULL, stream TEXT NOT NULL, first INTEGER, last INTEGER,
    from_ms INTEGER, to_ms INTEGER, samples INTEGER, reason TEXT NOT NULL, state TEXT NOT NULL,
    id INTEGER PRIMARY KEY
);
CREATE INDEX gaps_by_number ON gaps (gateway, stream, state, first);
-- ledgered gaps that are dated by the estimate in `boots`, for lack of a clock of their own
CREATE TABLE undated_gaps (
    gap INTEGER PRIMARY KEY, gateway TEXT NOT NULL, boot TEXT NOT NULL,
    from_boot_ms INTEGER NOT NULL, to_boot_ms INTEGER
);
CREATE INDEX undated_gaps_by_boot ON undated_gaps (gateway, boot);
-- longest runs of numbers that are filled and chained to one another
CREATE TABLE runs (
    gateway TEXT NOT NULL, stream TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (gateway, stream, first)
) WITHOUT ROWID;
CREATE INDEX runs_by_last ON runs (gateway, stream, last);
CREATE TABLE catalogues (
    gateway TEXT NOT NULL, stream TEXT NOT NULL, hash TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (gateway, stream, hash)
) WITHOUT ROWID;
-- batches whose samples are not in `samples`: for lack of a catalogue or a clock, or for good
CREATE TABLE waiting (
    gateway TEXT NOT NULL, stream TEXT NOT NULL, number INTEGER NOT NULL,
    state TEXT NOT NULL, -- catalogue, clock: what it lacks. ready: lacks nothing any more. superseded, failed: for good
    catalogue TEXT, boot TEXT NOT NULL, samples INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (gateway, stream, number)
) WITHOUT ROWID;
CREATE INDEX waiting_by_state ON waiting (state, gateway);
-- batches without a clock of their own, times in CLOCK_BOOTTIME; `offset_ms` is the estimate their rows were dated by
CREATE TABLE clockless (
    gateway TEXT NOT NULL, stream TEXT NOT NULL, number INTEGER NOT NULL, boot TEXT NOT NULL,
    first_boot_ms INTEGER NOT NULL, last_boot_ms INTEGER NOT NULL, offset_ms INTEGER,
    PRIMARY KEY (gateway, stream, number)
) WITHOUT ROWID;
CREATE INDEX clockless_by_boot ON clockless (gateway, boot)"""

REPLACED = """
DROP TABLE IF EXISTS replaced;
-- claims: batches whose place another took (evicted, thinned or split by the gateway), and the samples it answers for:
-- `start` -1: of all batches from `first` to `last`, of which `hash` is; else from that place on of the one batch
CREATE TABLE replaced (
    gateway TEXT NOT NULL, stream TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    start INTEGER NOT NULL, samples INTEGER NOT NULL, hash TEXT NOT NULL, replacement INTEGER NOT NULL,
    PRIMARY KEY (gateway, stream, last, start)
) WITHOUT ROWID"""

COMMANDS = """
-- keyrings that were sent to gateways, as signed; `authority` is the id of the key that signed, `authority_key` itself
CREATE TABLE keyrings (
    authority TEXT NOT NULL, number INTEGER NOT NULL, authority_key TEXT NOT NULL, issued_ms INTEGER NOT NULL,
    message BLOB NOT NULL, PRIMARY KEY (authority, number)
) WITHOUT ROWID;
CREATE TABLE keyring_relays (
    gateway TEXT NOT NULL, authority TEXT NOT NULL, number INTEGER NOT NULL, relayed_at INTEGER NOT NULL,
    PRIMARY KEY (gateway, authority, number)
) WITHOUT ROWID;
-- commands that were given to be relayed, as signed; `relayed_at` is null until the broker has taken it
CREATE TABLE commands (
    gateway TEXT NOT NULL, number INTEGER NOT NULL, stream TEXT NOT NULL, kid TEXT NOT NULL, name TEXT NOT NULL,
    who TEXT NOT NULL, why TEXT NOT NULL, dry_run INTEGER NOT NULL, issued_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL, entered_at INTEGER NOT NULL, relayed_at INTEGER, message BLOB NOT NULL,
    PRIMARY KEY (gateway, number)
) WITHOUT ROWID"""

ASSETS = """
-- what the catalogue says of the device beside its id; latitude and longitude in degrees, `labels` an object in JSON
ALTER TABLE series ADD COLUMN asset_id TEXT NOT NULL DEFAULT '';
ALTER TABLE series ADD COLUMN latitude DOUBLE;
ALTER TABLE series ADD COLUMN longitude DOUBLE;
ALTER TABLE series ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE series ADD COLUMN public INTEGER NOT NULL DEFAULT 0;
CREATE INDEX series_by_asset ON series (asset_id, point)"""

ROLLUPS = """
-- hourly and daily sums of the samples with a value, derived from `samples`; `start_ms` is UTC
CREATE TABLE rollups (
    series INTEGER NOT NULL, period_ms INTEGER NOT NULL, start_ms INTEGER NOT NULL, count INTEGER NOT NULL,
    min DOUBLE NOT NULL, mean DOUBLE NOT NULL, max DOUBLE NOT NULL,
    PRIMARY KEY (series, period_ms, start_ms)
) WITHOUT ROWID;
-- hours of a stream whose sums are older than their samples
CREATE TABLE rollups_due (
    gateway TEXT NOT NULL, stream TEXT NOT NULL, start_ms INTEGER NOT NULL,
    PRIMARY KEY (gateway, stream, start_ms)
) WITHOUT ROWID;
-- one row at most: samples before it were let go; a rebuild lets them go again
CREATE TABLE kept_from (
    id INTEGER PRIMARY KEY, utc_ms INTEGER NOT NULL
);
DROP VIEW IF EXISTS asset_readings"""

ENROLMENT = """
-- invitations, by the SHA-256 of their secret; `kid` is the key that it was used for, `misuses` tries with another one
CREATE TABLE tokens (
    hash TEXT PRIMARY KEY, gateway TEXT NOT NULL, site TEXT NOT NULL, made_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL, used_at INTEGER, kid TEXT, misuses INTEGER NOT NULL
) WITHOUT ROWID;
-- certificates that gateways were given; `serial` in hexadecimal
CREATE TABLE certificates (
    serial TEXT PRIMARY KEY, gateway TEXT NOT NULL, kid TEXT NOT NULL, issued_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL, revoked_at INTEGER
) WITHOUT ROWID;
CREATE INDEX certificates_by_gateway ON certificates (gateway)"""


DESCRIBED = """
-- the catalogue that the description of the series is from: an older one that comes later changes nothing
ALTER TABLE series ADD COLUMN described INTEGER NOT NULL DEFAULT 0"""

CLOSED = "-- what is public is judged anew, by the views alone"

PLATFORM = f"{DESCRIBED};\n{arrivals.TABLE};\n{alarms.TABLES}"

STEPS = (BASE, REPLACED, COMMANDS, ASSETS, ROLLUPS, ENROLMENT, PLATFORM, CLOSED)
"""What makes a database of version n one of version n + 1. Both databases take the same: plain SQL, but for

`WITHOUT ROWID`, `INTEGER` for 64 bits, `BLOB`, `DOUBLE`, and `id INTEGER PRIMARY KEY` for a number that counts itself
(`AUTOINCREMENT`: and never twice).
"""

VERSION = len(STEPS)


def statements(step: str) -> list[str]:
    """The statements of a step, without comments."""
    lines = (line.partition("--")[0].rstrip() for line in step.splitlines())
    return [text for part in "\n".join(line for line in lines if line).split(";") if (text := part.strip())]


DERIVED = (
    "boots", "boot_sources", "series", "samples", "gaps", "undated_gaps", "runs", "catalogues", "waiting", "clockless",
    "replaced", "rollups", "rollups_due",
)  # fmt: skip
