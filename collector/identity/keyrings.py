"""Signed keyrings: what one says, how it differs from the one before, and which one a gateway was sent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buffer.errors import BufferFault
from buffer.keyring import FOREVER, Keyring, RingKey
from buffer.keys import PublicKey
from collector import output
from collector.errors import KeyringFault, UnknownGateway
from collector.files import read_bounded
from collector.tables.database import Database

MAX_KEYRING_BYTES = 1 << 18  # MAX_KEYS with MAX_SCOPES of the longest scopes stay under it
AUTHORITY = "authority"


def read(message: bytes, authority: PublicKey) -> Keyring:
    """Verify and parse; raises KeyringFault."""
    try:
        return Keyring.read(message, authority)
    except BufferFault as error:
        raise KeyringFault(f"not a keyring of the authority {authority.kid.hex()}: {error}") from error


def load(path: Path, authority: PublicKey) -> tuple[bytes, Keyring]:
    """A file's message, and what it says; raises KeyringFault or FileFault."""
    message = read_bounded(path, MAX_KEYRING_BYTES)
    try:
        return message, read(message, authority)
    except KeyringFault as error:
        raise KeyringFault(f"{path}: {error}") from error


def load_authority(path: Path) -> PublicKey:
    """The public key that gateways pin; raises KeyringFault."""
    key = PublicKey.load(path)
    if key.role != AUTHORITY:
        raise KeyringFault(f"{path}: a key of role {key.role!r}; keyrings are signed by one of role {AUTHORITY!r}")
    return key


def row(key: RingKey) -> dict[str, Any]:
    """A key for tables and JSON; `until` is the first moment at which it counts no more."""
    return {
        "name": key.name,
        "role": key.role,
        "kid": key.public.kid.hex(),
        "scopes": ["/".join(scope) for scope in key.scopes],
        "until": "never" if key.ends_ms == FOREVER else output.moment(key.ends_ms),
    }


def changes(before: Sequence[RingKey], after: Sequence[RingKey]) -> list[str]:
    """What is new, gone and other, in words."""
    old = {(key.name, key.role): key for key in before}
    new = {(key.name, key.role): key for key in after}
    told = [f"+ {name} ({role})" for name, role in new if (name, role) not in old]
    told += [f"- {name} ({role})" for name, role in old if (name, role) not in new]
    return told + [
        f"~ {name} ({role})" for name, role in new if old.get((name, role), new[name, role]) != new[name, role]
    ]


def doubts(keys: Sequence[RingKey], now_ms: int) -> list[str]:
    """What is allowed and hardly meant."""
    told = [f"{key.name} ({key.role}) has ended already" for key in keys if key.ends_ms <= now_ms]
    if not any(key.role == "acknowledge" and key.ends_ms > now_ms for key in keys):
        told.append("no key acknowledges: gateways that take this keyring can deliver to no collector")
    return told


@dataclass(frozen=True, slots=True)
class Kept:
    """A keyring in the database, and when it was sent to the gateway asked about."""

    message: bytes
    authority: PublicKey
    relayed_at: int

    def open(self) -> Keyring:
        """Verify and parse again; raises KeyringFault."""
        return read(self.message, self.authority)


def keep(database: Database, message: bytes, ring: Keyring, authority: PublicKey, gateways: Sequence[str]) -> None:
    """Enter a keyring and the gateways that it is about to be sent to.

    Raises KeyringFault when one of them was sent a higher number, or another keyring has this number.
    """
    kid = authority.kid.hex()
    with database.transaction() as db:
        found = db.execute("SELECT message FROM keyrings WHERE authority = ? AND number = ?", (kid, ring.number))
        known = found.fetchone()
        if known is not None and bytes(known[0]) != message:
            raise KeyringFault(f"another keyring of this authority has the number {ring.number}")
        for gateway in gateways:
            (newest,) = db.execute(
                "SELECT max(number) FROM keyring_relays WHERE gateway = ? AND authority = ?", (gateway, kid)
            ).fetchone()
            if newest is not None and newest > ring.number:
                raise KeyringFault(f"{gateway} was sent keyring {newest} already; {ring.number} would be refused")
        db.execute(
            "INSERT INTO keyrings VALUES (?, ?, ?, ?, ?) ON CONFLICT (authority, number) DO NOTHING",
            (kid, ring.number, authority.raw.hex(), ring.issued_ms, message),
        )


def note_relayed(database: Database, ring: Keyring, authority: PublicKey, gateway: str, now_ms: int) -> None:
    """Enter that the broker has taken a keyring for a gateway; the first time counts."""
    with database.transaction() as db:
        db.execute(
            "INSERT INTO keyring_relays VALUES (?, ?, ?, ?) ON CONFLICT (gateway, authority, number) DO NOTHING",
            (gateway, authority.kid.hex(), ring.number, now_ms),
        )


def sent_to(database: Database, gateway: str) -> list[Kept]:
    """The keyrings that a gateway was sent, the newest first."""
    sql = (
        "SELECT message, authority_key, relayed_at FROM keyring_relays NATURAL JOIN keyrings"
        " WHERE gateway = ? ORDER BY relayed_at DESC, number DESC"
    )
    with database.errors():
        rows = database.connection.execute(sql, (gateway,)).fetchall()
    return [Kept(bytes(message), PublicKey.of(bytes.fromhex(key), AUTHORITY), at) for message, key, at in rows]


def newest(database: Database) -> Iterator[tuple[str, str, bytes]]:
    """(site, gateway, message) of the keyring that each gateway was sent last."""
    for gateway in all_gateways(database):
        sent = sent_to(database, gateway)
        if sent:
            yield site_of(database, gateway), gateway, sent[0].message


def signer(database: Database, gateway: str, kid: bytes, role: str, now_ms: int) -> tuple[str, RingKey]:
    """The gateway's site, and the key of `role` in the keyring that it was sent last.

    Raises KeyringFault where it was sent none from here, UnknownGateway, or as `Keyring.find` does.
    """
    site, sent = site_of(database, gateway), sent_to(database, gateway)
    if not sent:
        raise KeyringFault(f"{gateway} was sent no keyring from here, so nothing can be verified: keyring relay first")
    return site, sent[0].open().find(kid, role, now_ms)


def site_of(database: Database, gateway: str) -> str:
    """The site by the registry; raises UnknownGateway."""
    with database.errors():
        found = database.connection.execute(
            "SELECT site FROM gateways WHERE gateway = ? ORDER BY revoked_at IS NOT NULL LIMIT 1", (gateway,)
        ).fetchone()
    if found is None:
        raise UnknownGateway(f"no key of {gateway!r} is known; gateways add makes one known")
    return str(found[0])


def all_gateways(database: Database) -> list[str]:
    """Every gateway with a key that is not revoked."""
    with database.errors():
        rows = database.connection.execute(
            "SELECT DISTINCT gateway FROM gateways WHERE revoked_at IS NULL ORDER BY gateway"
        ).fetchall()
    return [str(found[0]) for found in rows]
