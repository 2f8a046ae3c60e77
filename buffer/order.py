"""What signed orders share, whatever they order: for which gateway, which life of its store, their number and time."""

from typing import Any, Protocol

from buffer import cbor
from buffer.errors import BatchFormatError
from buffer.header import STREAM_BYTES, gateway_id

VERSION = 1
MAX_TEXT = 200  # characters: who, why

Head = tuple[str, bytes, int, int, int]
"""gateway, stream, number, issued and expires (ms since the epoch)"""


class Order(Protocol):
    """A command, a schedule or a configuration."""

    @property
    def gateway(self) -> str: ...
    @property
    def stream(self) -> bytes: ...
    @property
    def number(self) -> int: ...
    @property
    def issued_ms(self) -> int: ...
    @property
    def expires_ms(self) -> int: ...


def head(order: Order) -> dict[int, Any]:
    """The first six keys of its message."""
    return {1: VERSION, 2: order.gateway, 3: order.stream, 4: order.number, 5: order.issued_ms, 6: order.expires_ms}


def read(item: object, what: str, life_ms: int) -> tuple[dict[int, Any], Head]:
    """The ten keys, and what the first six say; raises `BatchFormatError`, also for a life over `life_ms`."""
    if type(item) is dict and item.get(1) != VERSION:
        raise BatchFormatError(f"{what} version {item.get(1)!r} is not known here; known: {VERSION}")
    found = cbor.fields(item, f"the {what}", range(1, 11))
    issued = cbor.integer(found[5], "issued", 0, cbor.MAX_MS)
    return found, (
        gateway_id(found[2]),
        cbor.octets(found[3], "stream", STREAM_BYTES),
        cbor.integer(found[4], "number", 1),
        issued,
        cbor.integer(found[6], "expires", issued + 1, issued + life_ms),
    )


def who_and_why(who: object, why: object) -> tuple[str, str]:
    """The person and the reason, for the record; raises `BatchFormatError`."""
    return cbor.text(who, "who", MAX_TEXT, 1), cbor.text(why, "why", MAX_TEXT, 1)
