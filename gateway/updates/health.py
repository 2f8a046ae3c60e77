"""How the agent does: what it did before an update, and whether it does the same after."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.client import RUN_DIR, Client
from gateway.errors import GatewayError
from gateway.sockets import status_socket
from gateway.updates.places import Before

UNIT = "lamppost.service"
COMMAND = Path("/opt/lamppost/bin/lamppost")
ANSWER_S = 5.0
SHORT_S = 30.0
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """One look: the state of the unit, its process, and what the agent says of itself."""

    active: bool
    pid: int = 0
    committing: bool = False
    uplink: bool = False

    @property
    def before(self) -> Before:
        """What is asked of the next version."""
        return Before(self.active, self.committing, self.uplink)


def look(run_dir: Path = RUN_DIR) -> Look:
    """How it does now; an agent that does not answer does nothing."""
    shown = _systemctl("show", UNIT, "--property=ActiveState,MainPID")
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    pid = int(values.get("MainPID") or 0)
    if values.get("ActiveState") != "active":
        return Look(False, pid)
    with suppress(GatewayError, OSError, ValueError, KeyError, TypeError):
        with Client(status_socket(run_dir), ANSWER_S) as client:
            status = client.call("status")
        uplink = status["uplink"]
        return Look(True, pid, status["buffer"]["committed"] > 0 and not status["stuck"], bool(uplink and uplink["up"]))
    return Look(True, pid)


def lacking(before: Before, now: Look) -> str:
    """What it did before and does not do now; "" when nothing is."""
    if before.active and not now.active:
        return "the agent did not become ready"
    if before.committing and not now.committing:
        return "the agent committed no sample"
    if before.uplink and not now.uplink:
        return "the agent did not reach the broker"
    return ""


def judge(before: Before, trial_s: float, steady_s: float, see: Callable[[], Look] = look) -> str:
    """Watch until one process does for `steady_s` all that was done before; "" then, else what was wanting.

    An agent that was not running is only asked for its version.
    """
    if not before.active:
        return "" if runs() else "the new version does not even tell its number"
    end = time.monotonic() + trial_s
    since, pid, wrong = 0.0, 0, "it was not looked at"
    while time.monotonic() < end:
        now = see()
        told = lacking(before, now)
        if told or now.pid != pid:
            since, pid = time.monotonic(), now.pid
            wrong = told or "the agent was started again and again"
        elif time.monotonic() - since >= steady_s:
            return ""
        time.sleep(LOOK_S)
    return f"{wrong} within {trial_s:.0f} s"


def runs() -> bool:
    """Whether the installed command can be called."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run([COMMAND, "--version"], capture_output=True, check=False, timeout=SHORT_S)
        return done.returncode == 0
    return False


def ensure_started() -> None:
    """Start the agent where it ran before and does not now; it is not waited for."""
    if not look().active:
        _systemctl("restart", "--no-block", UNIT)


def _systemctl(*words: str) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False, timeout=SHORT_S)
        return done.stdout
    return ""
