"""Bytes and speed of the block format: python bench/codec.py [FILE.npz ...] [--batch N] [--json] [--verify].

FILE holds the arrays that the README of the corpora names: series, ts_ms, is_int, int_value, float_value, quality.
Numbers are for self-contained batches; speeds are samples per CPU-second, the median of `--rounds` rounds in which all
formats take turns. "lamppost" packs samples of one time as scans of registers (decimals as scaled integers),
"lamppost-tuples" value by value. Every other encoder starts from the same (series, ms, value, quality) tuples, and its
time includes what it makes of them first. Decoding keeps the samples of the whole recording; "orjson-senml" gives dicts
as orjson does, "orjson-senml-tuples" makes of them what the others give. Columnar formats (pcodec, Parquet) may sort a
batch by series, and lose the order of arrival. Measured is what is installed (the extra `bench`).
"""

import argparse
import gc
import json
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path
from statistics import median
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.others import Codec, codecs
from bench.recording import Block, Run, Sample, load, registers, rows, runs, steps
from bench.simulated import record
from buffer.batch import encode
from buffer.cose import Kind
from buffer.header import ClockState, Header, Priority
from buffer.keys import SigningKey
from ext import Packer, Value, quality_class, unpack, unpack_columns
from tests.reference_decoder import decode

BATCHES = (500, 5000, 50_000)
SCANS, TUPLES = "pack_scans_per_s", "pack_tuples_per_s"
TO_COLUMNS, TO_TUPLES = "to_columns_per_s", "to_tuples_per_s"
RATES = (SCANS, TUPLES, TO_COLUMNS, TO_TUPLES)
PEER = "orjson-senml"
GOALS = {SCANS: (TUPLES, 4.0), TUPLES: (TUPLES, 2.0), TO_COLUMNS: (TO_TUPLES, 4.5), TO_TUPLES: (TO_TUPLES, 2.0)}

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


@dataclass(slots=True)
class Row:
    """A format at one size of batch: the work whose speed is taken, and what was found."""

    codec: str
    batch: int
    size: float
    work: dict[str, Callable[[], object]]
    wire: float | None = None
    verified: bool | None = None
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def run(self) -> None:
        """One round."""
        for name, work in self.work.items():
            self.seconds.setdefault(name, []).append(timed(work))

    def rate(self, name: str, samples: int) -> float | None:
        """Samples per CPU-second."""
        return samples / max(median(self.seconds[name]), 1e-9) if name in self.seconds else None

    def result(self, samples: int) -> dict[str, object]:
        """The row of the contract."""
        rates = {name: self.rate(name, samples) for name in RATES}
        return {
            "codec": self.codec,
            "batch": self.batch,
            "bytes_per_sample": round(self.size, 4),
            "wire_bytes_per_sample": None if self.wire is None else round(self.wire, 4),
            **{name: None if rate is None else round(rate) for name, rate in rates.items()},
            "verified": self.verified,
        }


def timed(work: Callable[[], object]) -> float:
    """CPU seconds, without the garbage collector's rounds over the recording."""
    gc.collect()
    gc.disable()
    start = time.process_time()
    kept = work()
    elapsed = time.process_time() - start
    del kept
    gc.enable()
    return elapsed


def pack(batches: Sequence[Sequence[Block]]) -> list[list[bytes]]:
    """The blocks of each batch."""
    packer = Packer()
    packed = []
    for blocks in batches:
        packed.append([_block(packer, block) for block in blocks])
        packer.reset()
    return packed


def _block(packer: Packer, block: Block) -> bytes:
    for run in block:
        sum(starmap(packer.append_scan, run.scans))
        packer.extend(run.rows)
    return packer.commit()


def signed_size(blocks: list[bytes]) -> int:
    """Bytes of the whole signed batch."""
    return len(encode(HEADER, blocks, KEY))


def same(got: Sequence[Sample], expected: Sequence[Sample]) -> bool:
    """Number, time, class of quality, and the value to the bit of its double."""
    return len(got) == len(expected) and all(
        a[:2] == b[:2] and quality_class(a[3]) == b[3] and _bits(a[2]) == _bits(b[2])
        for a, b in zip(got, expected, strict=True)
    )


def _bits(value: Value) -> object:
    return struct.pack(">d", value) if value is not None and not isinstance(value, (str, bytes)) else value


def verify(batches: Sequence[Sequence[bytes]], samples: Sequence[Sample]) -> bool:
    """Whether both decoders, and the columns, give the recording."""
    flat = [sample for blocks in batches for sample in unpack(blocks)]
    again = [sample for blocks in batches for sample in decode(blocks)]
    counted = sum(len(unpack_columns(blocks)) for blocks in batches)
    return counted == len(samples) and same(flat, samples) and list(map(repr, flat)) == list(map(repr, again))


