"""Names, clocks and blocks that the tests of `buffer` share."""

from collections.abc import Callable

from buffer.ack import Ack
from buffer.batch import batch_hash
from buffer.block import Block
from buffer.catalogue import SeriesDefinition
from buffer.cose import Kind
from buffer.header import NO_HASH, Clock, ClockState, Header, LedgerEntry, Priority
from buffer.store import Store

GATEWAY = "gw-0017"
BOOT = bytes(range(16))
OTHER_BOOT = bytes(range(16, 32))
CLOCK = Clock(BOOT, 1_700_000_000_000, ClockState.SYNCHRONIZED)
SIZE = 8_000_000
SERIES = [SeriesDefinition("meter1", "voltage", "V", "float32"), SeriesDefinition("meter1", "energy", "kWh", "uint32")]
ENTRY = LedgerEntry(BOOT, 5, 9, 1000, ClockState.HOLDOVER, 12, "memory full")

Open = Callable[..., Store]


def block(
    data: bytes = b"block",
    *,
    at: int = 1000,
    fresh: bool = True,
    priority: Priority = Priority.NORMAL,
    clock: Clock = CLOCK,
    samples: int = 1,
) -> Block:
    """A block of which the store needs to know nothing."""
    return Block(priority, clock, samples, at, at, data, fresh)


def header(**changes: object) -> Header:
    """A header in which everything is in range."""
    fields: dict[str, object] = {
        "kind": Kind.BATCH,
        "gateway": GATEWAY,
        "stream": bytes(16),
        "number": 1,
        "previous": NO_HASH,
        "boot": BOOT,
        "clock_ms": CLOCK.clock_ms,
        "clock_state": CLOCK.state,
        "catalogue": bytes([7]) * 32,
        "samples": 3,
        "priority": Priority.NORMAL,
        "first_ms": 10,
        "last_ms": 20,
    }
    return Header(**(fields | changes))  # type: ignore[arg-type]


def ack_of(store: Store, number: int, *ranges: tuple[int, int]) -> Ack:
    """An acknowledgement of 1 to `number` and of ranges, each with the right hash."""
    digest = batch_hash(store.message(number)) if number else NO_HASH
    islands = tuple((first, last, batch_hash(store.message(last))) for first, last in ranges)
    return Ack(GATEWAY, store.stream, number, digest, islands, time=1_800_000_000_000)
