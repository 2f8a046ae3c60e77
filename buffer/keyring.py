"""The numbered keyring: which keys of the platform a gateway believes, for what, where and until when.

The gateway pins the authority's key alone; the authority, which is kept offline, signs keyrings (docs/format.md).
"""

from dataclasses import dataclass
from typing import Self

import cbor2

from buffer import cbor, cose
from buffer.cose import Kind
from buffer.errors import BatchFormatError, NotAllowed
from buffer.keys import ID, KEY_BYTES, PublicKey, SigningKey

VERSION = 1
MAX_KEYS = 64  # collectors and operators whom one gateway obeys; a keyring stays under 64 KiB
MAX_SCOPES = 32
MAX_NAME = 64  # characters
FOREVER = cbor.MAX_MS
ROLES = frozenset({"acknowledge", "command", "configure", "update"})
ANY = "*"

Scope = tuple[str, ...]
"""Site, gateway, device, point, each an id or `*`; what is left out at the end is covered as a whole."""


def parse_scope(text: str) -> Scope:
    """`nord/gw-17/lamp7/level`, `nord/*/lamp7`, `*`; raises `BatchFormatError`."""
    parts = tuple(text.split("/"))
    if len(parts) > 4 or not all(part == ANY or ID.fullmatch(part) for part in parts):
        raise BatchFormatError(f"a scope is SITE[/GATEWAY[/DEVICE[/POINT]]], each an id or *, found {text[:80]!r}")
    return parts


@dataclass(frozen=True, slots=True)
class RingKey:
    """A key of the platform: its name for people, role, scopes, and its end in ms since the epoch (exclusive)."""

    name: str
    role: str
    raw: bytes
    scopes: tuple[Scope, ...] = ((ANY,),)
    ends_ms: int = FOREVER

    def __post_init__(self) -> None:
        """Raise `BatchFormatError` for a field out of range."""
        cbor.text(self.name, "name of a key", MAX_NAME, 1)
        cbor.octets(self.raw, "public key", KEY_BYTES)
        cbor.integer(self.ends_ms, "end of a key", 0, FOREVER)
        if self.role not in ROLES:
            raise BatchFormatError(f"a keyring holds keys of the roles {', '.join(sorted(ROLES))}, not {self.role!r}")
        if not 1 <= len(self.scopes) <= MAX_SCOPES:
            raise BatchFormatError(f"a key has 1 to {MAX_SCOPES} scopes, not {len(self.scopes)}")

    @property
    def public(self) -> PublicKey:
        """The key as it verifies signatures."""
        return PublicKey.of(self.raw, self.role)

    def covers(self, *place: str) -> bool:
        """Whether a scope takes in site, gateway and, where given, device and point.

        A place that is named only in part is covered when something within it is.
        """
        return any(all(want in (ANY, have) for want, have in zip(scope, place, strict=False)) for scope in self.scopes)


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys of the platform, and none but these. A gateway never goes back to a lower number."""

    number: int
    issued_ms: int
    keys: tuple[RingKey, ...]

    def sign(self, authority: SigningKey) -> bytes:
        """The message; raises `BatchFormatError` when a field is out of range."""
        items = {
            1: VERSION,
            2: self.number,
            3: self.issued_ms,
            4: [[k.name, k.role, k.raw, ["/".join(scope) for scope in k.scopes], k.ends_ms] for k in self.keys],
        }
        _decode(items)
        return cose.sign(cbor2.dumps(items), Kind.KEYRING, authority)

    @classmethod
    def read(cls, message: bytes, authority: PublicKey) -> Self:
        """Verify, then parse; raises `SignatureError` or `BatchFormatError`."""
        item = cbor.loads(cose.verify(message, Kind.KEYRING, authority), "the keyring")
        number, issued, keys = _decode(item)
        return cls(number, issued, keys)

    def find(self, kid: bytes, role: str, now_ms: int) -> RingKey:
        """The key that signs as `role`; raises `NotAllowed` for one unknown, ended or of another role."""
        for key in self.keys:
            if key.public.kid == kid and key.role == role:
                if now_ms >= key.ends_ms:
                    raise NotAllowed("key", f"key {kid.hex()} of {key.name} has ended")
                return key
        raise NotAllowed("key", f"keyring {self.number} has no key {kid.hex()} of role {role}")

    def of_role(self, role: str) -> tuple[RingKey, ...]:
        """Its keys of one role."""
        return tuple(key for key in self.keys if key.role == role)


def _decode(item: object) -> tuple[int, int, tuple[RingKey, ...]]:
    if type(item) is dict and item.get(1) != VERSION:
        raise BatchFormatError(f"keyring version {item.get(1)!r} is not known here; known: {VERSION}")
    found = cbor.fields(item, "the keyring", range(1, 5))
    keys = tuple(_key(part) for part in cbor.array(found[4], "keys", MAX_KEYS))
    if len({(key.raw, key.role) for key in keys}) != len(keys):
        raise BatchFormatError("a key stands twice in the keyring with one role")
    return cbor.integer(found[2], "number", 1), cbor.integer(found[3], "issued", 0, cbor.MAX_MS), keys


def _key(item: object) -> RingKey:
    name, role, raw, scopes, ends = cbor.array(item, "a key", 5, 5)
    texts = [cbor.text(scope, "a scope", 4 * 33) for scope in cbor.array(scopes, "scopes", MAX_SCOPES)]
    return RingKey(
        cbor.text(name, "name of a key", MAX_NAME, 1),
        cbor.text(role, "role of a key", MAX_NAME),
        raw,
        tuple(parse_scope(text) for text in texts),
        ends,
    )
