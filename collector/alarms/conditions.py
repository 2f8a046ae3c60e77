"""What is wrong now, by the tables and the rules. Nothing is written here."""

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from collector.alarms.rules import Limit, Rules
from collector.tables.database import Database, Sql


class Kind(StrEnum):
    """Kinds of alarms; `subject` is beside each."""

    SILENT_GATEWAY = "silent-gateway"  # ""
    SILENT_DEVICE = "silent-device"  # device
    LIMIT = "limit"  # device/point
    FORK = "fork"  # stream
    GAP = "gap"  # stream
    BROKEN = "broken"  # stream:number
    MISUSE = "token-misuse"  # the key that a token was used for
    TWO_KEYS = "two-keys"  # ""


Key: TypeAlias = tuple[str, str, str]
"""Gateway, kind, subject."""


@dataclass(slots=True)
class Found:
    """`wrong` with a sentence each; of `unknown` nobody can say now whether they are, so what is open stays open."""

    wrong: dict[Key, str] = field(default_factory=dict)
    unknown: set[Key] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Series:
    """A series that the newest catalogue of a gateway's newest stream has."""

    id: int
    gateway: str
    device: str
    point: str
    since_ms: int


_GATEWAYS = """
    SELECT g.gateway, min(g.added_at), (SELECT max(b.received_at) FROM batches b WHERE b.gateway = g.gateway)
    FROM gateways g WHERE g.revoked_at IS NULL GROUP BY g.gateway ORDER BY g.gateway"""

_SERIES = """
    SELECT s.id, s.gateway, s.device, s.point, t.first_seen FROM series s
        JOIN streams t ON t.gateway = s.gateway AND t.stream = s.stream
    WHERE s.gateway = ? AND s.device <> 'gateway' AND s.stream = (
            SELECT n.stream FROM streams n WHERE n.gateway = ?
            ORDER BY coalesce(n.newest_ms, n.first_seen) DESC, n.first_seen DESC LIMIT 1)
        AND s.described = (SELECT max(d.described) FROM series d WHERE d.gateway = s.gateway AND d.stream = s.stream)"""

_HEARD = "SELECT 1 FROM samples WHERE series = ? AND ts_ms > ? AND (quality & 3) < 2 LIMIT 1"

_NEWEST = (
    "SELECT value FROM samples WHERE series = ? AND ts_ms > ? AND (quality & 3) = 0 AND value IS NOT NULL"
    " ORDER BY ts_ms DESC LIMIT 1"
)
NEWEST_MS = 86_400_000  # a value that is older says nothing of now

_GAPS = """
    SELECT gateway, stream, min(first), max(last), sum(last - first + 1) FROM gaps
    WHERE state = 'pending' AND coalesce(to_ms, 0) < ? GROUP BY gateway, stream"""


_MISUSED = """
    SELECT t.gateway, t.kid, sum(t.misuses) FROM tokens t WHERE t.misuses > 0
        AND NOT EXISTS (SELECT 1 FROM gateways g WHERE g.kid = t.kid AND g.revoked_at IS NOT NULL)
    GROUP BY t.gateway, t.kid"""

_KEYS = "SELECT gateway, kid FROM gateways WHERE revoked_at IS NULL ORDER BY gateway, added_at, kid"


def find(database: Database, rules: Rules, now_ms: int, still_open: Callable[[Key], bool]) -> Found:
    """Look at everything once; `still_open` tells whether an alarm is: a value near a limit must not flap."""
    found, db = Found(), database.connection
    with database.errors():
        for gateway, added_at, heard_at in db.execute(_GATEWAYS).fetchall():
            silent = _silent_gateway(found, rules, now_ms, gateway, added_at, heard_at)
            lines = [_Series(*row) for row in db.execute(_SERIES, (gateway, gateway)).fetchall()]
            _devices(db, found, rules, now_ms, lines, silent=silent)
            for limit, line in _limited(rules, lines):
                _judge(db, found, limit, line, now_ms, still_open)
        _streams(db, found, rules, now_ms)
        _identities(db, found)
    return found


