"""Headers and batches: what goes in comes out, and whatever is out of range is named."""

import re
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buffer import batch, cose
from buffer import header as headers
from buffer.claims import merged
from buffer.cose import Kind
from buffer.errors import BatchFormatError, SignatureError
from buffer.header import (
    MAX_LEDGER,
    MAX_REASON,
    MAX_REPLACES,
    NO_HASH,
    ClockState,
    Header,
    LedgerEntry,
    Priority,
    Replaced,
)
from buffer.keys import PublicKey, SigningKey
from tests.buffer.support import BOOT, ENTRY, header

MS = st.integers(0, 1 << 48)
CLOCK_MS = st.integers(-(1 << 48), 1 << 48)
COUNT = st.integers(0, (1 << 63) - 1)
HASH = st.binary(min_size=32, max_size=32)
ID = st.binary(min_size=16, max_size=16)
STATE = st.sampled_from(ClockState)
PAIR = st.lists(MS, min_size=2, max_size=2).map(sorted)


@st.composite
def entries(draw: st.DrawFn) -> LedgerEntry:
    start, end = draw(PAIR)
    samples, reason = draw(st.none() | COUNT), draw(st.text(min_size=1, max_size=MAX_REASON))
    return LedgerEntry(draw(ID), start, draw(st.just(end) | st.none()), draw(CLOCK_MS), draw(STATE), samples, reason)


@st.composite
def claims(draw: st.DrawFn) -> tuple[Replaced, ...]:
    """Runs of numbers, and pieces of single ones, in order."""
    found, after = [], 1
    for size, gap in draw(st.lists(st.tuples(st.integers(1, 99), st.integers(0, 9)), max_size=3)):
        start = draw(st.none() | st.integers(0, 99)) if size == 1 else None
        samples = draw(st.integers(0 if start is None else 1, 99))
        found.append(Replaced(after + gap, after + gap + size - 1, draw(HASH), samples, start))
        after += gap + size
    return tuple(found)


@st.composite
def replacing(draw: st.DrawFn) -> dict[str, Any]:
    """What the claims of a header ask of its other fields."""
    replaces = draw(claims())
    total = sum(claim.samples for claim in replaces)
    about = replace(draw(entries()), samples=total)
    if not replaces:
        return {}
    if sum(claim.samples > 0 for claim in replaces) == 1 and draw(st.booleans()):
        return {"replaces": replaces, "samples": total}
    if draw(st.booleans()):
        return {"replaces": replaces, "samples": draw(st.integers(1, 99)), "window_ms": 60_000, "ledger": (about,)}
    return {"replaces": replaces, "samples": 0, "ledger": (about,)}


@st.composite
def any_header(draw: st.DrawFn) -> Header:
    first, last = draw(PAIR)
    claimed = draw(replacing())
    number = draw(st.integers(999 if claimed else 1, (1 << 63) - 1))
    made = Header(
        kind=Kind.BATCH,
        gateway=draw(st.from_regex(r"\A[a-z0-9-]{1,32}\Z")),
        stream=draw(ID),
        number=number,
        previous=NO_HASH if number == 1 else draw(HASH.filter(any)),
        boot=draw(ID),
        clock_ms=draw(CLOCK_MS),
        clock_state=draw(STATE),
        catalogue=draw(HASH),
        samples=draw(COUNT),
        priority=draw(st.sampled_from(Priority)),
        first_ms=first,
        last_ms=last,
        ledger=tuple(draw(st.lists(entries(), max_size=3))),
    )
    return replace(made, **claimed)


@given(any_header())
def test_header_comes_back(made: Header) -> None:
    assert headers.loads(made.encode()) == made


@given(entries())
def test_ledger_entry_comes_back(made: LedgerEntry) -> None:
    assert headers.entry_loads(headers.entry_dumps(made)) == made


def test_header_is_the_map_of_the_specification() -> None:
    replaces = (Replaced(2, 4, b"h" * 32, 5), Replaced(6, 6, b"i" * 32, 7, 9))
    made = header(number=8, previous=b"p" * 32, ledger=(ENTRY,), replaces=replaces, window_ms=60_000)
    assert cbor2.loads(made.encode()) == {
        1: 1,
        2: 1,
        3: "gw-0017",
        4: bytes(16),
        5: 8,
        6: b"p" * 32,
        7: BOOT,
        8: 1_700_000_000_000,
        9: 2,
        10: b"\7" * 32,
        11: 3,
        12: 1,
        13: 10,
        14: 20,
        15: [[BOOT, 5, 9, 1000, 1, 12, "memory full"]],
        16: [[2, 4, b"h" * 32, 5], [6, 6, b"i" * 32, 7, 9]],
        17: 60_000,
    }


