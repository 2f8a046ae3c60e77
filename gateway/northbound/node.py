"""A Sparkplug B edge node (Eclipse Sparkplug 3.0, chapters 4 to 6): births, data, deaths, rebirth. No sockets.

One difference from the specification: data goes by QoS 1 and not by 0 (tck-id-payloads-ndata-qos), for only a PUBACK
may free the buffer.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ext import NO_ANSWER, Value
from gateway.errors import WireError
from gateway.keeping.history import Sample
from gateway.northbound import sparkplug
from gateway.northbound.form import MESSAGE_BYTES, Publish
from gateway.northbound.sparkplug import BD_SEQ, REBIRTH, DataType, Metric

NAMESPACE = "spBv1.0"
SEQUENCE = 256
"""`seq` and `bdSeq` are 0 to 255 (6.4.4)."""
REBIRTH_EVERY_MS = 5_000
"""A host that asks more often is not answered more often: births are large."""


@dataclass(slots=True)
class _Point:
    """What a birth says of a metric."""

    alias: int
    unit: str
    datatype: DataType
    newest_ms: int = 0
    value: Value = None
    quality: int = NO_ANSWER


class SparkplugNode:
    """Group is the site, edge node the gateway. A device is born with its first values, and again when they change."""

    chained = True  # by `seq`

    def __init__(self, group: str, node: str, utc_ms: Callable[[], int], now: Callable[[], int]) -> None:
        """`now` is in boot ms; it also begins `bdSeq`, so that two lives of the agent hardly begin alike."""
        self._group, self._node = group, node
        self._utc_ms = utc_ms
        self._now = now
        self._bd_seq = now() // 1000 % SEQUENCE
        self._seq = 0
        self._devices: dict[str, dict[str, _Point]] = {}
        self._born: set[str] = set()
        self._reborn_at: int | None = None
        self._aliases = 0
        self.topics: tuple[str, ...] = (self._topic("NCMD"),)

    def will(self) -> Publish:
        """The death of the node, of a new session."""
        self._bd_seq = (self._bd_seq + 1) % SEQUENCE
        return self._death()

    def greeting(self) -> list[Publish]:
        """Birth of the node, then of every device that lives."""
        living = [device for device, points in self._devices.items() if not _dead(points)]
        self._seq, self._born = 0, set()
        born = self._message("NBIRTH", [self._counter().encode(), self._rebirth().encode()])
        return [born, *(self._birth(device) for device in living)]

    def convert(self, samples: Sequence[Sample]) -> list[Publish]:
        """Data of each device, with the births and deaths it needs; what is older than told before is historical."""
        by_device: dict[str, list[Sample]] = {}
        for sample in samples:
            by_device.setdefault(sample.point.partition("/")[0], []).append(sample)
        return [message for device, told in by_device.items() for message in self._device(device, told)]

    def received(self, topic: str, payload: bytes) -> list[Publish]:
        """Births, when a host asks for them."""
        try:
            if topic not in self.topics or not sparkplug.asks_rebirth(payload):
                return []
        except WireError:
            return []
        now = self._now()
        if self._reborn_at is not None and now - self._reborn_at < REBIRTH_EVERY_MS:
            return []
        self._reborn_at = now
        return self.greeting()

    def farewell(self) -> list[Publish]:
        """The death, said by the node itself: a broker drops the will of who leaves on purpose."""
        return [self._death()]

    def _device(self, device: str, samples: Sequence[Sample]) -> Iterator[Publish]:
        alive = device in self._born
        if not alive and all(sample.quality == NO_ANSWER for sample in samples):
            return  # dead, as was said
        points = self._devices.setdefault(device, {})
        if self._learn(points, samples) or not alive:
            yield self._birth(device)
        yield from self._data(device, [self._metric(points, sample).encode() for sample in samples])
        if _dead(points):
            self._born.discard(device)
            yield self._message("DDEATH", (), device)

    def _learn(self, points: dict[str, _Point], samples: Sequence[Sample]) -> bool:
        """Make room for what is new; whether a birth must tell of it."""
        changed = False
        for sample in samples:
            name = sample.point.partition("/")[2]
            known = points.get(name)
            wanted = sparkplug.type_of(sample.value, None if known is None else known.datatype)
            if known is None:
                self._aliases += 1
                points[name] = _Point(self._aliases, sample.unit, wanted)
            elif (known.datatype, known.unit) != (wanted, sample.unit):
                known.datatype, known.unit, known.value = wanted, sample.unit, None
            else:
                continue
            changed = True
        return changed

    def _metric(self, points: dict[str, _Point], sample: Sample) -> Metric:
        point, utc_ms = points[sample.point.partition("/")[2]], sample.utc_ms or 0
        historical = utc_ms < point.newest_ms
        if not historical:
            point.newest_ms, point.value, point.quality = utc_ms, sample.value, sample.quality
        return Metric(
            utc_ms, point.datatype, sample.value, alias=point.alias, quality=sample.quality, historical=historical
        )

    def _birth(self, device: str) -> Publish:
        """All metrics of a device with their newest values, names and aliases."""
        self._born.add(device)
        now = self._utc_ms()
        metrics = [
            Metric(p.newest_ms or now, p.datatype, p.value, name=name, alias=p.alias, quality=p.quality, unit=p.unit)
            for name, p in self._devices[device].items()
        ]
        return self._message("DBIRTH", [metric.encode() for metric in metrics], device)

    def _data(self, device: str, metrics: Sequence[bytes]) -> Iterator[Publish]:
        part: list[bytes] = []
        for metric in metrics:
            if part and sum(map(len, part)) + len(metric) > MESSAGE_BYTES:
                yield self._message("DDATA", part, device)
                part = []
            part.append(metric)
        yield self._message("DDATA", part, device)

    def _message(self, kind: str, metrics: Iterable[bytes], device: str = "") -> Publish:
        seq, self._seq = self._seq, (self._seq + 1) % SEQUENCE
        return Publish(self._topic(kind, device), sparkplug.payload(self._utc_ms(), metrics, seq))

    def _death(self) -> Publish:
        return Publish(self._topic("NDEATH"), sparkplug.payload(self._utc_ms(), [self._counter().encode()], None))

    def _counter(self) -> Metric:
        return Metric(self._utc_ms(), DataType.INT64, self._bd_seq, name=BD_SEQ)

    def _rebirth(self) -> Metric:
        return Metric(self._utc_ms(), DataType.BOOLEAN, False, name=REBIRTH)

    def _topic(self, kind: str, device: str = "") -> str:
        topic = f"{NAMESPACE}/{self._group}/{kind}/{self._node}"
        return f"{topic}/{device}" if device else topic


def _dead(points: dict[str, _Point]) -> bool:
    """Whether the newest of every point is that the device did not answer."""
    return all(point.quality == NO_ANSWER for point in points.values())
