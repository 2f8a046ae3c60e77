"""One bad gateway slows no other; what the collector counts of itself."""

import asyncio
import random
import re
from collections.abc import Callable

from collector import metrics
from collector.metrics import Metrics
from collector.receiving import limits
from collector.receiving.inbox import Inbox
from collector.receiving.incoming import Message
from collector.receiving.limits import Limits
from tests.collector.maker import OFFSET_MS, SQLITE, Bench, Gateway


async def test_a_flood_of_one_topic_delays_another_by_a_turn() -> None:
    box = Inbox()
    for _ in range(2000):
        box.put(Message("bad", bytes(200)))
    box.put(Message("good", bytes(200)))
    assert "good" in [message.topic for message in (await box.group())[:2]]


async def test_a_flood_leaves_room_for_others() -> None:
    """Of the messages and of the bytes one topic gets an eighth; the rest of it is let go and counted."""
    box = Inbox()
    for _ in range(4000):
        box.put(Message("bad", bytes(10)))
    assert (box.messages, box.metrics.dropped) == (2500, 1500)
    for _ in range(20):
        box.put(Message("large", bytes(1 << 20)))
    assert box.messages == 2508
    box.put(Message("good", bytes(200)))
    assert box.messages == 2509


async def test_the_order_of_one_gateway_stays() -> None:
    box, rng = Inbox(), random.Random(5)
    sent: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
    for number in range(300):
        topic = rng.choice("abc")
        payload = number.to_bytes(4, "big")
        sent[topic].append(payload)
        box.put(Message(topic, payload))
    came: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
    while not box.empty:
        for message in await box.group():
            came[message.topic].append(message.payload)
    assert came == sent


def test_the_bucket_holds_a_burst_and_fills_again() -> None:
    now = 100.0
    bucket = Limits(lambda: now)
    allowed = sum(bucket.allow("t", 100) for _ in range(6000))
    assert allowed == limits.BURST_MESSAGES
    assert bucket.allow("other", 100)
    now += 1.0
    assert sum(bucket.allow("t", 100) for _ in range(6000)) == limits.MESSAGES_A_SECOND
    now += 1000.0
    assert sum(bucket.allow("t", 1 << 20) for _ in range(100)) == limits.BURST_BYTES // (1 << 20)


def test_what_is_over_the_limit_is_not_read() -> None:
    box = Inbox(limits=Limits(lambda: 0.0))
    for _ in range(int(limits.BURST_MESSAGES) + 10):
        box.put(Message("bad", b""))
    assert box.metrics.limited == 10


@SQLITE
def test_counts_are_of_what_was_committed(bench: Bench, gateway: Gateway) -> None:
    bench.now_ms = OFFSET_MS + 4000
    messages = gateway.hello(3)
    bench.take(*messages, Message(gateway.topic, b"junk"), messages[1])
    found = bench.receiver.metrics
    assert (found.batches, found.samples, found.again, found.refused) == (4, 6, 1, {"format": 1})
    assert found.bytes == sum(len(message.payload) for message in messages)
    text = found.text({"inbox_messages": 7})
    assert 'lamppost_collector_messages_refused_total{reason="format"} 1' in text
    assert re.findall(r'lag_seconds_bucket{le="(1|2|5)"} (\d)', text) == [("1", "1"), ("2", "2"), ("5", "3")]
    assert "lamppost_collector_ingest_lag_seconds_count 3" in text
    assert "lamppost_collector_inbox_messages 7" in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


async def _ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_the_page_answers_only_what_it_should() -> None:
    gauges: Callable[[], dict[str, float]] = lambda: {"connected": 1.0}  # noqa: E731
    page = await metrics.serve("127.0.0.1", 0, Metrics(samples=5), gauges)
    port = page.sockets[0].getsockname()[1]
    async with asyncio.timeout(10):
        answer = await _ask(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"lamppost_collector_samples_stored_total 5\n" in body
        assert (await _ask(port, b"GET /etc/passwd HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404")
        assert (await _ask(port, b"POST /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404")
        assert await _ask(port, b"x" * 100_000 + b"\r\n\r\n") == b""
    page.close()
    await page.wait_closed()
