"""Which gateways the platform knows: their public keys, sites, and whether they still count."""

from typing import Any

from buffer import cose
from buffer.errors import KeyFileError
from buffer.keys import PublicKey
from collector.errors import DatabaseBroken, RegistryError, TooManyKeys, UnknownGateway
from collector.identity import tokens
from collector.tables.database import Database, Sql

ROLE = "batch"
MAX_KEYS = 2
"""Of a gateway at once: the present one and its successor. A thief of one cannot make a chain of others with it."""


def parse(text: str) -> PublicKey:
    """Read a gateway's public key; raises RegistryError when it is not one that signs batches."""
    try:
        key = PublicKey.from_json(text)
    except KeyFileError as error:
        raise RegistryError(str(error)) from error
    if key.role != ROLE:
        raise RegistryError(f"key {key.kid.hex()} has the role {key.role!r}; a gateway signs with {ROLE!r}")
    return key


def add(database: Database, key: PublicKey, now_ms: int, *, beside: bool = False) -> bool:
    """Make a key known; say whether it is new. A gateway has one valid key unless `beside` keeps the older ones.

    Raises RegistryError for a key that was revoked or is another gateway's, for a second one without `beside`, and
    TooManyKeys for a third.
    """
    tokens.require_name(key.gateway)
    with database.transaction() as db:
        row = db.execute("SELECT gateway, site, revoked_at FROM gateways WHERE kid = ?", (key.kid.hex(),)).fetchone()
        if row is not None:
            return _known(key, *row)
        sql = "SELECT kid, site FROM gateways WHERE gateway = ? AND revoked_at IS NULL ORDER BY added_at, kid"
        others = db.execute(sql, (key.gateway,)).fetchall()
        if others:
            _require_room(key, others, beside=beside)
        db.execute(
            "INSERT INTO gateways VALUES (?, ?, ?, ?, ?, NULL)",
            (key.gateway, key.site, key.kid.hex(), key.raw.hex(), now_ms),
        )
        return True


def succeed(database: Database, key: PublicKey, now_ms: int) -> bool:
    """Make a key known in place of whatever keys its gateway had, with their certificates; say whether it is new.

    Raises RegistryError for a key that was revoked, or is known as another gateway's or another site's.
    """
    tokens.require_name(key.gateway)
    with database.transaction() as db:
        row = db.execute("SELECT gateway, site, revoked_at FROM gateways WHERE kid = ?", (key.kid.hex(),)).fetchone()
        if row is not None:
            return _known(key, *row)
        _revoke(db, key.gateway, now_ms)
        db.execute(
            "INSERT INTO gateways VALUES (?, ?, ?, ?, ?, NULL)",
            (key.gateway, key.site, key.kid.hex(), key.raw.hex(), now_ms),
        )
        return True


def valid_keys(database: Database, gateway: str) -> list[PublicKey]:
    """The keys of a gateway that count."""
    with database.errors():
        rows = database.connection.execute(
            "SELECT site, kid, public_key FROM gateways WHERE gateway = ? AND revoked_at IS NULL", (gateway,)
        )
        return [PublicKey(gateway, site, ROLE, bytes.fromhex(kid), bytes.fromhex(raw)) for site, kid, raw in rows]


def _require_room(key: PublicKey, others: list[tuple[str, str]], *, beside: bool) -> None:
    """Whether a key may stand beside those of its gateway: (kid, site)."""
    if not beside:
        raise RegistryError(
            f"{key.gateway} already has the key {others[0][0]}: revoke it first, or keep both by --beside"
        )
    if others[0][1] != key.site:
        raise RegistryError(f"{key.gateway} is of the site {others[0][1]!r}, this key of {key.site!r}")
    if len(others) >= MAX_KEYS:
        kids = " and ".join(kid for kid, _ in others)
        raise TooManyKeys(f"{key.gateway} has the keys {kids}: revoke the one that its box does not use")


def _known(key: PublicKey, gateway: str, site: str, revoked_at: int | None) -> bool:
    if (gateway, site) != (key.gateway, key.site):
        raise RegistryError(f"key {key.kid.hex()} is known as that of {gateway} of the site {site}")
    if revoked_at is not None:
        raise RegistryError(f"key {key.kid.hex()} of {gateway} was revoked; a gateway that comes back gets a new key")
    return False


