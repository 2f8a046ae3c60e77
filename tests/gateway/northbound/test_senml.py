"""SenML packs, as RFC 8428 has them and as KPN's parser reads them (it reads no times, and texts of Python 2 only)."""

import base64
import json
from dataclasses import replace
from decimal import Decimal

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext import GOOD, LIMITS, NO_ANSWER, Value
from gateway.keeping.history import Sample
from gateway.northbound.form import MESSAGE_BYTES
from gateway.northbound.senml import SenmlForm

UTC = 1_790_000_000_250


def one(said: Value, at: int = 0, quality: int = GOOD, point: str = "meter/u", unit: str = "V") -> Sample:
    return Sample(point, unit, said, quality, "synchronized", bytes(16), at, UTC + at)


SAMPLES = [
    one(Decimal("230.10")), one(True, 750, point="lamp/on", unit=""), one("ok", 1000, point="lamp/said", unit=""),
    one(b"\xff\xfe", 2000, point="lamp/raw", unit=""), one(7, 3000, LIMITS),
    one(Decimal("0.1234567890123456789"), 4000),
]  # fmt: skip
UNSAYABLE = [one(None), one(1.0, 0, NO_ANSWER), one(float("nan")), one(float("inf"))]


def test_json_as_in_section_5() -> None:
    form = SenmlForm("lamppost/v1/nord/gw-1", "gw-1", "json", lambda: UTC)
    (message,) = form.convert([*SAMPLES, *UNSAYABLE])
    assert message.topic == "lamppost/v1/nord/gw-1/senml"
    assert '"v": 230.10' in message.payload.decode(), "all digits of a decimal"
    first = {"n": "meter/u", "u": "V", "v": Decimal("230.10"), "t": Decimal("0.25")}
    assert json.loads(message.payload, parse_float=Decimal) == [
        {"bn": "lamppost:gw-1/", "bt": 1790000000, **first},
        {"n": "lamp/on", "vb": True, "t": 1},
        {"n": "lamp/said", "vs": "ok", "t": Decimal("1.25")},
        {"n": "lamp/raw", "vd": base64.urlsafe_b64encode(b"\xff\xfe").decode().rstrip("="), "t": Decimal("2.25")},
        {"n": "meter/u", "u": "V", "v": 7, "t": Decimal("3.25")},
        {"n": "meter/u", "u": "V", "v": Decimal("0.1234567890123456789"), "t": Decimal("4.25")},
    ]
    assert form.left_out == {"without a value": 1, "of bad quality": 1, "not a finite number": 2}


def test_cbor_as_in_section_6() -> None:
    (message,) = SenmlForm("p", "gw-1", "cbor", lambda: UTC).convert([*SAMPLES, *UNSAYABLE])
    assert cbor2.loads(message.payload) == [
        {-2: "lamppost:gw-1/", -3: 1790000000, 0: "meter/u", 1: "V", 2: 230.1, 6: 0.25},
        {0: "lamp/on", 4: True, 6: 1},
        {0: "lamp/said", 3: "ok", 6: 1.25},
        {0: "lamp/raw", 8: b"\xff\xfe", 6: 2.25},
        {0: "meter/u", 1: "V", 2: 7, 6: 3.25},
        {0: "meter/u", 1: "V", 2: Decimal("0.1234567890123456789"), 6: 4.25},
    ]


@pytest.mark.parametrize("encoding", ["json", "cbor"])
def test_another_parser_reads_it(encoding: str) -> None:
    senml = pytest.importorskip("kpn_senml")
    numbers = [one(Decimal("230.1")), one(5, 1000, point="meter/n"), one(True, 2000, point="lamp/on")]
    (message,) = SenmlForm("p", "gw-1", encoding, lambda: UTC).convert(numbers)  # type: ignore[arg-type]
    pack = senml.SenmlPack("lamppost:gw-1/")
    if encoding == "json":
        pack.from_json(message.payload.decode())
    else:
        pack.from_cbor(message.payload)
    assert [(record.name, record.value) for record in pack._data] == [
        ("meter/u", 230.1), ("meter/n", 5), ("lamp/on", True),
    ]  # fmt: skip


@given(st.lists(st.text(max_size=3000), min_size=1, max_size=60), st.sampled_from(["json", "cbor"]))
def test_packs_are_bounded_and_complete(texts: list[str], encoding: str) -> None:
    form = SenmlForm("p", "gw-1", encoding, lambda: UTC)  # type: ignore[arg-type]
    messages = form.convert([one(said, n) for n, said in enumerate(texts)])
    assert all(len(message.payload) <= MESSAGE_BYTES * 1.1 for message in messages)
    packs = [json.loads(m.payload) if encoding == "json" else cbor2.loads(m.payload) for m in messages]
    assert [record["vs" if encoding == "json" else 3] for pack in packs for record in pack] == texts
    assert all(("bn" if encoding == "json" else -2) in pack[0] for pack in packs)


def test_nothing_to_say() -> None:
    assert SenmlForm("p", "gw-1", "json", lambda: UTC).convert(UNSAYABLE) == []


@pytest.mark.parametrize("encoding", ["json", "cbor"])
def test_without_a_clock_times_are_relative_to_now(encoding: str) -> None:
    form = SenmlForm("p", "gw-1", encoding, lambda: UTC + 10_000)  # type: ignore[arg-type]
    samples = [replace(one(1.5, at), clock="unset") for at in (0, 2500)]
    (message,) = form.convert(samples)
    pack = json.loads(message.payload) if encoding == "json" else cbor2.loads(message.payload)
    bt, t = ("bt", "t") if encoding == "json" else (-3, 6)
    assert [pack[0][bt] + record[t] for record in pack] == [-10, -7.5], "under 2^28: seconds from now (RFC 8428, 4.5.3)"
