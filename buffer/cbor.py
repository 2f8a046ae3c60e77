"""Strict CBOR (RFC 8949): preferred serialization only, every field checked by type and range."""

from collections.abc import Collection
from typing import Any, NoReturn, TypeVar

import cbor2

from buffer.errors import BatchFormatError

MAX_DEPTH = 8  # the deepest of our structures, a catalogue, nests 5 deep
MAX_NUMBER = (1 << 63) - 1  # what an SQLite integer column holds
MAX_MS = 1 << 48  # 8,900 years in milliseconds

T = TypeVar("T")


def loads(data: bytes, what: str) -> Any:  # noqa: ANN401 - the caller checks the type of every part
    """The one item that `data` is; raises `BatchFormatError`, also for another encoding of it than ours."""
    try:
        item = cbor2.loads(data, max_depth=MAX_DEPTH, allow_indefinite=False, allow_duplicate_keys=False)
        again = cbor2.dumps(item)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BatchFormatError(f"{what} is not CBOR as it should be: {error}") from error
    if again != data:
        raise BatchFormatError(f"{what} is not one CBOR item in preferred serialization")
    return item


def fail(what: str, wanted: str, found: object) -> NoReturn:
    """Raise `BatchFormatError` with what was found, cut short."""
    shown = repr(found)
    raise BatchFormatError(f"{what} is not {wanted}: {shown if len(shown) <= 80 else shown[:77] + '...'}")


def integer(value: object, what: str, low: int = 0, high: int = MAX_NUMBER) -> int:
    """An integer (never a bool) in [low, high]."""
    if type(value) is not int:
        fail(what, "an integer", value)
    if not low <= value <= high:
        fail(what, f"between {low} and {high}", value)
    return value


def octets(value: object, what: str, length: int | None = None, limit: int = 0) -> bytes:
    """A byte string of exactly `length`, or of 1 to `limit` bytes."""
    if type(value) is not bytes:
        fail(what, "a byte string", value)
    if length is None and not 1 <= len(value) <= limit:
        fail(what, f"1 to {limit} bytes long", len(value))
    if length is not None and len(value) != length:
        fail(what, f"{length} bytes long", len(value))
    return value


def text(value: object, what: str, limit: int, least: int = 0) -> str:
    """A text of `least` to `limit` characters."""
    if type(value) is not str:
        fail(what, "a text", value)
    if not least <= len(value) <= limit:
        fail(what, f"{least} to {limit} characters long", len(value))
    return value


def array(value: object, what: str, limit: int, length: int | None = None) -> list[Any]:
    """An array of exactly `length`, or of at most `limit` items."""
    if type(value) is not list:
        fail(what, "an array", value)
    if length is not None and len(value) != length:
        fail(what, f"an array of {length}", len(value))
    if len(value) > limit:
        fail(what, f"an array of at most {limit}", len(value))
    return value


def fields(value: object, what: str, needed: Collection[int], optional: Collection[int] = ()) -> dict[int, Any]:
    """A map with all the `needed` keys and no key but those and the `optional` ones."""
    if type(value) is not dict or any(type(key) is not int for key in value):
        fail(what, "a map with integer keys", value)
    if missing := set(needed) - set(value):
        raise BatchFormatError(f"{what} lacks the keys {sorted(missing)}")
    if unknown := set(value) - set(needed) - set(optional):
        raise BatchFormatError(f"{what} has unknown keys {sorted(unknown)}")
    return value


def choice(value: object, what: str, known: dict[int, T]) -> T:
    """What the small integer stands for."""
    if type(value) is not int or value not in known:
        fail(what, f"one of {sorted(known)}", value)
    return known[value]
