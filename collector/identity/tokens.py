"""Invitations of gateways: kept as hashes, dated by this machine's clock, good for one key each."""

import hashlib
from typing import Any

from buffer.enrolment import Token
from collector.errors import EnrolmentRefused, RegistryError
from collector.tables.database import Database, Sql

RESERVED = frozenset({"collector"})
"""What brokers know the platform's own clients by: a gateway of that name would read what all the others say."""


def require_name(gateway: str) -> None:
    """Raise RegistryError for a name that no gateway may have."""
    if gateway in RESERVED:
        raise RegistryError(f"no gateway may be called {gateway!r}: brokers know the platform's own clients by it")


def add(database: Database, token: Token, now_ms: int, ends_ms: int) -> None:
    """Keep a token's hash; an older one of the gateway that nobody used is good no more. Raises RegistryError."""
    require_name(token.gateway)
    with database.transaction() as db:
        db.execute("DELETE FROM tokens WHERE gateway = ? AND used_at IS NULL", (token.gateway,))
        db.execute(
            "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, NULL, NULL, 0)",
            (_hash(token.secret), token.gateway, token.site, now_ms, ends_ms),
        )


def withdraw(database: Database, gateway: str) -> int:
    """Let a gateway's tokens be good for nobody any more; how many there were."""
    with database.transaction() as db:
        return forget(db, gateway)


def forget(db: Sql, gateway: str) -> int:
    """Within a transaction: as `withdraw`. One that was used goes too: its key may not have come in yet."""
    return db.execute("DELETE FROM tokens WHERE gateway = ?", (gateway,)).rowcount


def take(database: Database, secret: bytes, gateway: str, site: str, kid: str, now_ms: int) -> None:
    """Use a token for one key, on the disk when it returns; the same key may come again while the token lives.

    Raises EnrolmentRefused. Another key is told of as misuse: somebody else has seen the token.
    """
    with database.transaction() as db:
        row = db.execute("SELECT gateway, site, ends_at, kid FROM tokens WHERE hash = ?", (_hash(secret),)).fetchone()
        if row is None:
            raise EnrolmentRefused("token", "no such token")
        misused = row[3] not in (None, kid)
        if misused:
            db.execute("UPDATE tokens SET misuses = misuses + 1 WHERE hash = ?", (_hash(secret),))
        elif row[:2] == (gateway, site) and now_ms < row[2]:
            db.execute(
                "UPDATE tokens SET used_at = coalesce(used_at, ?), kid = ? WHERE hash = ?",
                (now_ms, kid, _hash(secret)),
            )
            return
    if misused:
        raise EnrolmentRefused("misuse", f"the token of {row[0]} was used before, for key {row[3]}; now for {kid}")
    if row[:2] != (gateway, site):
        raise EnrolmentRefused("token", f"the token is for {row[0]} of site {row[1]}, not {gateway} of {site}")
    raise EnrolmentRefused("expired", f"the token of {gateway} has ended")


def overview(database: Database) -> list[dict[str, Any]]:
    """Return every token, without what it is a hash of."""
    names = ("gateway", "site", "made_at", "ends_at", "used_at", "kid", "misuses")
    with database.errors():
        rows = database.connection.execute(f"SELECT {', '.join(names)} FROM tokens ORDER BY made_at")  # noqa: S608 - names of ours
        return [dict(zip(names, row, strict=True)) for row in rows]


def _hash(secret: bytes) -> str:
    """128 random bits need no slow hash: there is nothing to guess from."""
    return hashlib.sha256(secret).hexdigest()
