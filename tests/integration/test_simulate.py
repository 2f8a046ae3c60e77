"""`lamppost simulate`: signed load that any collector verifies, from a file or as it is made."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from buffer import batch
from collector.cli import cli as platform
from collector.tables.database import Database
from ext import unpack
from gateway.cli import lamppost
from gateway.errors import FileDamaged
from gateway.simulate import recorded
from gateway.simulate.lives import Plan, lives, rounds
from tests.collector.running import Process
from tests.mosquitto import Mosquitto

PLAN = Plan(points=7, every_ms=500, batch_ms=2000)


def test_every_gateway_has_a_key_and_a_chain_of_its_own() -> None:
    made = lives(3, PLAN, 1_780_000_000_000, seed=1)
    sent = list(rounds(made, 2))
    assert len({life.key.kid for life in made}) == 3
    for place, life in enumerate(made):
        found = [batch.decode(one.payload, life.public) for one in sent[place::3]]
        assert [one.header.number for one in found] == [1, 2, 3]
        assert [one.header.previous for one in found[1:]] == [one.hash for one in found[:-1]]
        assert {one.header.catalogue for one in found[1:]} == {found[0].hash}
        assert [one.header.samples for one in found] == [one.samples for one in sent[place::3]] == [0, 28, 28]
        rows = [row for one in found[1:] for row in unpack(one.blocks)]
        assert [at for series, at, _, _ in rows if series == 1] == [0, 500, 1000, 1500, 2000, 2500, 3000, 3500]


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    sent = list(rounds(lives(2, PLAN, 1), 1))
    path = tmp_path / "load"
    assert recorded.write(path, sent) == (4, 56)
    assert list(recorded.read(path)) == sent
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileDamaged):
        list(recorded.read(path))


def test_load_from_a_file_is_stored_and_acknowledged(tmp_path: Path, mosquitto: Mosquitto) -> None:
    keys, load, database = tmp_path / "keys", tmp_path / "load", tmp_path / "collector.db"
    size = ["--gateways", "5", "--points", "10", "--batches", "4"]
    written = CliRunner().invoke(lamppost, ["simulate", *size, "--keys", str(keys), "--write", str(load), "--json"])
    assert json.loads(written.output) == {"batches": 25, "samples": 2000, "bytes": load.stat().st_size}
    assert CliRunner().invoke(platform, ["gateways", "add", str(keys), "--database", str(database)]).exit_code == 0
    with Process(tmp_path, mosquitto.url, database=database) as process:
        process.start()
        arguments = ["simulate", "--replay", str(load), "--broker", mosquitto.url, "--fast", "--json"]
        account = json.loads(CliRunner().invoke(lamppost, arguments).output)
        assert (account["batches"], account["samples"], account["acknowledged"]) == (25, 2000, 25)
        assert process.stop()[0] == 0
    opened = Database.read(database)
    assert opened.connection.execute("SELECT count(*), max(ts_ms) FROM samples").fetchone()[0] == 2000
    (newest,) = opened.connection.execute("SELECT max(ts_ms) FROM samples").fetchone()
    assert abs(newest - time.time() * 1000) < 60_000
    opened.close()
