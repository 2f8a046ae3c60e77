"""How a gateway becomes known: the token that invites it, what it asks for, and what the platform answers.

docs/format.md describes the messages; docs/install.md the two ways, by hand and on-line.
"""

import base64
import binascii
import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any, Self

import cbor2

from buffer import cbor, cose
from buffer.cose import Kind
from buffer.errors import BatchFormatError, KeyFileError
from buffer.keys import ID, KEY_BYTES, PublicKey, SigningKey, key_id
from buffer.running import Running

VERSION = 1
SECRET_BYTES = 16  # 128 bits: nobody guesses it within its life
HASH_BYTES = 32
CHECK_BYTES = 4  # a token that was typed or cut off wrongly is told from one that is refused
MAX_URL = 300  # characters
MAX_CSR = 2048  # bytes; one for a P-256 key has about 300
MAX_REQUEST = 8192  # bytes; the certificate request, two keys and two signatures are under 1,000
MAX_TOKEN = 1024  # characters
MAX_ANSWER = 65536  # bytes; a certificate, its authority, a few lines, and what runs in half of it
MAX_BROKERS = 8
ANSWER_ID_DIGITS = 16  # as many as a key id has: what two people compare over the telephone
PREFIX = "lamppost-token-"


@dataclass(frozen=True, slots=True)
class Token:
    """An invitation for one gateway, good once: where to ask, which authority the server is of, and a secret."""

    url: str
    ca: bytes
    """SHA-256 of the authority's certificate in DER."""
    gateway: str
    site: str
    secret: bytes

    @classmethod
    def make(cls, url: str, ca: bytes, gateway: str, site: str) -> Self:
        """One with a fresh secret; raises `BatchFormatError`."""
        return cls._checked([VERSION, url, ca, gateway, site, secrets.token_bytes(SECRET_BYTES)])

    def text(self) -> str:
        """The line that is handed to the technician; it is a secret until it is used or has ended."""
        data = cbor2.dumps([VERSION, self.url, self.ca, self.gateway, self.site, self.secret])
        check = hashlib.sha256(data).digest()[:CHECK_BYTES]
        return PREFIX + base64.urlsafe_b64encode(data + check).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The token that a line holds; raises `BatchFormatError`, which never repeats the line."""
        text = "".join(text.split())
        if len(text) > MAX_TOKEN or not text.startswith(PREFIX):
            raise BatchFormatError(f"not a token: it begins with {PREFIX}")
        body = text.removeprefix(PREFIX)
        try:
            data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise BatchFormatError("the token was not copied as a whole") from error
        data, check = data[:-CHECK_BYTES], data[-CHECK_BYTES:]
        if hashlib.sha256(data).digest()[:CHECK_BYTES] != check:
            raise BatchFormatError("the token was not copied as a whole")
        return cls._checked(cbor.loads(data, "the token"))

    @classmethod
    def _checked(cls, item: object) -> Self:
        version, url, ca, gateway, site, secret = cbor.array(item, "the token", 6, 6)
        if version != VERSION:
            raise BatchFormatError(f"a token of version {version!r} is not known here; known: {VERSION}")
        if not cbor.text(url, "URL", MAX_URL, 1).startswith("https://"):
            raise BatchFormatError("gateways are enrolled over https only")
        return cls(
            url,
            cbor.octets(ca, "hash of the authority", HASH_BYTES),
            _id(gateway, "gateway"),
            _id(site, "site"),
            cbor.octets(secret, "secret", SECRET_BYTES),
        )


@dataclass(frozen=True, slots=True)
class Request:
    """What a gateway asks: that its key be known, and a certificate for its other one. Signed by the first.

    The signature proves that the gateway has the key, and no more: what entitles it is the token's `secret`, a voucher
    of a key that is known already, that its own key is known already, or an operator who compares the key id.
    """

    key: PublicKey
    csr: bytes
    """PKCS#10 in DER."""
    secret: bytes | None = None
    voucher: bytes | None = None

    def sign(self, key: SigningKey) -> bytes:
        """The message, by the private half of `key`; raises `BatchFormatError` for a field out of range."""
        items: dict[int, Any] = {1: VERSION, 2: self.key.gateway, 3: self.key.site, 4: self.key.raw, 5: self.csr}
        items |= {6: self.secret} if self.secret is not None else {}
        items |= {7: self.voucher} if self.voucher is not None else {}
        _request(items)
        return cose.sign(cbor2.dumps(items), Kind.ENROLMENT, key)

    @classmethod
    def read(cls, message: bytes) -> "Request":
        """Parse, and verify by the key within; raises `BatchFormatError` or `SignatureError`."""
        if len(message) > MAX_REQUEST:
            raise BatchFormatError(f"a request of {len(message)} bytes is over the limit of {MAX_REQUEST}")
        envelope = cose.read(message)
        request = _request(cbor.loads(envelope.payload, "the request"))
        cose.verify_envelope(envelope, Kind.ENROLMENT, request.key)
        return request


