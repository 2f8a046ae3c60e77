"""The configuration that `make install` puts in place is one to start from."""

import re
from pathlib import Path

from config import load
from tests.conftest import ROOT

SAMPLE = ROOT / "systemd" / "lamppost.toml"


def test_the_sample_loads_as_it_is() -> None:
    loaded = load(SAMPLE)
    assert loaded.gateway.id == "gw-0001"
    assert loaded.uplink is None
    assert not loaded.buses


def test_the_sample_loads_with_every_comment_taken_away(tmp_path: Path) -> None:
    everything = tmp_path / "lamppost.toml"
    everything.write_text(re.sub(r"^#(?=\S)", "", SAMPLE.read_text(), flags=re.MULTILINE))
    profiles = [path for path in (ROOT / "drivers").glob("*/profiles") if path.is_dir()]
    loaded = load(everything, profiles=profiles)
    assert loaded.uplink is not None
    assert set(loaded.devices) == {"wind", "bin4", "meter1"}
