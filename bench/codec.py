"""Bytes and speed of the block format on a recording: python bench/codec.py [FILE.npz ...] [--batch N] [--json].

FILE holds the arrays that the README of the corpora names: series, ts_ms, is_int, int_value, float_value, quality.
Numbers are for self-contained batches; speeds are samples per CPU-second. "lamppost" packs samples of one time as
scans of registers (decimals as scaled integers), "lamppost-tuples" value by value; an encoder's time includes what it
needs to make of the samples first. Other formats are measured where their libraries are installed (the extra `bench`).
"""

import argparse
import gc
import json
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.others import COLUMNAR, Codec, codecs
from bench.recording import Sample, Step, load, registers, scans
from bench.simulated import record
from buffer.batch import encode
from buffer.cose import Kind
from buffer.header import ClockState, Header, Priority
from buffer.keys import SigningKey
from ext import Packer, Series, Value, quality_class, unpack, unpack_columns
from tests.reference_decoder import decode

Row = tuple[Series, int, Value, int]

BATCHES = (500, 5000, 50_000)
SHOWN = (
    "batch",
    "bytes_per_sample",
    "wire_bytes_per_sample",
    "pack_scans_per_s",
    "pack_tuples_per_s",
    "to_columns_per_s",
    "to_tuples_per_s",
    "verified",
)

HEADER = Header(
    kind=Kind.BATCH,
    gateway="gw-0017",
    stream=bytes(16),
    number=1000,
    previous=b"\x01" * 32,
    boot=bytes(16),
    clock_ms=1_700_000_000_000,
    clock_state=ClockState.SYNCHRONIZED,
    catalogue=bytes(32),
    samples=5000,
    priority=Priority.NORMAL,
    first_ms=1_000_000_000,
    last_ms=1_000_010_000,
)
KEY = SigningKey(Ed25519PrivateKey.generate())


def pack(steps: Sequence[tuple[int, Step]], batch: int, every: int) -> list[list[bytes]]:
    """The blocks of each batch: a commit at least every `every` samples."""
    packer = Packer()
    batches: list[list[bytes]] = []
    blocks: list[bytes] = []
    for count, step in steps:
        if packer.samples + count > batch and packer.samples:
            batches.append([*blocks, packer.commit()])
            blocks = []
            packer.reset()
        elif packer.pending + count > every:
            blocks.append(packer.commit())
        step(packer)
    return [[block for block in each if block] for each in (*batches, [*blocks, packer.commit()])]


def signed_size(blocks: list[bytes]) -> int:
    """Bytes of the whole signed batch."""
    return len(encode(HEADER, blocks, KEY))


def timed(work: Callable[[], Any], samples: int) -> tuple[Any, float]:
    """What the work gives, and samples per CPU-second, without the garbage collector's rounds over the recording."""
    gc.collect()
    gc.disable()
    start = time.process_time()
    result = work()
    elapsed = time.process_time() - start
    gc.enable()
    return result, samples / max(elapsed, 1e-9)


def same(got: Sequence[Sample], expected: Sequence[Sample]) -> bool:
    """Number, time, class of quality, and the value to the bit of its double."""
    return len(got) == len(expected) and all(
        a[:2] == b[:2] and quality_class(a[3]) == b[3] and _bits(a[2]) == _bits(b[2])
        for a, b in zip(got, expected, strict=True)
    )


def _bits(value: Value) -> object:
    return struct.pack(">d", value) if value is not None and not isinstance(value, (str, bytes)) else value


def pack_tuples(rows: Sequence[Row], batch: int, every: int) -> list[list[bytes]]:
    """The same, value by value."""
    packer = Packer()
    batches: list[list[bytes]] = []
    for start in range(0, len(rows), batch):
        blocks = []
        for at in range(start, min(start + batch, len(rows)), every):
            packer.extend(rows[at : min(at + every, start + batch)])
            blocks.append(packer.commit())
        batches.append(blocks)
        packer.reset()
    return batches


