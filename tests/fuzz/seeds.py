"""What a run begins with: the vectors of docs/format.md, packed scripts, batches that claim much, signed messages."""

import random
from pathlib import Path

import cbor2

from buffer import batch, catalogue, cose
from buffer.ack import Ack
from buffer.catalogue import SeriesEntry
from buffer.cose import Kind
from buffer.header import ClockState, Header, LedgerEntry, Priority, Replaced
from tests.ext.vectors import read_vectors
from tests.fuzz.invented import invented
from tests.fuzz.keys import ACK_KEY, BATCH_KEY, GATEWAY
from tests.fuzz.mutator import framed
from tests.fuzz.script import packed

SCRIPTS = 60
PACKED = 16  # of them, for the unpacker
INVENTED = 16
CORPUS = Path(__file__).parent / "corpus"  # batches that claim much; README.md says what each is


def seeds(target: str) -> list[bytes]:
    """The same every time."""
    return {"blocks": _blocks, "scripts": _scripts, "messages": _messages}[target]()


def _blocks() -> list[bytes]:
    vectors = [framed(vector.blocks) for vector in read_vectors()]
    return (
        vectors
        + [framed(packed(script)) for script in _scripts()[:PACKED]]
        + [framed(invented(random.Random(seed))) for seed in range(INVENTED)]
        + [path.read_bytes() for path in sorted(CORPUS.glob("*.bin"))]
    )


def _scripts() -> list[bytes]:
    chance = random.Random(7)
    return [chance.randbytes(chance.choice((40, 150, 400))) for _ in range(SCRIPTS)]


def _messages() -> list[bytes]:
    entries = [
        SeriesEntry(1, "meter", "voltage", "V", "float", "E-1", (43.5, -79.6), (("street", "Main"),), public=True),
        SeriesEntry(2, "meter", "energy", "kWh", "decimal"),
        SeriesEntry(9, "lamp", "level", "%", "int"),
    ]
    lines = catalogue.encode(entries)
    boot, digest = bytes(range(16)), bytes(range(32))
    header = Header(
        Kind.BATCH, GATEWAY, boot, 7, digest, boot, 1_700_000_000_000, ClockState.HOLDOVER, digest, 9, Priority.NORMAL,
        1000, 9000, (LedgerEntry(boot, 5, None, 0, ClockState.UNSET, None, "cut"),), (Replaced(3, 3, digest, 9),),
    )  # fmt: skip
    signed = batch.encode(header, [b"\x02abc", b"d"], BATCH_KEY)
    acknowledged = Ack(
        GATEWAY, boot, 5, digest, ((7, 9, digest),), (digest,), ((6, "oversize"),), 1_700_000_000_000, 9
    ).sign(ACK_KEY)
    unsigned = [cose.read(message).payload for message in (signed, acknowledged)]
    return [
        b"\0" + signed,
        b"\1" + unsigned[0],
        b"\2" + header.encode(),
        b"\3" + lines,
        b"\4" + unsigned[1],
        b"\4" + cbor2.dumps({1: [1, [2.5, None, True]], "a": b"b"}),
    ]
