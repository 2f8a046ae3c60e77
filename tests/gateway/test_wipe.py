"""`lamppost wipe`: what is overwritten, what is left alone, and the last message."""

import asyncio
import json
import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from buffer.keys import SigningKey
from gateway.cli import lamppost
from gateway.control.sockets import control_socket, status_socket
from gateway.errors import NotTold
from gateway.identity import wipe
from tests.gateway.conftest import run_dir as _run_dir
from tests.gateway.support import decoded, samples
from tests.gateway.test_control import running, talk

run_dir = _run_dir


def test_a_file_is_overwritten_before_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "batch.key"
    path.write_bytes(b"secret" * 1000)
    path.chmod(0o400)
    with path.open("rb") as held:  # who still has it open sees what the disk has
        wipe.destroy(path)
        left = held.read()
    assert len(left) == 6000
    assert b"secret" not in left
    assert not path.exists()


def test_a_link_goes_and_what_it_names_stays(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("theirs")
    (tmp_path / "state").mkdir()
    link = tmp_path / "state" / "buffer.db"
    link.symlink_to(tmp_path / "other")
    assert wipe.files(tmp_path / "none" / "x.db", (), (tmp_path / "state",)) == [link]
    wipe.destroy(link)
    assert not os.path.lexists(link)
    assert (tmp_path / "other").read_text() == "theirs"


def test_keys_and_data_go_and_the_configuration_stays(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    names = ("b.db", "b.db-wal", "b.db.2026", "keyring.cose")
    gone = [tmp_path / "keys.pem", *(tmp_path / "data" / name for name in names)]
    for path in gone:
        path.write_text("secret")
    (tmp_path / "data" / "other.txt").write_text("theirs")
    SigningKey.create(tmp_path / "batch.key")
    config = tmp_path / "lamppost.toml"
    config.write_text(
        f'[gateway]\nid = "gw-1"\nsite = "s"\nkey = "batch.key"\n[buffer]\npath = "{tmp_path}/data/b.db"\n'
        '[uplink]\nbrokers = ["mqtt://127.0.0.1:1"]\nacknowledge = "broker"\npassword_file = "keys.pem"\n'
        'username = "gw"\n[buses.b]\ndriver = "modbus"\nhost = "127.0.0.1"\n'
        '[devices]\nm = { bus = "b", address = 1, profile = "eastron-sdm630" }\n'
    )
    words = ["wipe", "--config", str(config), "--run-dir", str(tmp_path / "run"), "--json"]
    asked = CliRunner().invoke(lamppost, words, input="n\n", standalone_mode=False)
    assert asked.exception is not None
    assert (tmp_path / "batch.key").exists()
    done = CliRunner().invoke(lamppost, [*words, "--yes"], standalone_mode=False)
    assert isinstance(done.exception, NotTold), done.output
    assert done.exception.exit_code == 69
    assert json.loads(done.stdout) == {"told": False, "undelivered": None, "files": 6, "failed": []}
    assert not [path for path in (*gone, tmp_path / "batch.key") if path.exists()]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["other.txt"]
    assert "What flash cannot promise" not in done.stdout
    assert config.exists()
    again = CliRunner().invoke(lamppost, words, standalone_mode=False)  # nothing is asked where nothing is left
    assert again.exception is None
    assert json.loads(again.stdout) == {"told": False, "undelivered": 0, "files": 0, "failed": []}


def test_whatever_lies_in_a_folder_goes(tmp_path: Path) -> None:
    (tmp_path / "keys" / "deep").mkdir(parents=True)
    (tmp_path / "keys" / "deep" / "tls.cred").write_text("sealed")
    os.mkfifo(tmp_path / "keys" / "pipe")
    for path in wipe.files(tmp_path / "none" / "x.db", (), (tmp_path / "keys",)):
        wipe.destroy(path)
    assert [path.name for path in (tmp_path / "keys").rglob("*")] == ["deep"]


@pytest.mark.parametrize("swapped", ["deep", "deep/tls.cred"])
def test_no_link_that_is_put_there_meanwhile_is_followed(tmp_path: Path, swapped: str) -> None:
    """The folders are the agent's, and root destroys."""
    for name in ("theirs", "keys/deep"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "tls.cred").write_text(name)
    (path,) = wipe.files(tmp_path / "none" / "x.db", (), (tmp_path / "keys",))
    mine = tmp_path / "keys" / swapped
    mine.rename(tmp_path / "away")
    mine.symlink_to(tmp_path / swapped.replace("deep", "theirs"))
    with suppress(OSError):
        wipe.destroy(path)
    assert (tmp_path / "theirs" / "tls.cred").read_text() == "theirs"


def test_a_file_that_becomes_a_link_under_roots_hand_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    folder = tmp_path / "keys"
    folder.mkdir()
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (folder / "a").symlink_to(tmp_path / "theirs")
            (folder / "a").replace(folder / "batch.key")
            (folder / "a").write_text("mine")
            (folder / "a").replace(folder / "batch.key")

    thread = threading.Thread(target=swap)
    thread.start()
    for _ in range(500):
        with suppress(OSError):
            wipe.destroy(folder / "batch.key")
    stop.set()
    thread.join()
    assert (tmp_path / "theirs").read_text() == "theirs"


async def test_the_last_message_is_signed_with_all_others(tmp_path: Path, run_dir: Path) -> None:
    async with running(tmp_path, run_dir) as (agent, _):
        async with talk(control_socket(run_dir)) as client:
            told = (await client.ask("decommission", why="sold"))["result"]
        last = told["numbers"][0] - 1
        async with talk(status_socket(run_dir)) as client:
            rows = [(await client.ask("queue", after=after))["result"] for after in (0, last)]
            assert [one["ok"] for one in [await client.ask("queue", after=bad) for bad in (-1, 1.0, 2**63)]] == [
                False
            ] * 3
        assert (told["why"], set(told)) == ("sold", {"who", "why", "at_ms", "numbers"})
        assert {row["number"] for row in rows[1]} >= set(told["numbers"])  # nobody acknowledges here
        assert [row for row in rows[0] if row["number"] > last] == rows[1]
        batches = await asyncio.to_thread(decoded, agent.config.buffer.path)
        assert [one for batch in batches if batch.header.samples for one in samples(batch) if "sold" in str(one)]
