"""Whatever stands in the files, the answer is a `Config` or `ConfigErrors`, never anything else."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config import Bus, Config, ConfigErrors, Device, Point, Problem, load
from config.errors import HIDDEN
from config.loader import assemble
from config.models import Buffer, Gateway, Profile
from config.point import Limits, Report
from config.source import Source
from config.uplink import Tls, Uplink
from config.writable import Writable

MODELS = (Gateway, Uplink, Tls, Buffer, Bus, Device, Point, Report, Limits, Writable, Profile)
WORDS = sorted({name for model in MODELS for name in model.model_fields})
IDS = ["a", "b", "lamp-7", "gateway", "A", ""]
VALUES = [
    "10s",
    "1h",
    "512MB",
    "change",
    "2%",
    "mqtts://b",
    "mqtt://u:p@b",
    "UTC",
    "platform",
    "a",
    "b",
    "modbus",
    "\x1b",
]

scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, -1, 2**63, 2**64]),
    st.decimals(),
    st.sampled_from([Decimal("0E+999999"), Decimal("0E-999999"), Decimal("1E+18"), Decimal("-1E-18")]),
    st.text(max_size=20),
    st.sampled_from(VALUES),
    st.sampled_from([datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1), time(12)]),
)


def table(keys: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(keys) | st.text(max_size=8), values, max_size=6)


leaves = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | table(WORDS, inner), max_leaves=5)
points = table(IDS, table(WORDS, leaves)) | leaves
devices = table(
    IDS, st.tuples(table(WORDS, leaves), points).map(lambda pair: {**pair[0], "points": pair[1], "bus": "a"}) | leaves
)
buses = table(IDS, table(WORDS, leaves).map(lambda raw: {"driver": "modbus", **raw}) | leaves)
documents = st.fixed_dictionaries(
    {},
    optional={
        "gateway": table(WORDS, leaves) | leaves,
        "uplink": table(WORDS, leaves) | leaves,
        "buffer": table(WORDS, leaves) | leaves,
        "buses": buses | leaves,
        "devices": devices | leaves,
        "other": leaves,
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(documents, min_size=1, max_size=3))
def test_any_tables_load_or_are_refused(found: list[dict[str, Any]]) -> None:
    sources = [Source(Path(f"{number}.toml"), one) for number, one in enumerate(found)]
    problems: tuple[Problem, ...] = ()
    try:
        assert isinstance(assemble(sources, ()), Config)
    except ConfigErrors as errors:
        problems = errors.problems or (Problem("", "", "\n"),)
    assert all(str(problem).isprintable() for problem in problems)


@settings(max_examples=300, deadline=None)
@given(table(list(Point.model_fields), leaves))
def test_any_point_keeps_its_promises(raw: dict[str, Any]) -> None:
    document = {
        "gateway": {"id": "a", "site": "b"},
        "buses": {"a": {"driver": "x"}},
        "devices": {"d": {"bus": "a", "points": {"p": raw}}},
    }
    try:
        point = assemble([Source(Path("a.toml"), document)], ()).devices["d"].points["p"]
    except ConfigErrors:
        return
    multiplier, addend, exponent = point.scaling
    assert exponent <= 0
    assert max(abs(multiplier), abs(addend)) < 2**63
    assert Decimal(multiplier).scaleb(exponent) == point.scale
    assert Decimal(addend).scaleb(exponent) == point.offset
    assert point.scale
    assert (point.id, point.name) == ("d/p", "p")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text("[]{}=.\"'\\#,\n abx019e+-_:TZ", max_size=80).map(str.encode))
def test_any_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    main = tmp_path / "lamppost.toml"
    main.write_bytes(data)
    with pytest.raises(ConfigErrors) as caught:
        load(main)
    assert str(caught.value)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("uplink.password", "hunter2"),
        ("buses.a.api_token", 1234),
        ("uplink", {"brokers": ["mqtts://u:hunter2@b"], "inner": [{"Passwd": "hunter2"}]}),
        ("uplink.brokers[0]", "mqtts://u:hunter2@b"),
    ],
)
def test_a_problem_forgets_passwords(path: str, found: object) -> None:
    problem = Problem("a.toml", path, "is wrong", found)
    assert "hunter2" not in repr(problem)
    assert "1234" not in repr(problem)
    assert HIDDEN in str(problem)


def test_a_password_file_is_no_password() -> None:
    assert Problem("a.toml", "uplink.password_file", "is wrong", "/etc/p").found == "/etc/p"


def test_a_problem_is_bounded_and_printable() -> None:
    line = str(Problem("\x1b.toml", "devices", "is wrong", {"x" * 10_000: ["\x1b" * 10_000] * 1000}))
    assert line.isprintable()
    assert len(line) < 300
    assert json.dumps(line)
