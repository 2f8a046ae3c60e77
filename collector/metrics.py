"""What the collector counts of itself, as Prometheus reads it (text exposition format 0.0.4); from 0 at each start."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

BUCKETS_S = (1, 2, 5, 10, 30, 60, 300, 3600, 86_400)  # of the ingest lag: live at the left, a backlog at the right
MAX_REQUEST = 8192  # bytes; that of Prometheus has some 300
REQUEST_SECONDS = 5.0
PREFIX = "lamppost_collector"

Gauges: TypeAlias = Callable[[], dict[str, float]]
_Lines: TypeAlias = Iterator[str]


@dataclass(slots=True)
class Metrics:
    """Counted by the database thread and the event loop; a reader may see one count before another."""

    batches: int = 0
    again: int = 0
    samples: int = 0
    bytes: int = 0
    limited: int = 0
    dropped: int = 0
    transactions: int = 0
    transaction_seconds: float = 0.0
    lag_seconds: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)
    lags: Counter[int] = field(default_factory=Counter)

    def stored(self, samples: int, size: int, lag_ms: int | None) -> None:
        """A batch was stored so long after its last sample."""
        self.batches += 1
        self.samples += samples
        self.bytes += size
        if lag_ms is not None:
            lag = max(lag_ms, 0) / 1000
            self.lag_seconds += lag
            self.lags[sum(lag > bound for bound in BUCKETS_S)] += 1

    def text(self, gauges: dict[str, float]) -> str:
        """All of it."""
        lines = [
            *_counter("batches_stored", "Batches verified and stored.", self.batches),
            *_counter("batches_again", "Batches that were stored already, and acknowledged again.", self.again),
            *_counter("samples_stored", "Samples in stored batches.", self.samples),
            *_counter("bytes_stored", "Bytes of stored batches, as received.", self.bytes),
            *_counter("messages_limited", "Messages over the limits of one gateway, let go unread.", self.limited),
            *_counter("messages_dropped", "Messages let go for lack of room.", self.dropped),
            *_refused(self.refused),
            *_summary("transaction_seconds", "Transactions that stored something.", self.transaction_seconds,
                      self.transactions),
            *self._histogram(),
        ]  # fmt: skip
        for name, value in gauges.items():
            lines += (f"# TYPE {PREFIX}_{name} gauge", f"{PREFIX}_{name} {value:g}")
        return "\n".join(lines) + "\n"

    def _histogram(self) -> _Lines:
        name = f"{PREFIX}_ingest_lag_seconds"
        yield f"# HELP {name} From the last sample of a batch to its commit here, by the gateway's clock."
        yield f"# TYPE {name} histogram"
        total = 0
        for place, bound in enumerate(BUCKETS_S):
            total += self.lags[place]
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        total += self.lags[len(BUCKETS_S)]
        yield f'{name}_bucket{{le="+Inf"}} {total}'
        yield f"{name}_sum {self.lag_seconds:.3f}"
        yield f"{name}_count {total}"


def _counter(name: str, meaning: str, value: float) -> _Lines:
    yield f"# HELP {PREFIX}_{name}_total {meaning}"
    yield f"# TYPE {PREFIX}_{name}_total counter"
    yield f"{PREFIX}_{name}_total {value}"


def _refused(reasons: Counter[str]) -> _Lines:
    name = f"{PREFIX}_messages_refused_total"
    yield f"# HELP {name} Messages not taken, by reason."
    yield f"# TYPE {name} counter"
    for reason, count in sorted(reasons.items()):
        yield f'{name}{{reason="{reason}"}} {count}'


def _summary(name: str, meaning: str, total: float, count: int) -> _Lines:
    yield f"# HELP {PREFIX}_{name} {meaning}"
    yield f"# TYPE {PREFIX}_{name} summary"
    yield f"{PREFIX}_{name}_sum {total:.6f}"
    yield f"{PREFIX}_{name}_count {count}"


async def serve(host: str, port: int, metrics: Metrics, gauges: Gauges) -> asyncio.Server:
    """Answer `GET /metrics`; raises OSError when the address cannot be had. Nothing else is told to anybody."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.writelines(_response(head, metrics, gauges))
                await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, host, port, limit=MAX_REQUEST)


def _response(head: bytes, metrics: Metrics, gauges: Gauges) -> Iterable[bytes]:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0]
    if method not in (b"GET", b"HEAD") or path != b"/metrics":
        status, body = b"404 Not Found", b"only /metrics\n"
    else:
        status, body = b"200 OK", metrics.text(gauges()).encode()
    kind = b"text/plain; version=0.0.4; charset=utf-8"
    yield b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n" % (status, kind, len(body))
    yield b"Connection: close\r\n\r\n"
    yield b"" if method == b"HEAD" else body
