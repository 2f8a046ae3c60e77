"""Metrics: names by Prometheus' conventions, all documented; alerts ask for those alone; hostile texts in labels."""

import re
from decimal import Decimal
from typing import Any

import pytest

from gateway.reporting.metrics import COUNTER, METRICS, POINTS, label, names, render
from tests.conftest import ROOT
from tests.gateway.statuses import status

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\["\\n])*",?)+)\})? (-?[0-9.e+-]+|NaN|[+-]Inf)')
"""A sample line: https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details."""
VOLTAGE = 'lamppost_point_value{device="meter1"'
HOSTILE = '"} 1\nlamppost_up 0 <script>\x1b[2J\\=cmd'


def values(text: str) -> dict[str, float]:
    """Name and labels to value; every line is one that Prometheus takes, every name told of once before."""
    found: dict[str, float] = {}
    told: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in told, line
            told.add(name)
        elif not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match, line
            assert match[1] in told, line
            assert line.rpartition(" ")[0] not in found, line
            found[line.rpartition(" ")[0]] = float(match[3])
    return found


def test_names_are_as_prometheus_wants_them() -> None:
    for metric in METRICS + POINTS:
        assert re.fullmatch(r"lamppost_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == COUNTER), metric.name
        assert not re.search(r"_(ms|milliseconds|percent|mb|kb)(_|$)", metric.name)
        assert metric.help.endswith(".")
    assert len(names()) == 1 + len(METRICS + POINTS)


def test_a_status_is_said_in_full() -> None:
    found = values(render(status(), points=True))
    assert {name.partition("{")[0] for name in found} == names()
    assert found["lamppost_up"] == 1
    assert found['lamppost_device_state{bus="panel",device="meter1",state="offline"}'] == 1
    assert found['lamppost_device_state{bus="panel",device="meter1",state="online"}'] == 0
    assert found['lamppost_point_value{device="meter1",point="voltage",unit="V"}'] == 230.25
    assert found["lamppost_held_oldest_age_seconds"] == 7300


def test_what_is_not_known_is_left_out() -> None:
    bare = status() | {"uplink": None}
    bare["points"][0]["value"] = None
    found = values(render(bare, points=True))
    assert not [name for name in found if "uplink" in name or VOLTAGE in name]
    assert values(render(None)) == {"lamppost_up": 0}


def test_texts_of_devices_stay_within_their_label() -> None:
    hostile: dict[str, Any] = status()
    hostile["buses"][0]["devices"][0] |= {"errors": {HOSTILE: 3}}
    hostile["points"][0] |= {"value": HOSTILE, "unit": HOSTILE}
    text = render(hostile, points=True)
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert values(text)["lamppost_up"] == 1
    assert len(label("x" * 10_000)) == 128


@pytest.mark.parametrize("value", ["text", "230.1", Decimal(1), None])
def test_only_numbers_are_values(value: object) -> None:
    found = status()
    found["points"][0]["value"] = value
    assert not [name for name in values(render(found, points=True)) if VOLTAGE in name]


def test_every_name_is_documented_and_every_documented_name_exists() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    rows = dict(re.findall(r"^\| `(lamppost_\w+)` \| (\w+) ", text, re.MULTILINE))
    assert set(rows) == names()
    assert {m.name: m.kind for m in METRICS + POINTS}.items() <= rows.items()


def test_the_example_alerts_ask_for_names_that_exist() -> None:
    text = (ROOT / "docs" / "alerts.yml").read_text()
    expressions = re.findall(r"^\s+expr: (.*)$", text, re.MULTILINE)
    assert len(expressions) == text.count("- alert:")
    asked = {name for one in expressions for name in re.findall(r"\blamppost_\w+", one)}
    assert len(asked) > 10
    assert asked <= names()
