"""General formats to compare with: what encodes a batch of samples, and what decodes it, where it is installed."""

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

from bench.recording import Sample

Codec = tuple[Callable[[Sequence[Sample]], bytes], Callable[[bytes], object] | None]


def codecs() -> Iterator[tuple[str, Codec]]:
    """Name, encoder and decoder (None where it is a size only) of every format whose library is here."""
    for name, make in MAKERS.items():
        try:
            yield name, make()
        except ImportError:
            continue


def senml_records(samples: Sequence[Sample]) -> list[dict[str, object]]:
    """RFC 8428 records; the time of a record is relative to the base time of the first."""
    base = samples[0][1]
    records: list[dict[str, object]] = [
        {"n": f"s{number}", "t": (ts - base) / 1000, **({} if value is None else {"v": value})}
        for number, ts, value, _ in samples
    ]
    records[0]["bt"] = base / 1000
    return records


def _orjson() -> Codec:
    library: Any = import_module("orjson")
    return lambda samples: bytes(library.dumps(senml_records(samples))), library.loads


def _msgspec() -> Codec:
    library: Any = import_module("msgspec.msgpack")
    return lambda samples: bytes(library.encode(samples)), library.decode


def _protobuf() -> Codec:
    """As a Sparkplug B payload: metrics of alias, timestamp, datatype, value, and a property for a quality."""
    return lambda samples: b"".join(map(_metric, samples)), None


def _metric(sample: Sample) -> bytes:
    number, ts, value, quality = sample
    body = b"\x10" + _varint(number) + b"\x18" + _varint(ts)
    if isinstance(value, float):
        body += b"\x20\x0a\x69" + struct.pack("<d", value)
    elif isinstance(value, int):
        body += b"\x20\x04\x58" + _varint(value % 2**64)
    if quality:
        body += b"\x4a\x0b\x0a\x07Quality\x12" + _varint(quality)
    return b"\x12" + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _arrays(samples: Sequence[Sample]) -> list[Any]:
    """Series, time, value and quality as arrays; integers become doubles, no value NaN."""
    numpy: Any = import_module("numpy")
    numbers, times, values, qualities = zip(*samples, strict=True)
    doubles = [float("nan") if value is None else float(value) for value in values]
    columns = zip((numbers, times, doubles, qualities), ("int32", "int64", "float64", "uint16"), strict=True)
    return [numpy.array(column, dtype=kind) for column, kind in columns]


def _pcodec() -> Codec:
    library: Any = import_module("pcodec")
    import_module("numpy")

    def encode(samples: Sequence[Sample]) -> bytes:
        parts = [library.standalone.simple_compress(column, library.ChunkConfig()) for column in _arrays(samples)]
        return b"".join(struct.pack("<I", len(part)) + bytes(part) for part in parts)

    def decode(data: bytes) -> object:
        ends = [0]
        while ends[-1] < len(data):
            ends.append(ends[-1] + 4 + struct.unpack_from("<I", data, ends[-1])[0])
        return [library.standalone.simple_decompress(data[a + 4 : b]) for a, b in pairwise(ends)]

    return encode, decode


def _parquet() -> Codec:
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")

    def encode(samples: Sequence[Sample]) -> bytes:
        names = ("series", "ts_ms", "value", "quality")
        table = arrow.table({name: arrow.array(column) for name, column in zip(names, _arrays(samples), strict=True)})
        sink = io.BytesIO()
        parquet.write_table(table, sink, compression="zstd")
        return sink.getvalue()

    return encode, lambda data: parquet.read_table(io.BytesIO(data), use_threads=False)


MAKERS: dict[str, Callable[[], Codec]] = {
    "orjson-senml": _orjson,
    "msgspec-msgpack": _msgspec,
    "protobuf": _protobuf,
    "pcodec": _pcodec,
    "parquet-zstd": _parquet,
}
COLUMNAR = ("pcodec", "parquet-zstd")
