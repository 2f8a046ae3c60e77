"""General formats to compare with: what encodes a batch of samples, and what decodes it, where it is installed."""

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any

from bench.recording import Sample
from bench.sparkplug import sparkplug

Encode = Callable[[Sequence[Sample]], bytes]
Decode = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Codec:
    """A format: its encoder from samples, its decoders to columns and to tuples (orjson's: to dicts)."""

    encode: Encode
    columns: Decode | None = None
    tuples: Decode | None = None


def codecs() -> Iterator[tuple[str, Codec]]:
    """Every format whose library is here, and what zstd makes of the best of them."""
    for name, make in MAKERS.items():
        try:
            codec = make()
        except ImportError:
            continue
        yield name, codec
        if name in SQUEEZED:
            try:
                yield f"{name}+zstd", _zstd(codec)
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


def senml_samples(records: Sequence[dict[str, Any]]) -> list[Sample]:
    """The tuples that the records were made of; SenML has no field for a quality."""
    base = records[0]["bt"]
    return [(int(r["n"][1:]), round((base + r["t"]) * 1000), r.get("v"), 0) for r in records]


def _orjson() -> Codec:
    library: Any = import_module("orjson")
    return Codec(lambda samples: bytes(library.dumps(senml_records(samples))), tuples=library.loads)


def _orjson_tuples() -> Codec:
    library: Any = import_module("orjson")
    return Codec(
        lambda samples: bytes(library.dumps(senml_records(samples))),
        columns=lambda data: _arrays(senml_samples(library.loads(data))),
        tuples=lambda data: senml_samples(library.loads(data)),
    )


def _msgspec() -> Codec:
    library: Any = import_module("msgspec.msgpack")
    return Codec(
        lambda samples: bytes(library.encode(samples)), tuples=library.Decoder(list[tuple[int, int, Any, int]]).decode
    )


def _protobuf() -> Codec:
    return Codec(*sparkplug())


def _arrays(samples: Sequence[Sample]) -> list[Any]:
    """Series, time, value and quality as arrays; integers become doubles, no value NaN."""
    numpy: Any = import_module("numpy")
    numbers, times, values, qualities = zip(*samples, strict=True)
    doubles = [float("nan") if value is None else float(value) for value in values]
    columns = zip((numbers, times, doubles, qualities), ("int32", "int64", "float64", "uint16"), strict=True)
    return [numpy.array(column, dtype=kind) for column, kind in columns]


def _by_series(samples: Sequence[Sample]) -> list[Any]:
    """The same, series by series: what suits columns best. The order of arrival is lost."""
    columns = _arrays(samples)
    order = columns[0].argsort(kind="stable")
    return [column[order] for column in columns]


def _rows(columns: Sequence[Any]) -> list[Any]:
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _pcodec() -> Codec:
    library: Any = import_module("pcodec")
    import_module("numpy")

    def encode(samples: Sequence[Sample]) -> bytes:
        parts = [library.standalone.simple_compress(column, library.ChunkConfig()) for column in _by_series(samples)]
        return b"".join(struct.pack("<I", len(part)) + bytes(part) for part in parts)

    def columns(data: bytes) -> list[Any]:
        ends = [0]
        while ends[-1] < len(data):
            ends.append(ends[-1] + 4 + struct.unpack_from("<I", data, ends[-1])[0])
        return [library.standalone.simple_decompress(data[a + 4 : b]) for a, b in pairwise(ends)]

    return Codec(encode, columns, lambda data: _rows(columns(data)))


def _parquet() -> Codec:
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    names = ("series", "ts_ms", "value", "quality")

    def encode(samples: Sequence[Sample]) -> bytes:
        columns = zip(names, _by_series(samples), strict=True)
        sink = io.BytesIO()
        parquet.write_table(arrow.table({name: arrow.array(c) for name, c in columns}), sink, compression="zstd")
        return sink.getvalue()

    def columns(data: bytes) -> list[Any]:
        return list(parquet.read_table(io.BytesIO(data), use_threads=False).columns)

    return Codec(encode, columns, lambda data: _rows([column.to_numpy() for column in columns(data)]))


def _zstd(codec: Codec) -> Codec:
    """The same, with the batch compressed by zstd at its usual level, 3."""
    library: Any = import_module("zstandard")
    shrink, grow = library.ZstdCompressor(3).compress, library.ZstdDecompressor().decompress

    def behind(decode: Decode | None) -> Decode | None:
        return None if decode is None else lambda data: decode(grow(data))

    return Codec(lambda samples: bytes(shrink(codec.encode(samples))), behind(codec.columns), behind(codec.tuples))


MAKERS: dict[str, Callable[[], Codec]] = {
    "orjson-senml": _orjson,
    "orjson-senml-tuples": _orjson_tuples,
    "msgspec-msgpack": _msgspec,
    "protobuf-sparkplug": _protobuf,
    "pcodec": _pcodec,
    "parquet-zstd": _parquet,
}
SQUEEZED = ("msgspec-msgpack", "pcodec")
