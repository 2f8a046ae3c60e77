"""What is done with each input, and what must hold then. Anything but a documented error is a finding."""

import math
import zlib
from collections.abc import Callable, Sequence
from typing import Final

from buffer import ack, batch, catalogue, cose, header
from buffer.cose import Kind
from buffer.errors import BatchFormatError, SignatureError
from ext import Columns, FormatError, unpack, unpack_columns
from ext.columns import DECIMAL, FLOAT, NOTHING, OBJECT
from tests.ext.strategies import Sample
from tests.ext.vectors import exact
from tests.fuzz.keys import ACK_KEY, BATCH_KEY, GATEWAY
from tests.fuzz.mutator import blocks_in
from tests.fuzz.script import played
from tests.fuzz.watch import Watch
from tests.reference_decoder import ReferenceFormatError, decode

COMPARED: Final = 32  # one input in so many goes through the reference decoder, which is slow
QUICK: Final = 0.002  # seconds: what took longer would keep the reference decoder busy for a second or more
FEW: Final = 3000  # samples whose columns are compared one by one


def blocks(data: bytes, watch: Watch) -> None:
    """The unpacker: rows and columns agree, and now and then the reference decoder too."""
    found = blocks_in(data)
    rows = _samples(watch, found)
    rows_took = watch.last
    columns = _columns(watch, found)
    assert (rows is None) == (columns is None), "rows and columns disagree about an error"
    if rows is not None and columns is not None:
        watch.figures.accepted += 1
        assert len(rows) == len(columns)
        if len(rows) <= FEW:
            _equal(rows, columns)
    if zlib.crc32(data) % COMPARED == 0 and rows_took < QUICK:
        watch.figures.compared += 1
        _as_reference(rows, found)


def _samples(watch: Watch, found: list[bytes]) -> list[Sample] | None:
    try:
        return watch.call(unpack, found)
    except FormatError:
        return None


def _columns(watch: Watch, found: list[bytes]) -> Columns | None:
    try:
        return watch.call(unpack_columns, found)
    except FormatError:
        return None


def _equal(rows: Sequence[Sample], columns: Columns) -> None:
    for index, (number, time, value, quality) in enumerate(rows):
        assert columns.series[index] == number
        assert columns.boot_ms[index] == time
        assert columns.quality[index] == quality
        kind = columns.kind[index]
        if kind == OBJECT:
            assert columns.objects[index] == value
        elif kind == DECIMAL:
            assert value is not None
            assert math.isclose(columns.value[index], float(value), rel_tol=1e-15)
        elif kind == FLOAT:
            assert isinstance(value, float)
            assert columns.value[index] == value or math.isnan(value)
        elif kind == NOTHING:
            assert value is None
        else:
            assert (columns.integer[index] - int(value or 0)) % 2**64 == 0


def _as_reference(rows: list[Sample] | None, found: list[bytes]) -> None:
    """What one decoder refuses the other refuses; what they accept is the same to the bit."""
    try:
        due: list[Sample] | None = decode(found)
    except ReferenceFormatError:
        due = None
    assert (rows is None) == (due is None), "one decoder refuses what the other takes"
    if rows is not None and due is not None:
        assert exact(rows) == exact(due)


def scripts(data: bytes, watch: Watch) -> None:
    """The packer: what a script appends comes out again, of each batch and of its first half."""
    for story in played(data):
        assert exact(watch.call(unpack, story.blocks)) == exact(story.due)
        if len(story.blocks) > 1:
            half = len(story.blocks) // 2
            assert exact(watch.call(unpack, story.blocks[:half])) == exact(story.due[: story.counts[half - 1]])
        watch.figures.accepted += 1


def messages(data: bytes, watch: Watch) -> None:
    """Signed messages and what is in them, the signature right so that the rest is looked at, or as it comes."""
    which, rest = data[:1], data[1:]
    reader = READERS[which[0] % len(READERS)] if which else READERS[0]
    try:
        watch.call(reader, rest)
        watch.figures.accepted += 1
    except (BatchFormatError, SignatureError):
        pass


def _ack(data: bytes) -> object:
    return ack.read(cose.sign(data, Kind.ACK, ACK_KEY), ACK_KEY.public(GATEWAY, "nord", role="acknowledge"))


READERS: Final[tuple[Callable[[bytes], object], ...]] = (
    lambda data: batch.decode(data, BATCH_KEY.public(GATEWAY, "nord")),
    lambda data: batch.decode(cose.sign(data, Kind.BATCH, BATCH_KEY), BATCH_KEY.public(GATEWAY, "nord")),
    header.loads,
    lambda data: catalogue.decode([data]),
    _ack,
)

TARGETS: Final[dict[str, Callable[[bytes, Watch], None]]] = {"blocks": blocks, "scripts": scripts, "messages": messages}