BAD_FIELDS: list[tuple[int, object, str]] = [
    (1, 2, "format version 2 is not known"),
    (1, None, "format version None"),
    (2, 3, "kind is not one of [1, 2]: 3"),
    (2, True, "kind is not one of"),
    (3, "", "gateway is not 1 to 32 characters"),
    (3, "GW", "gateway is not 1 to 32 of"),
    (3, b"gw", "gateway is not a text"),
    (4, bytes(15), "stream is not 16 bytes long: 15"),
    (4, "x" * 16, "stream is not a byte string"),
    (5, 0, "number is not between 1"),
    (5, 1 << 63, "number is not between 1"),
    (5, 1.0, "number is not an integer: 1.0"),
    (5, 2, "number 2 with previous hash 00"),
    (6, bytes(31), "previous is not 32 bytes"),
    (6, b"x" * 32, "number 1 with previous hash 78"),
    (7, bytes(17), "boot is not 16 bytes"),
    (8, 1 << 49, "clock_ms is not between"),
    (9, 3, "clock_state is not one of [0, 1, 2]: 3"),
    (10, b"", "catalogue is not 32 bytes"),
    (10, None, "3 samples without a catalogue"),
    (11, -1, "samples is not between 0"),
    (11, True, "samples is not an integer: True"),
    (12, 3, "priority is not one of"),
    (13, 21, "last_ms 20 is before first_ms 21"),
    (14, (1 << 48) + 1, "last_ms is not between"),
    (15, [], "ledger is there but empty"),
    (15, {}, "ledger is not an array"),
    (15, [[]] * (MAX_LEDGER + 1), "ledger is not an array of at most 64: 65"),
    (15, [[1, 2]], "a ledger entry is not an array of 7: 2"),
    (15, [[BOOT, 5, 4, 0, 0, 1, "x"]], "to_ms of a ledger entry is not between 5"),
    (15, [[BOOT, 5, 6, 0, 0, -1, "x"]], "samples of a ledger entry"),
    (15, [[BOOT, 5, 6, 0, 0, 1, ""]], "reason of a ledger entry is not 1 to 200"),
    (15, [[BOOT, 5, 6, 0, 0, 1, "x" * 201]], "reason of a ledger entry is not 1 to 200"),
    (16, [[1, 1, bytes(32)]], "a claim is not an array of 4 or 5"),
    (16, [[2, 1, bytes(32), 1]], "last of a claim is not between 2"),
    (16, [[1, 2, bytes(32), 1, 0]], "last of a claim is not between 1 and 1"),
    (16, [[1, 1, bytes(32), 0, 0]], "samples of a claim is not between 1"),
    (16, [[1, 1, bytes(32), 1, None]], "start of a claim is not an integer"),
    (16, [[0, 0, bytes(32), 1]], "first of a claim is not between 1"),
    (16, [[1, 1, bytes(3), 1]], "hash of a claim is not 32 bytes"),
    (16, [[]] * (MAX_REPLACES + 1), "replaces is not an array of at most"),
    (17, 0, "window_ms is not between 1"),
    (18, 0, "unknown keys [18]"),
    ("x", 0, "a map with integer keys"),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("field", "value", "message"), BAD_FIELDS)
def test_bad_header_fields_are_named(field: int, value: object, message: str) -> None:
    found = cbor2.loads(header().encode()) | {field: value}
    with pytest.raises(BatchFormatError, match=re.escape(message)):
        headers.loads(cbor2.dumps(found))


@pytest.mark.parametrize("field", range(2, 15))
def test_a_missing_header_field_is_named(field: int) -> None:
    found = cbor2.loads(header().encode())
    del found[field]
    with pytest.raises(BatchFormatError, match=rf"lacks the keys \[{field}\]"):
        headers.loads(cbor2.dumps(found))


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\x80", b"\xa0", b"\xff", b"\xf6", b"\xa1\x01\x01\x01", bytes(200_000)]
)
def test_noise_is_no_header(data: bytes) -> None:
    with pytest.raises(BatchFormatError):
        headers.loads(data)


def test_a_header_that_no_reader_would_take_is_not_written() -> None:
    with pytest.raises(BatchFormatError, match="last_ms 20 is before"):
        header(first_ms=21).encode()


E, F = Replaced(2, 4, b"h" * 32, 12), Replaced(6, 6, b"i" * 32, 3, 9)
LOSS = replace(ENTRY, samples=12)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"replaces": (E,), "samples": 0}, "12 samples are replaced, and the first ledger entry is not"),
        ({"replaces": (E,), "samples": 0, "ledger": (replace(LOSS, samples=11),)}, "12 samples are replaced"),
        ({"replaces": (E,), "window_ms": 1, "ledger": (replace(LOSS, samples=None),)}, "12 samples are replaced"),
        ({"replaces": (E,), "samples": 3}, "3 samples in place of 12"),
        ({"replaces": (replace(E, samples=1), replace(F, samples=2))}, "those of one batch"),
        ({"replaces": (F, E), "samples": 0}, "the claim on 2 to 4 is not in order"),
        ({"replaces": (E, E), "samples": 0}, "the claim on 2 to 4 is not in order"),
        ({"replaces": (F, replace(F, start=11))}, "the claim on 6 to 6 is not in order"),
        ({"replaces": (replace(E, last=8),)}, "the claim on 2 to 8 is not in order"),
        ({"window_ms": 60_000}, "only a batch replaces"),
        ({"replaces": (E,), "samples": 0, "window_ms": 60_000, "ledger": (LOSS,)}, "only samples of such a one"),
    ],
)
def test_what_is_replaced_is_carried_or_accounted_for(changes: dict[str, Any], expected: str) -> None:
    made = header(number=8, previous=b"p" * 32, **changes)
    with pytest.raises(BatchFormatError, match=re.escape(expected)):
        made.encode()