def ours(samples: Sequence[Sample], batch: int, check: bool) -> Iterator[Row]:
    """The block format, by scans and value by value."""
    known, every = registers(samples), commit_every(batch)
    by_scans = runs(steps(samples, known), batch, every)
    tuples = rows(samples, known)
    parts = [tuples[at : at + batch] for at in range(0, len(tuples), batch)]
    singly = [[[Run([], part[at : at + every])] for at in range(0, len(part), every)] for part in parts]
    for name, rate, batches in (("lamppost", SCANS, by_scans), ("lamppost-tuples", TUPLES, singly)):
        yield _our_row(name, rate, batches, samples, batch, check)


def _our_row(
    name: str, rate: str, batches: list[list[Block]], samples: Sequence[Sample], batch: int, check: bool
) -> Row:
    packed = pack(batches)
    work = {
        rate: lambda: pack(batches),
        TO_COLUMNS: lambda: [unpack_columns(blocks) for blocks in packed],
        TO_TUPLES: lambda: [unpack(blocks) for blocks in packed],
    }
    size = sum(len(block) for blocks in packed for block in blocks) / len(samples)
    wire = sum(map(signed_size, packed)) / len(samples)
    return Row(name, batch, size, work, wire, verify(packed, samples) if check else None)


def theirs(name: str, codec: Codec, samples: Sequence[Sample], batch: int) -> Row:
    """A general format."""
    parts = [samples[at : at + batch] for at in range(0, len(samples), batch)]
    packed = [codec.encode(part) for part in parts]
    work: dict[str, Callable[[], Any]] = {TUPLES: lambda: [codec.encode(part) for part in parts]}
    for rate, read in ((TO_COLUMNS, codec.columns), (TO_TUPLES, codec.tuples)):
        if read is not None:
            work[rate] = _reading(read, packed)
    return Row(name, batch, sum(map(len, packed)) / len(samples), work)


def _reading(read: Callable[[bytes], object], packed: list[bytes]) -> Callable[[], object]:
    return lambda: [read(data) for data in packed]


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


def measure(samples: Sequence[Sample], batch: int, args: argparse.Namespace) -> list[Row]:
    """All formats at one size of batch."""
    found = [*ours(samples, batch, args.verify), *(theirs(name, codec, samples, batch) for name, codec in codecs())]
    for _ in range(args.rounds):
        for row in found:
            row.run()
    return found


def show(name: str, samples: Sequence[Sample], found: Sequence[Row]) -> None:
    """A table, and how our speeds stand to orjson's."""
    results = [row.result(len(samples)) for row in found]
    shown = [key for key in results[0] if key != "codec"]
    print(f"{name}: {len(samples)} samples of {len({sample[0] for sample in samples})} series")
    print(f"{'codec':<21}" + "".join(f"{key:>22}" for key in shown))
    for row in results:
        print(f"{row['codec']!s:<21}" + "".join(f"{'' if row[key] is None else row[key]!s:>22}" for key in shown))
    for row in results:
        peers = [peer for peer in results if str(peer["codec"]).startswith(PEER) and peer["batch"] == row["batch"]]
        if str(row["codec"]).startswith("lamppost"):
            for peer in peers:
                print(f"{row['codec']!s}, batches of {row['batch']}, x {peer['codec']!s}: {_ratios(row, peer)}")


def _ratios(row: dict[str, Any], peer: dict[str, Any]) -> str:
    parts = []
    for name, (against, goal) in GOALS.items():
        other = peer[name] or peer[against]
        if row[name] and other:
            parts.append(f"{name.removesuffix('_per_s')} {row[name] / other:.2f} (asked {goal})")
    return ", ".join(parts)


def main() -> None:
    """Measure, print a table or a JSON document a recording; exit 1 when something does not verify."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--batch", type=int, action="append", help="samples a batch; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of which the median is given; 0: sizes only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verify", action="store_true", help="decode all by both decoders and compare")
    args = parser.parse_args()
    agreed = True
    for name, samples in recordings(args.files):
        batches = args.batch or BATCHES
        found = [row for batch in batches for row in measure(samples, batch, args)]
        agreed &= not any(row.verified is False for row in found)
        if args.json:
            head = {"file": name, "samples": len(samples), "series": len({sample[0] for sample in samples})}
            results = [row.result(len(samples)) for row in found]
            print(json.dumps({**head, "commit_every": commit_every(max(batches)), "results": results}))
        else:
            show(name, samples, found)
    sys.exit(not agreed)


if __name__ == "__main__":
    main()
