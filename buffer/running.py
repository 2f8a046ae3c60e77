"""What a gateway runs, as it tells the platform: the texts of its files, small enough for one sample (docs/format.md).

The platform gives it to the box that takes the gateway's place, in the answer to its enrolment.
"""

import base64
import hashlib
import json
import sqlite3
import string
import zlib
from dataclasses import dataclass, replace
from typing import Any, Self

import cbor2

from buffer import cbor
from buffer.configuration import HASH_BYTES, MAX_FILES, MAX_NAME, MAX_TEXT_BYTES, Text, check_texts
from buffer.errors import BatchFormatError

VERSION = 1
FOLDERS = ("conf.d", "profiles")
MAX_PACKED = 30_000  # characters: a sample's text has 32,768 bytes, and the words around it take some hundred
MAX_PLAIN = MAX_TEXT_BYTES + 2 * MAX_FILES * (MAX_NAME + 32)  # bytes: all texts, their names and what CBOR adds
MAX_REASON = 200  # characters
MAX_JSON = 32_768  # characters: as long as a sample's text may be
MAX_AT_MS = 253_402_300_799_999  # the end of the year 9999: it is shown as a date
ANEW_MS = 30 * 86_400_000  # the platform lets old samples go, and this must not be one that is gone
TOLD = "running"
"""The row of the table `floors` that says what was told: the first 60 bits of its digest, which no number compares."""


@dataclass(frozen=True, slots=True)
class Running:
    """The files of a gateway: the main one, those of `conf.d/`, then its own `profiles/`.

    `hash` is the fingerprint of what runs. Where `hidden` is above 0 so many values are not what they were: they looked
    secret. Without `texts`, `reason` says why.
    """

    hash: str
    source: str
    """`own` or `pushed`."""
    at_ms: int
    texts: tuple[Text, ...] = ()
    hidden: int = 0
    reason: str = ""

    def to_item(self) -> dict[str, Any]:
        """For JSON; raises `BatchFormatError` when the texts do not fit."""
        return {
            "hash": self.hash, "source": self.source, "at_ms": self.at_ms, "hidden": self.hidden,
            "reason": self.reason[:MAX_REASON], "files": pack(self.texts) if self.texts else None,
        }  # fmt: skip

    def to_json(self) -> str:
        """The sample's text; raises as `to_item`."""
        return json.dumps(self.to_item(), separators=(",", ":"))

    @property
    def digest(self) -> int:
        """What tells one from another that was told within the same thirty days."""
        text = json.dumps([self.hash, self.source, self.hidden, self.reason, self.texts, self.at_ms // ANEW_MS])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 4

    def without(self, reason: str) -> "Running":
        """The same, and no texts."""
        return replace(self, texts=(), hidden=0, reason=reason[:MAX_REASON])

    @classmethod
    def from_item(cls, item: object) -> Self:
        """Out of JSON; raises `BatchFormatError`."""
        if not isinstance(item, dict):
            raise BatchFormatError("what a gateway runs is an object of JSON")
        digest = cbor.text(item.get("hash"), "hash", 2 * HASH_BYTES, 2 * HASH_BYTES)
        if not set(digest) <= set(string.hexdigits):
            cbor.fail("hash", "of digits of hex", digest)
        source = cbor.text(item.get("source"), "source", MAX_NAME)
        at_ms = cbor.integer(item.get("at_ms"), "at_ms", 0, MAX_AT_MS)
        hidden = cbor.integer(item.get("hidden"), "hidden", 0)
        reason = cbor.text(item.get("reason"), "reason", MAX_REASON)
        packed = item.get("files")
        return cls(digest, source, at_ms, () if packed is None else unpack(packed), hidden, reason)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Out of a sample's text; raises `BatchFormatError`."""
        if len(text) > MAX_JSON:
            raise BatchFormatError(f"{len(text)} characters are over the limit of {MAX_JSON}")
        try:
            item = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BatchFormatError("what a gateway runs is not JSON") from error
        return cls.from_item(item)


def pack(texts: tuple[Text, ...]) -> str:
    """Texts in base 85 (as RFC 1924 has it, 4 bytes each), deflated; raises `BatchFormatError`."""
    checked = _checked(list(texts))
    data = zlib.compress(cbor2.dumps([VERSION, [list(text) for text in checked]]), 9)
    packed = base64.b85encode(data).decode()
    if len(packed) > MAX_PACKED:
        raise BatchFormatError(f"the files take {len(packed)} characters packed, over the limit of {MAX_PACKED}")
    return packed


def unpack(packed: object) -> tuple[Text, ...]:
    """The texts; raises `BatchFormatError`."""
    text = cbor.text(packed, "files", MAX_PACKED, 1)
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(base64.b85decode(text), MAX_PLAIN + 1)
    except (ValueError, zlib.error) as error:
        raise BatchFormatError("the files are not packed as they should be") from error
    if len(data) > MAX_PLAIN or not inflate.eof or inflate.unused_data:
        raise BatchFormatError(f"the files are cut off, or larger than {MAX_PLAIN} bytes")
    version, files = cbor.array(cbor.loads(data, "the files"), "the files", 2, 2)
    if version != VERSION:
        raise BatchFormatError(f"files of version {version!r} are not known here; known: {VERSION}")
    return _checked([_text(part) for part in cbor.array(files, "files", 2 * MAX_FILES)])


def told(connection: sqlite3.Connection) -> int:
    """The digest of what was told last in this store's stream; 0 before the first."""
    row = connection.execute("SELECT number FROM floors WHERE name = ?", (TOLD,)).fetchone()
    return 0 if row is None else int(row[0])


def note(connection: sqlite3.Connection, digest: int) -> None:
    """That was told."""
    connection.execute("INSERT OR REPLACE INTO floors VALUES (?, ?)", (TOLD, digest))


def _checked(texts: list[Text]) -> tuple[Text, ...]:
    if len(texts) > 2 * MAX_FILES:
        raise BatchFormatError(f"{len(texts)} files are over the limit of {2 * MAX_FILES}")
    return check_texts(texts, FOLDERS)


def _text(item: object) -> Text:
    name, text = cbor.array(item, "a file", 2, 2)
    return cbor.text(name, "name of a file", MAX_NAME + 9, 6), cbor.text(text, "text of a file", MAX_TEXT_BYTES)
