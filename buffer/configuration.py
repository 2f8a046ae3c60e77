"""A signed configuration: what an operator wants one gateway to run, and what it was made from (docs/format.md)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cbor2

from buffer import cbor, cose, order
from buffer.command import MAX_LIFE_MS
from buffer.cose import Envelope, Kind
from buffer.errors import BatchFormatError
from buffer.keyring import RingKey
from buffer.keys import SigningKey

MAX_FILES = 256  # of conf.d, as the gateway reads
MAX_TEXT_BYTES = 512 << 10  # of all files: some five thousand points written out; a message stays under 1 MiB
MAX_NAME = 64  # characters
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.toml")
HASH_BYTES = 32

Text = tuple[str, str]
"""A file's name, and what stands in it: the main file first, then those of `conf.d/`."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All files of a configuration for one life of one gateway's store.

    `number` is above that of any one that the gateway has taken; `base` is the fingerprint (SHA-256) of what it was
    made from; `issued_ms` and `expires_ms` are ms since the epoch.
    """

    gateway: str
    stream: bytes
    number: int
    issued_ms: int
    expires_ms: int
    base: bytes
    texts: tuple[Text, ...]
    who: str
    why: str

    def sign(self, key: SigningKey) -> bytes:
        """The message; raises `BatchFormatError` when a field is out of range."""
        items = {
            **order.head(self),
            7: self.base,
            8: [[name, text] for name, text in self.texts],
            9: self.who,
            10: self.why,
        }
        _decode(items)
        return cose.sign(cbor2.dumps(items), Kind.CONFIGURATION, key)

    @classmethod
    def read(cls, envelope: Envelope, key: RingKey) -> Self:
        """Verify, then parse; raises `SignatureError` or `BatchFormatError`."""
        payload = cose.verify_envelope(envelope, Kind.CONFIGURATION, key.public)
        return cls(*_decode(cbor.loads(payload, "the configuration")))


def check_texts(texts: list[Text], folders: Sequence[str] = ("conf.d",)) -> tuple[Text, ...]:
    """Names (the others are in one of `folders`) and sizes within their bounds; raises `BatchFormatError`."""
    if not texts:
        raise BatchFormatError("the configuration has no files")
    names = [name for name, _ in texts]
    for n, name in enumerate(names):
        folder, slash, bare = name.rpartition("/")
        right = folder in folders if n else not slash
        if not right or len(bare) > MAX_NAME or not NAME.fullmatch(bare):
            others = " or ".join(f"{one}/NAME.toml" for one in folders)
            cbor.fail("name of a file", f"NAME.toml of the first and {others} of the others", name)
    if len(set(names)) < len(names):
        raise BatchFormatError("a file stands twice in the configuration")
    if (size := sum(len(text.encode()) for _, text in texts)) > MAX_TEXT_BYTES:
        raise BatchFormatError(f"a configuration of {size} bytes is over the limit of {MAX_TEXT_BYTES}")
    return tuple(texts)


def _decode(item: object) -> tuple[str, bytes, int, int, int, bytes, tuple[Text, ...], str, str]:
    found, head = order.read(item, "configuration", MAX_LIFE_MS)
    return (
        *head,
        cbor.octets(found[7], "base", HASH_BYTES),
        check_texts([_text(part) for part in cbor.array(found[8], "files", MAX_FILES)]),
        *order.who_and_why(found[9], found[10]),
    )


def _text(item: object) -> Text:
    name, text = cbor.array(item, "a file", 2, 2)
    return cbor.text(name, "name of a file", MAX_NAME + 7, 6), cbor.text(text, "text of a file", MAX_TEXT_BYTES)
