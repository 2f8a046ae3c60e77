"""A new version as it travels: one file with a signed manifest before the Debian package (docs/format.md).

Whether one version is newer than another only dpkg decides: deb-version(7). Here is what can be checked anywhere.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Self

import cbor2

from buffer import cbor, cose
from buffer.cose import Kind
from buffer.errors import BatchFormatError, NotAllowed
from buffer.keyring import Keyring, RingKey
from buffer.keys import SigningKey

VERSION = 1
MAGIC = b"lamppost-update\n"
LENGTH_BYTES = 4
MAX_MANIFEST = 4096  # bytes; one has about 250
MAX_PACKAGE = 256 << 20  # bytes; ten times what the package has, and room on any card for three of them
HASH_BYTES = 32
PIECE = 1 << 20
PACKAGE_VERSION = re.compile(r"[0-9][A-Za-z0-9.+~-]{0,63}(?<!-)")
"""deb-version(7) without an epoch; an empty revision is no version to dpkg, and compares as nothing."""
ARCHITECTURE = re.compile(r"[a-z0-9-]{1,32}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which package it is. A gateway that had it never takes a version below `floor` again."""

    version: str
    architecture: str
    size: int
    sha256: bytes
    floor: str
    issued_ms: int

    def sign(self, key: SigningKey) -> bytes:
        """The message; raises `BatchFormatError` when a field is out of range."""
        items = {
            1: VERSION, 2: self.version, 3: self.architecture, 4: self.size, 5: self.sha256, 6: self.floor,
            7: self.issued_ms,
        }  # fmt: skip
        _decode(items)
        return cose.sign(cbor2.dumps(items), Kind.UPDATE, key)

    @classmethod
    def read(cls, message: bytes, ring: Keyring, now_ms: int, *place: str) -> tuple[Self, RingKey]:
        """Verified by an `update` key of the keyring that covers site and gateway, and that key.

        Raises `NotAllowed`, `SignatureError` or `BatchFormatError`.
        """
        envelope = cose.read(message)
        key = ring.find(envelope.kid, "update", now_ms)
        if not key.covers(*place):
            raise NotAllowed("scope", f"{key.name} may not update {'/'.join(place)}")
        payload = cose.verify_envelope(envelope, Kind.UPDATE, key.public)
        return cls(*_decode(cbor.loads(payload, "the manifest"))), key

    @classmethod
    def peek(cls, message: bytes) -> Self:
        """What the manifest says of itself: nothing in it is verified. Raises `BatchFormatError`."""
        return cls(*_decode(cbor.loads(cose.read(message).payload, "the manifest")))


def _decode(item: object) -> tuple[str, str, int, bytes, str, int]:
    if type(item) is dict and item.get(1) != VERSION:
        raise BatchFormatError(f"a manifest of version {item.get(1)!r} is not known here; known: {VERSION}")
    found = cbor.fields(item, "the manifest", range(1, 8))
    return (
        _text(found[2], "version", PACKAGE_VERSION),
        _text(found[3], "architecture", ARCHITECTURE),
        cbor.integer(found[4], "size", 1, MAX_PACKAGE),
        cbor.octets(found[5], "hash of the package", HASH_BYTES),
        _text(found[6], "floor", PACKAGE_VERSION),
        cbor.integer(found[7], "issued", 0, cbor.MAX_MS),
    )


def _text(value: object, what: str, allowed: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not allowed.fullmatch(value):
        cbor.fail(what, f"a text like {allowed.pattern}", value)
    return value


def write(target: BinaryIO, message: bytes, package: BinaryIO) -> None:
    """The file: manifest, then package."""
    target.write(MAGIC + len(message).to_bytes(LENGTH_BYTES, "big") + message)
    while piece := package.read(PIECE):
        target.write(piece)


def read_manifest(source: BinaryIO) -> bytes:
    """The signed manifest; the package follows. Raises `BatchFormatError`."""
    start = source.read(len(MAGIC) + LENGTH_BYTES)
    length = int.from_bytes(start[len(MAGIC) :], "big")
    if not start.startswith(MAGIC) or len(start) != len(MAGIC) + LENGTH_BYTES:
        raise BatchFormatError("no update: lamppost-collector update sign makes one of a package")
    if not 0 < length <= MAX_MANIFEST:
        raise BatchFormatError(f"a manifest of {length} bytes; {MAX_MANIFEST} at most are read")
    message = source.read(length)
    if len(message) != length:
        raise BatchFormatError("the update is cut short")
    return message


def pieces(source: BinaryIO, manifest: Manifest) -> Iterator[bytes]:
    """The package that follows, piece by piece; raises `BatchFormatError` at its end if another was signed."""
    digest, left = hashlib.sha256(), manifest.size
    while left and (piece := source.read(min(PIECE, left))):
        digest.update(piece)
        left -= len(piece)
        yield piece
    if left or source.read(1):
        raise BatchFormatError(f"the package has not the {manifest.size} bytes of its manifest")
    if digest.digest() != manifest.sha256:
        raise BatchFormatError("the package is not the one that was signed: its SHA-256 is another")