def revoke(database: Database, gateway: str, now_ms: int, kid: str | None = None) -> int:
    """Let a gateway's keys (or one of them), and their certificates, count no more; return how many keys did.

    With all of them its invitations end: whoever took the box may have its token. Raises UnknownGateway.
    """
    with database.transaction() as db:
        _require(db, gateway)
        if kid is None:
            tokens.forget(db, gateway)
        return _revoke(db, gateway, now_ms, kid)


def _revoke(db: Sql, gateway: str, now_ms: int, kid: str | None = None) -> int:
    of_key = "revoked_at IS NULL AND gateway = ?" + (" AND kid = ?" if kid is not None else "")
    named = (now_ms, gateway) if kid is None else (now_ms, gateway, kid)
    db.execute(f"UPDATE certificates SET revoked_at = ? WHERE {of_key}", named)  # noqa: S608 - a text of ours
    return db.execute(f"UPDATE gateways SET revoked_at = ? WHERE {of_key}", named).rowcount  # noqa: S608


def confirm(database: Database, gateway: str) -> int:
    """Clear the fork marks of a gateway's streams; return how many there were. Raises UnknownGateway."""
    with database.transaction() as db:
        _require(db, gateway)
        return db.execute(
            "UPDATE streams SET forked_at = NULL WHERE gateway = ? AND forked_at IS NOT NULL", (gateway,)
        ).rowcount


def overview(database: Database) -> list[dict[str, Any]]:
    """Return one row a key with what its gateway has delivered; `wiped_at`: when it said, with this key, its last."""
    sql = """
        SELECT gateway, site, kid, added_at, revoked_at,
            (SELECT count(*) FROM batches b WHERE b.gateway = g.gateway) AS batches,
            (SELECT max(received_at) FROM batches b WHERE b.gateway = g.gateway) AS last_at,
            (SELECT count(*) FROM waiting w WHERE w.gateway = g.gateway AND w.state IN ('catalogue', 'clock', 'ready'))
                AS waiting,
            (SELECT count(*) FROM gaps x WHERE x.gateway = g.gateway AND x.state != 'ledgered') AS gaps,
            (SELECT count(*) FROM streams s WHERE s.gateway = g.gateway AND s.forked_at IS NOT NULL) AS forked,
            (SELECT max(b.received_at) FROM series s JOIN samples x ON x.series = s.id
                JOIN batches b ON b.gateway = s.gateway AND b.stream = s.stream AND b.number = x.batch
                WHERE s.device = 'gateway' AND s.point = 'decommissioned' AND s.gateway = g.gateway
                    AND b.received_at >= g.added_at) AS wiped_at
        FROM gateways g ORDER BY gateway, added_at, kid"""
    with database.errors():
        cursor = database.connection.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def _require(db: Sql, gateway: str) -> None:
    if db.execute("SELECT 1 FROM gateways WHERE gateway = ?", (gateway,)).fetchone() is None:
        raise UnknownGateway(f"no key of {gateway!r} is known")


class Keys:
    """The keys by their ids, read again when another connection changed the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._db = database.connection
        self._version = -1
        self._found: dict[bytes, tuple[PublicKey, bool]] = {}

    def find(self, kid: bytes) -> tuple[PublicKey, bool] | None:
        """Return the key and whether it is still valid."""
        if kid not in self._found:
            row = self._db.execute(
                "SELECT gateway, site, public_key, revoked_at FROM gateways WHERE kid = ?", (kid.hex(),)
            ).fetchone()
            if row is None:
                return None
            self._found[kid] = PublicKey(row[0], row[1], ROLE, kid, bytes.fromhex(row[2])), row[3] is None
        return self._found[kid]

    def of_message(self, message: bytes) -> PublicKey:
        """Return the key that a stored message names, valid or not; it was known when the message came."""
        found = self.find(cose.read(message).kid)
        if found is None:
            raise DatabaseBroken("the key of a stored batch is not in the registry")
        return found[0]

    def refresh(self) -> bool:
        """Forget what was read when another process wrote since, and say so; to be called for each group."""
        version = self._database.changes()
        if version == self._version:
            return False
        self._version = version
        self._found.clear()
        return True