def test_claims_that_adjoin_are_one() -> None:
    one, two, three = (Replaced(n, n, bytes([n]) * 32, n) for n in (1, 2, 3))
    apart = Replaced(5, 5, b"5" * 32, 0)
    assert merged((three, apart, one, two)) == (Replaced(1, 3, three.hash, 6), apart)
    a, b, c = (Replaced(7, 7, b"7" * 32, 10, start) for start in (0, 10, 30))
    assert merged((b, c, a)) == (Replaced(7, 7, b"7" * 32, 20, 0), c)
    assert merged((one, three, replace(two, last=3, hash=three.hash, samples=0))) == (Replaced(1, 3, three.hash, 4),)
    assert merged((Replaced(6, 6, b"6" * 32, 1), a)) == (Replaced(6, 6, b"6" * 32, 1), a), "who knows what follows"


def test_batch_comes_back(key: SigningKey, public: PublicKey) -> None:
    made = header()
    message = batch.encode(made, [b"one", b"two" * 100], key)
    found = batch.decode(message, public)
    assert (found.header, found.blocks, found.hash) == (made, (b"one", b"two" * 100), batch.batch_hash(message))


def signed(payload: Any, key: SigningKey, kind: Kind = Kind.BATCH) -> bytes:
    return cose.sign(payload if isinstance(payload, bytes) else cbor2.dumps(payload), kind, key)


def test_bad_payloads_are_named(key: SigningKey, public: PublicKey) -> None:
    good = cbor2.loads(header().encode())
    deep: object = b"x"
    for _ in range(20):
        deep = [deep]
    cases: list[tuple[Any, str]] = [
        (b"", "the payload is not CBOR"),
        (b"\x9f\xff", "the payload is not CBOR"),
        (cbor2.dumps([good, b"x"]) + b"\0", "not one CBOR item in preferred serialization"),
        (b"\x98\x02" + cbor2.dumps(good) + b"\x41x", "not one CBOR item in preferred serialization"),
        (deep, "the payload is not CBOR"),
        ([], "the payload has no header"),
        ({}, "the payload is not an array"),
        ([1], "the header is not a map"),
        ([good], "3 samples but no block"),
        ([good, "text"], "a block is not a byte string"),
        ([good, b""], "a block is not 1 to"),
        ([good, cbor2.CBORTag(35, "(a+)+")], "a block is not a byte string"),
        ([good | {2: 2, 10: None, 11: 0}, b"x"], "signed as batch, but the header says catalogue"),
        ([good | {3: "gw-0018"}, b"x"], "names gateway 'gw-0018', the key belongs to 'gw-0017'"),
    ]
    for payload, message in cases:
        with pytest.raises(BatchFormatError, match=message):
            batch.decode(signed(payload, key), public)


def test_a_catalogue_is_signed_as_one(key: SigningKey, public: PublicKey) -> None:
    made = header(kind=Kind.CATALOGUE, catalogue=None, samples=0)
    assert batch.decode(batch.encode(made, [b"\x80"], key), public).header.kind is Kind.CATALOGUE
    with pytest.raises(BatchFormatError, match="a catalogue has no samples"):
        replace(made, samples=1).encode()


def test_an_acknowledgement_is_no_batch(key: SigningKey, public: PublicKey) -> None:
    with pytest.raises(SignatureError):
        batch.decode(signed([1], key, Kind.ACK), public)


def test_the_largest_header_and_blocks_fit_a_message(key: SigningKey) -> None:
    entry = replace(ENTRY, reason="\N{HAMMER}" * MAX_REASON, from_ms=1 << 48, to_ms=1 << 48, samples=(1 << 63) - 1)
    top = (1 << 62) - 2 * MAX_REPLACES
    full = tuple(Replaced(top + n, top + n, b"h" * 32, 1 << 40, 1 << 62) for n in range(MAX_REPLACES))
    about = replace(entry, samples=MAX_REPLACES << 40)
    made = header(
        number=(1 << 63) - 1, previous=b"p" * 32, replaces=full, window_ms=1 << 48, ledger=(about,) + (entry,) * 63
    )
    assert len(made.ledger) == MAX_LEDGER
    assert len(made.encode()) <= headers.MAX_HEADER_BYTES
    batch.encode(made, [bytes(batch.MAX_BLOCK_BYTES)], key)


@given(data=st.binary(max_size=200))
def test_signed_noise_is_a_format_error(key: SigningKey, public: PublicKey, data: bytes) -> None:
    with pytest.raises(BatchFormatError):
        batch.decode(signed(data, key), public)
