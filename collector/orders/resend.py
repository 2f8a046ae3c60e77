"""Asking a gateway's history for batches that the platform once had, or never got: what a restored database lacks."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from buffer import cbor
from buffer.keys import SigningKey
from buffer.resend import MAX_RANGES, Resend
from collector.broker import Address
from collector.errors import CommandFault, UsageError
from collector.identity import keyrings
from collector.orders.publish import Publisher
from collector.query import parse_time
from collector.tables.database import Database

LIFE_MS = 600_000  # a request that no gateway hears is void after ten minutes
NUMBERS = re.compile(r"(\d{1,15})?\.\.(\d{1,15})?")

Span = tuple[int, int]

_PENDING = """
    SELECT first, last FROM gaps WHERE gateway = :gateway AND stream = :stream AND state = 'pending'
        AND (to_ms IS NULL OR to_ms >= :since) AND (from_ms IS NULL OR from_ms <= :until)
    ORDER BY first"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a gateway is to send again."""

    gateway: str
    stream: str
    ranges: tuple[Span, ...]


def plan(database: Database, gateway: str, stream: str, text: str | None, now_ms: int) -> Wish:
    """What `text` asks of a stream; raises UsageError, or CommandFault for a fork and when nothing is missing.

    `100..250`, `100..` or `..250` are numbers; two times are what is missing between them; None is all that is missing.
    """
    _refuse_forked(database, gateway, stream)
    if text is not None and (numbers := NUMBERS.fullmatch(text)) and any(numbers.groups()):
        first, last = numbers.groups()
        span = max(1, int(first or 1)), int(last) if last else cbor.MAX_NUMBER
        if span[0] > span[1]:
            raise UsageError(f"{text}: from is after to")
        return Wish(gateway, stream, (span,))
    since, until = _times(text, now_ms)
    with database.errors():
        rows = database.connection.execute(
            _PENDING, {"gateway": gateway, "stream": stream, "since": since, "until": until}
        ).fetchall()
    if not rows:
        raise CommandFault(f"nothing is missing of {gateway} {stream}; numbers (100..250) ask for what is there")
    return Wish(gateway, stream, _few([(row[0], row[1]) for row in rows]))


def missing(database: Database, wish: Wish) -> int:
    """How many numbers of a wish have not arrived, as far as is known."""
    with database.errors():
        rows = database.connection.execute(
            "SELECT first, last FROM gaps WHERE gateway = ? AND stream = ? AND state = 'pending'",
            (wish.gateway, wish.stream),
        ).fetchall()
    return sum(max(0, min(last, end) - max(first, begin) + 1) for first, last in rows for begin, end in wish.ranges)


def send(database: Database, address: Address, key: SigningKey, wish: Wish, now_ms: int) -> bool:
    """Sign and publish; say whether somebody listens, as far as the broker tells. Raises BrokerError."""
    request = Resend(wish.gateway, bytes.fromhex(wish.stream), wish.ranges, now_ms, now_ms + LIFE_MS)
    topic = f"{address.root}/v1/{keyrings.site_of(database, wish.gateway)}/{wish.gateway}/ack"
    with Publisher(address) as publisher:
        return publisher.publish(topic, request.sign(key))


def wait(database: Database, wish: Wish, seconds: float, every: float = 0.2) -> int:
    """Wait until nothing of a wish is missing, or the time is over; return how many numbers still are."""
    end = time.monotonic() + seconds
    while (left := missing(database, wish)) and time.monotonic() < end:
        time.sleep(every)
    return left


def _times(text: str | None, now_ms: int) -> Span:
    if text is None:
        return -cbor.MAX_MS, cbor.MAX_MS
    since, dots, until = text.partition("..")
    if not dots:
        raise UsageError(f"{text!r} is no range; such are 100..250, 100.., 2026-11-23T10:00..2026-11-23T12:00, 3h..1h")
    return (
        parse_time(since, now_ms) if since else -cbor.MAX_MS,
        parse_time(until, now_ms) if until else cbor.MAX_MS,
    )


def _few(spans: Sequence[Span]) -> tuple[Span, ...]:
    """At most as many ranges as a request takes: those with the least between them are joined."""
    found = list(spans)
    while len(found) > MAX_RANGES:
        at = min(range(len(found) - 1), key=lambda n: found[n + 1][0] - found[n][1])
        found[at : at + 2] = [(found[at][0], found[at + 1][1])]
    return tuple(found)


def _refuse_forked(database: Database, gateway: str, stream: str) -> None:
    with database.errors():
        row = database.connection.execute(
            "SELECT forked_at FROM streams WHERE gateway = ? AND stream = ?", (gateway, stream)
        ).fetchone()
    if row is not None and row[0] is not None:
        raise CommandFault(
            f"two stores claim the identity of {gateway} (a fork): nothing counts until gateways confirm"
        )
