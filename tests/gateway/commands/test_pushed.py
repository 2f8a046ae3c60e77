"""What is kept of a configuration from afar, and which configuration runs."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import ConfigErrors
from gateway.commands import pushed
from gateway.commands.pushed import Push, State
from gateway.setup import installation
from gateway.setup.choice import CUT_SHORT, EDITED, choose
from tests.gateway.support import in_memory

HEAD = '[gateway]\nid = "gw-1"\nsite = "nord"\n[uplink]\nbrokers = ["mqtt://b.example"]\nauthority = "a.json"\n'
BUS = '[buses.panel]\ndriver = "modbus"\ntransport = "tcp"\nhost = "10.0.0.{}"\n'
PUSHED = (("lamppost.toml", BUS.format(9) + '[uplink]\nbatch = "1s"\n'),)

pushes = st.none() | st.builds(
    Push, st.integers(1, 1 << 60), st.just("f"), st.just("l"),
    st.lists(st.text(max_size=50), min_size=1, max_size=1).map(lambda texts: (("a.toml", texts[0]),)),
    st.text(max_size=20), st.text(max_size=20), st.text(max_size=20),
)  # fmt: skip
ROOM = in_memory()
lasts = st.none() | st.tuples(st.integers(0, 9), st.text(max_size=9), st.text(max_size=9))


@settings(deadline=None, max_examples=50)
@given(st.builds(State, st.integers(0, 1 << 60), pushes, pushes, lasts))
def test_the_file_holds_what_was_kept(state: State) -> None:
    path = ROOM / "configuration.cbor"
    pushed.keep(path, state)
    assert pushed.load(path) == state


@pytest.mark.parametrize("data", [b"", b"\xff" * 9, b"\x85\x01\x01\xf6\xf6", b"\x85\x02\x00\xf6\xf6\xf6", b"\xa0"])
def test_a_file_that_makes_no_sense_is_set_aside(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / pushed.NAME
    path.write_bytes(data)
    assert pushed.load(path) == State()
    assert (tmp_path / "configuration.cbor.damaged").read_bytes() == data
    assert pushed.load(path) == State()


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """The gateway's own file."""
    file = tmp_path / "lamppost.toml"
    file.write_text(HEAD + BUS.format(1))
    return file


def test_it_is_used_while_nobody_edits_the_files(main: Path) -> None:
    own = installation.read(main)
    push = Push(3, "f", own.config.fingerprint, PUSHED, "cleo", "", "cleo")
    found = choose(own, State(3, push))
    config = found.installation.config
    assert config.buses["panel"].options["host"] == "10.0.0.9"
    assert config.uplink is not None
    assert (config.gateway.id, config.uplink.batch, config.where("buses.panel")) == (
        "gw-1",
        1000,
        "pushed/lamppost.toml",
    )
    (main.parent / "conf.d").mkdir()
    (main.parent / "conf.d" / "a.toml").write_text("# a note\n")
    edited = installation.read(main)
    found = choose(edited, State(3, push))
    assert found.installation is edited
    assert (found.state.kept, found.state.last) == (None, (3, "dropped", EDITED))


def test_a_trial_that_was_cut_short_is_over(main: Path) -> None:
    own = installation.read(main)
    kept = Push(3, "f", own.config.fingerprint, PUSHED, "cleo", "", "cleo")
    trial = replace(kept, number=4, texts=(("lamppost.toml", BUS.format(7)),))
    found = choose(own, State(4, kept, trial))
    assert found.installation.config.buses["panel"].options["host"] == "10.0.0.9"
    assert found.state == State(4, kept, None, (4, "rolled-back", CUT_SHORT))


def test_what_a_newer_version_does_not_take_is_dropped(main: Path) -> None:
    own = installation.read(main)
    push = Push(3, "f", own.config.fingerprint, (("lamppost.toml", "[buses.x]\n"),), "", "", "")
    found = choose(own, State(3, push))
    assert found.installation is own
    assert found.state.last is not None
    assert found.state.last[:2] == (3, "dropped")


@pytest.mark.parametrize(
    "text",
    [
        '[gateway]\nid = "gw-2"\n', '[gateway]\nkey = "other.key"\n', '[uplink]\nauthority = "b.json"\n',
        '[uplink]\nacknowledge = "broker"\n', '[buffer]\npath = "x.db"\n', "gateway = 1\n", "[nonsense]\n",
    ],
)  # fmt: skip
def test_who_a_gateway_is_comes_from_its_own_files(main: Path, text: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        installation.read_pushed(main, [("lamppost.toml", text + BUS.format(9))])
    assert all(problem.file.startswith("pushed/") for problem in caught.value.problems)


def test_the_fingerprint_is_what_sha256sum_says(main: Path) -> None:
    (main.parent / "conf.d").mkdir()
    for name in ("b.toml", "a.toml"):
        (main.parent / "conf.d" / name).write_text(f"# {name}\n")
    line = "sha256sum lamppost.toml conf.d/*.toml | sha256sum"
    found = subprocess.run(["sh", "-c", line], cwd=main.parent, capture_output=True, check=True, text=True)
    assert installation.read(main).config.fingerprint == found.stdout.split()[0]
    assert installation.own_fingerprint(main) == found.stdout.split()[0]