def _request(item: object) -> Request:
    if type(item) is dict and item.get(1) != VERSION:
        raise BatchFormatError(f"a request of version {item.get(1)!r} is not known here; known: {VERSION}")
    found = cbor.fields(item, "the request", range(1, 6), (6, 7))
    raw = cbor.octets(found[4], "public key", KEY_BYTES)
    return Request(
        PublicKey(_id(found[2], "gateway"), _id(found[3], "site"), "batch", key_id(raw), raw),
        cbor.octets(found[5], "certificate request", limit=MAX_CSR),
        cbor.octets(found[6], "secret", SECRET_BYTES) if 6 in found else None,
        cbor.octets(found[7], "voucher", limit=MAX_REQUEST) if 7 in found else None,
    )


def vouch(old: SigningKey, gateway: str, new: bytes) -> bytes:
    """What the old key of a gateway says of its next one (raw); good for that gateway and key only."""
    return cose.sign(cbor2.dumps({1: VERSION, 2: gateway, 3: new}), Kind.VOUCHER, old)


def check_voucher(message: bytes, old: PublicKey, new: PublicKey) -> None:
    """Whether `old` vouches for `new`; raises `BatchFormatError` or `SignatureError`."""
    item = cbor.fields(cbor.loads(cose.verify(message, Kind.VOUCHER, old), "the voucher"), "the voucher", range(1, 4))
    if item[1] != VERSION or item[2] != new.gateway or item[3] != new.raw:
        raise BatchFormatError("the voucher is for another gateway or key")


def answer_id(data: bytes) -> str:
    """What names the bytes of an answer that is carried by hand; nothing else in it says that it was not exchanged."""
    return hashlib.sha256(data).hexdigest()[:ANSWER_ID_DIGITS]


def _id(value: object, what: str) -> str:
    if not isinstance(value, str) or not ID.fullmatch(value):
        cbor.fail(what, "1 to 32 of a-z, 0-9 and '-'", value)
    return value


@dataclass(frozen=True, slots=True)
class Answer:
    """What the platform gives a gateway: its certificate, whom to trust, and where to deliver."""

    gateway: str
    site: str
    certificate: str
    """PEM."""
    ca: str
    """PEM of the authority of the brokers' and gateways' certificates."""
    authority: PublicKey
    brokers: tuple[str, ...] = ()
    root: str = "lamppost"
    running: Running | None = None
    """What the box before it ran, where this one takes its place."""
    updates: PublicKey | None = None
    """The authority of updates, which root pins."""

    def to_json(self) -> str:
        """One object; nothing in it is a secret."""
        more: dict[str, Any] = {} if self.running is None else {"running": self.running.to_item()}
        more |= {} if self.updates is None else {"updates": json.loads(self.updates.to_json())}
        return json.dumps(
            {
                "version": VERSION, "gateway": self.gateway, "site": self.site, "certificate": self.certificate,
                "ca": self.ca, "authority": json.loads(self.authority.to_json()), "brokers": list(self.brokers),
                "root": self.root, **more,
            },
            indent=1,
        )  # fmt: skip

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises `BatchFormatError`."""
        if len(text) > MAX_ANSWER:
            raise BatchFormatError(f"an answer of {len(text)} characters is over the limit of {MAX_ANSWER}")
        try:
            item = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BatchFormatError("the answer is not JSON") from error
        if not isinstance(item, dict) or item.get("version") != VERSION:
            raise BatchFormatError("the answer is none that is known here")
        names = ("gateway", "site", "certificate", "ca", "root")
        texts: dict[str, Any] = {name: item.get(name) for name in names}
        brokers = item.get("brokers")
        if not all(isinstance(value, str) for value in texts.values()) or not isinstance(brokers, list):
            raise BatchFormatError("the answer lacks a part, or one is not a text")
        if len(brokers) > MAX_BROKERS or not all(isinstance(url, str) and len(url) <= MAX_URL for url in brokers):
            raise BatchFormatError("the brokers of the answer are no short list of URLs")
        authority = _public(item.get("authority"))
        updates = None if item.get("updates") is None else _public(item["updates"])
        if updates is not None and updates.role != "authority":
            raise BatchFormatError(f"the authority of updates is a key of role {updates.role!r}")
        running = None if item.get("running") is None else Running.from_item(item["running"])
        _id(item["gateway"], "gateway")
        _id(item["site"], "site")
        return cls(**texts, authority=authority, brokers=tuple(brokers), running=running, updates=updates)


def _public(item: object) -> PublicKey:
    try:
        return PublicKey.from_json(json.dumps(item))
    except KeyFileError as error:
        raise BatchFormatError(f"a key in the answer: {error}") from error