def _silent_gateway(found: Found, rules: Rules, now_ms: int, gateway: str, added_at: int, heard_at: int | None) -> bool:
    since = added_at if heard_at is None else heard_at
    silent = bool(rules.silent_gateway) and now_ms - since > rules.silent_gateway
    if silent:
        what = "nothing has ever come" if heard_at is None else "nothing has come"
        found.wrong[gateway, Kind.SILENT_GATEWAY, ""] = f"{what} for {(now_ms - since) // 1000} s"
    return silent


def _devices(db: Sql, found: Found, rules: Rules, now_ms: int, lines: list[_Series], *, silent: bool) -> None:
    devices: dict[str, list[_Series]] = {}
    for line in lines:
        devices.setdefault(line.device, []).append(line)
    for device, parts in devices.items():
        gateway = parts[0].gateway
        key = gateway, Kind.SILENT_DEVICE, device
        after = _patience(rules, gateway, device)
        if not after:
            continue
        if silent:
            found.unknown.add(key)
        elif now_ms - parts[0].since_ms > after and not any(
            db.execute(_HEARD, (part.id, now_ms - after)).fetchone() for part in parts
        ):
            found.wrong[key] = f"no value that is not bad for {after // 1000} s"


def _patience(rules: Rules, gateway: str, device: str) -> int:
    for silence in rules.silence:
        if _names(silence.device, gateway, device):
            return silence.after
    return rules.silent_device


def _limited(rules: Rules, lines: list[_Series]) -> Iterator[tuple[Limit, _Series]]:
    """Each series with the first limit that names it."""
    for line in lines:
        for limit in rules.limit:
            if _names(limit.point, line.gateway, f"{line.device}/{line.point}"):
                yield limit, line
                break


def _judge(db: Sql, found: Found, limit: Limit, line: _Series, now_ms: int, still_open: Callable[[Key], bool]) -> None:
    key = line.gateway, Kind.LIMIT, f"{line.device}/{line.point}"
    row = db.execute(_NEWEST, (line.id, now_ms - NEWEST_MS)).fetchone()
    if row is None:
        found.unknown.add(key)
        return
    margin = limit.margin if still_open(key) else 0.0
    if limit.min is not None and row[0] < limit.min + margin:
        found.wrong[key] = f"{row[0]:g} is below {limit.min:g}"
    elif limit.max is not None and row[0] > limit.max - margin:
        found.wrong[key] = f"{row[0]:g} is above {limit.max:g}"


def _streams(db: Sql, found: Found, rules: Rules, now_ms: int) -> None:
    for gateway, stream, number in db.execute(
        "SELECT gateway, stream, forked_number FROM streams WHERE forked_at IS NOT NULL"
    ):
        found.wrong[gateway, Kind.FORK, stream] = f"two stores claim number {number}: gateways confirm, or revoke"
    for gateway, stream, reason, number in db.execute(
        "SELECT gateway, stream, reason, last FROM gaps WHERE state = 'broken'"
    ):
        found.wrong[gateway, Kind.BROKEN, f"{stream}:{number}"] = reason
    if rules.gap:
        for gateway, stream, first, last, count in db.execute(_GAPS, (now_ms - rules.gap,)):
            found.wrong[gateway, Kind.GAP, stream] = f"{count} numbers from {first} to {last} have not arrived"


def _identities(db: Sql, found: Found) -> None:
    for gateway, kid, count in db.execute(_MISUSED):
        found.wrong[gateway, Kind.MISUSE, kid] = (
            f"its token was tried {count} times with other keys than {kid}, which used it: revoke the gateway,"
            " unless its box shows that key (then: token withdraw)"
        )
    keys: dict[str, list[str]] = {}
    for gateway, kid in db.execute(_KEYS):
        keys.setdefault(gateway, []).append(kid)
    for gateway, kids in keys.items():
        if len(kids) > 1:
            found.wrong[gateway, Kind.TWO_KEYS, ""] = (
                f"{' and '.join(kids)} count, the older one first: revoke the one that its box does not use (--kid)"
            )


def _names(pattern: str, gateway: str, name: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(f"{gateway}/{name}", pattern)
