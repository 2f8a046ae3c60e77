"""Which files a gateway runs, by its last word: read, written into a folder, and given to the box in its place."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from buffer.catalogue import SeriesEntry
from buffer.running import Running
from collector.errors import ConfigurationFault
from collector.identity.ca import CertificateAuthority
from collector.identity.enrolment import Enrolment
from collector.orders import running
from gateway.identity import enrol
from gateway.identity.enrol import Places
from tests.collector.commanding import call, data
from tests.collector.maker import PLATFORM, SQLITE, UTC_MS, Bench, Gateway

TEXTS = (("lamppost.toml", "[gateway]\n\tid = 'gw'\n"), ("conf.d/a.toml", "# é\x1b[31m\n"))
FIRST = Running("11" * 32, "own", UTC_MS, TEXTS)
SECOND = replace(FIRST, hash="22" * 32, source="pushed", hidden=3)


def tell(bench: Bench, gateway: Gateway, *told: Running | str, at_ms: int = 10) -> None:
    """The gateway says what it runs."""
    if gateway.catalogue is None:
        bench.take(gateway.describe([SeriesEntry(7, "gateway", "running", "", "json")]))
    for one in told:
        bench.take(gateway.send([(7, at_ms, one if isinstance(one, str) else one.to_json(), 0)]))


def test_the_last_word_counts_and_no_clock_of_the_gateways(bench: Bench, gateway: Gateway) -> None:
    tell(bench, gateway, SECOND, at_ms=10**9)
    tell(bench, gateway, FIRST)
    assert running.find(bench.database, gateway.gateway) == FIRST
    other = replace(gateway, stream=bytes([2]) * 16, number=0, previous=bytes(32), catalogue=None)
    bench.now_ms += 1
    tell(bench, other, SECOND)
    assert running.find(bench.database, gateway.gateway) == SECOND, "the box in its place has another stream"
    with pytest.raises(ConfigurationFault, match="gw-other has not said"):
        running.find(bench.database, "gw-other")


@SQLITE
def test_the_verb_shows_and_writes_them(bench: Bench, gateway: Gateway, tmp_path: Path) -> None:
    tell(bench, gateway, SECOND)
    words = ("config", "running", gateway.gateway, "--database", bench.database.path)
    (row,) = data(*words)
    assert row == {
        "gateway": gateway.gateway, "hash": SECOND.hash, "source": "pushed", "at_ms": UTC_MS, "hidden": 3, "reason": "",
        "folder": None, "files": [{"name": name, "text": text} for name, text in TEXTS],
    }  # fmt: skip
    out, error = call(*words)
    assert out == "# ---- lamppost.toml\n[gateway]\n        id = 'gw'\n# ---- conf.d/a.toml\n# é\\x1b[31m\n"
    assert '3 values are "(hidden)"' in error
    call(*words, "--out", tmp_path / "mine")
    assert {name: (tmp_path / "mine" / name).read_text() for name, _ in TEXTS} == dict(TEXTS)
    _, error = call(*words, "--out", tmp_path / "mine", code=74)
    assert "File exists" in error, "nothing is written over"
    tell(bench, gateway, FIRST.without("too large"))
    _, error = call(*words, code=65)
    assert "has not told its files: too large" in error


def _request(folder: Path, gateway: Gateway) -> bytes:
    folder.mkdir()
    return enrol.request(Places(folder), gateway.gateway, gateway.site)


@SQLITE
def test_the_box_in_its_place_is_given_them_and_one_that_renews_is_not(
    bench: Bench, gateway: Gateway, tmp_path: Path
) -> None:
    authority = CertificateAuthority.create(tmp_path / "ca", "test")
    updates = PLATFORM.public(role="authority")
    platform = Enrolment(bench.database, authority, PLATFORM.public(role="acknowledge"), updates=updates)
    assert platform.admit(_request(tmp_path / "first", gateway), UTC_MS).running is None, "nothing is known yet"
    gateway = replace(gateway, key=Places(tmp_path / "first").prepare()[0])
    tell(bench, gateway, FIRST)
    message = _request(tmp_path / "second", gateway)
    answer = platform.admit(message, UTC_MS)
    assert (answer.running, answer.updates) == (FIRST, updates)
    renewed = platform.answer(message, UTC_MS)
    assert (renewed.running, renewed.updates) == (None, None)


@SQLITE
@pytest.mark.parametrize(
    "told",
    ["nonsense", "{}", "[" * 9999, json.dumps(FIRST.to_item() | {"files": "x"}), FIRST.without("too large").to_json()],
    ids=["text", "empty", "deep", "files", "none"],
)
def test_a_word_that_makes_no_sense_hinders_nobody(bench: Bench, gateway: Gateway, tmp_path: Path, told: str) -> None:
    tell(bench, gateway, FIRST, told)
    authority = CertificateAuthority.create(tmp_path / "ca", "test")
    platform = Enrolment(bench.database, authority, PLATFORM.public(role="acknowledge"))
    answer = platform.admit(_request(tmp_path / "box", gateway), UTC_MS)
    assert answer.running is None
    assert "running" not in json.loads(answer.to_json())
