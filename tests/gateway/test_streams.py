"""The command line with streams that are closed, and on terminals that are small or know few characters."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.status import _show
from gateway.cli.web import _shows_blocks
from tests.conftest import ROOT
from tests.gateway.statuses import status


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_accident(closed: str) -> None:
    words = ["sh", "-c", f'exec "$0" -m gateway top {closed}', sys.executable]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 64, done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_terminal_cannot_show_is_a_question_mark(tmp_path: Path) -> None:
    config = tmp_path / "lamppost.toml"
    config.write_text('[buses.x]\ndriver = "\\u001b[31m"\n')
    words = [sys.executable, "-m", "gateway", "doctor", "-c", str(config), "--run-dir", str(tmp_path)]
    done = subprocess.run(
        words, capture_output=True, timeout=60, check=False, cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": "latin-1"}
    )
    assert (done.returncode, done.stderr) == (2, b"")
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize(("encoding", "shows"), [("utf-8", True), ("latin-1", False), ("ascii", False), ("no", False)])
def test_a_qr_code_is_drawn_where_its_blocks_can_be_shown(encoding: str, shows: bool) -> None:
    assert _shows_blocks(encoding) == shows


@pytest.mark.parametrize("columns", [40, 80])
def test_a_small_screen_shows_which_device_is_silent(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    own = {"source": "own", "hash": "00" * 32, "trial": None, "last": None}
    told: dict[str, Any] = status() | {"uplink": None, "configuration": own}
    told["commands"]["remote"] = False
    silent, well = told["buses"][0]["devices"]
    told["buses"][0]["devices"] = [*(well | {"id": f"lamp{number}"} for number in range(40)), silent]
    _show(told, os.terminal_size((columns, 24)))
    shown = capsys.readouterr().out.splitlines()
    assert any("meter1" in line and "offline" in line for line in shown), shown
    table = shown[shown.index("") : -1]
    assert max(map(len, table)) <= columns, table