def ours(name: str, samples: Sequence[Sample], batch: int, verify: bool) -> dict[str, object]:
    """One row for the block format, by scans or value by value."""
    known, every = registers(samples), commit_every(batch)
    if name == "lamppost":
        steps = list(scans(samples, known))
        batches, packing = timed(lambda: pack(steps, batch, every), len(samples))
    else:
        tuples = [(known[number].series, ts, value, quality) for number, ts, value, quality in samples]
        batches, packing = timed(lambda: pack_tuples(tuples, batch, every), len(samples))
    rows, unpacking = timed(lambda: [unpack(blocks) for blocks in batches], len(samples))
    _, columns = timed(lambda: [unpack_columns(blocks) for blocks in batches], len(samples))
    row = result(name, batch, sum(len(block) for blocks in batches for block in blocks) / len(samples))
    row["pack_scans_per_s" if name == "lamppost" else "pack_tuples_per_s"] = round(packing)
    row["to_tuples_per_s"] = round(unpacking)
    row["to_columns_per_s"] = round(columns)
    row["wire_bytes_per_sample"] = round(sum(map(signed_size, batches)) / len(samples), 4)
    if verify:
        flat = [sample for each in rows for sample in each]
        again = [sample for blocks in batches for sample in decode(blocks)]
        row["verified"] = same(flat, samples) and list(map(repr, flat)) == list(map(repr, again))
    return row


def theirs(name: str, codec: Codec, samples: Sequence[Sample], batch: int) -> dict[str, object]:
    """One row for a general format."""
    encode, read = codec
    parts = [samples[at : at + batch] for at in range(0, len(samples), batch)]
    encoded, packing = timed(lambda: [encode(part) for part in parts], len(samples))
    row = result(name, batch, sum(map(len, encoded)) / len(samples))
    row["pack_tuples_per_s"] = round(packing)
    if read is not None:
        _, unpacking = timed(lambda: [read(data) for data in encoded], len(samples))
        row["to_columns_per_s" if name in COLUMNAR else "to_tuples_per_s"] = round(unpacking)
    return row


def result(name: str, batch: int, size: float) -> dict[str, object]:
    """An empty row of the contract."""
    empty = dict.fromkeys(
        (
            "wire_bytes_per_sample",
            "pack_scans_per_s",
            "pack_tuples_per_s",
            "to_columns_per_s",
            "to_tuples_per_s",
            "verified",
        )
    )
    return {"codec": name, "batch": batch, "bytes_per_sample": round(size, 4), **empty}


def commit_every(batch: int) -> int:
    """Samples between two commits: 250 in batches of 500, else 1000."""
    return 250 if batch <= 500 else 1000


def recordings(files: Sequence[Path]) -> Iterator[tuple[str, list[Sample]]]:
    """The recordings asked for; else the corpora beside the checkout; else a simulated one."""
    if not files:
        files = sorted((Path(__file__).parents[2] / "shared" / "corpus").glob("*.npz"))
    for file in files:
        yield file.name, load(file)
    if not files:
        yield "simulated", record()


def measure(name: str, samples: Sequence[Sample], args: argparse.Namespace) -> bool:
    """Print what is found for one recording; whether all that was verified agrees."""
    batches, results = args.batch or BATCHES, []
    for batch in batches:
        results += [ours(codec, samples, batch, args.verify) for codec in ("lamppost", "lamppost-tuples")]
        results += [theirs(codec, how, samples, batch) for codec, how in codecs()]
    series = len({sample[0] for sample in samples})
    if args.json:
        head = {"file": name, "samples": len(samples), "series": series}
        print(json.dumps({**head, "commit_every": commit_every(max(batches)), "results": results}))
    else:
        print(f"{name}: {len(samples)} samples of {series} series")
        print(f"{'codec':<16}" + "".join(f"{shown:>22}" for shown in SHOWN))
        for row in results:
            print(f"{row['codec']!s:<16}" + "".join(f"{'' if row[n] is None else row[n]!s:>22}" for n in SHOWN))
    return not any(row["verified"] is False for row in results)


def main() -> None:
    """Measure, print a table or a JSON document a recording; exit 1 when something does not verify."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--batch", type=int, action="append", help="samples a batch; may be repeated")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verify", action="store_true", help="decode all by both decoders and compare")
    args = parser.parse_args()
    agreed = [measure(name, samples, args) for name, samples in recordings(args.files)]
    sys.exit(not all(agreed))


if __name__ == "__main__":
    main()
