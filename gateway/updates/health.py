"""How the agent does: what it did before an update, and whether it does the same after."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.control.client import RUN_DIR, Client
from gateway.control.sockets import status_socket
from gateway.errors import GatewayError
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
    with suppress(GatewayError, OSError, ValueError, KeyError, TypeError, RecursionError):  # the agent may be hostile
        with Client(status_socket(run_dir), ANSWER_S) as client:
            status = client.call("status")
        uplink = status["uplink"]
        return Look(True, pid, status["buffer"]["committed"] > 0 and not status["stuck"], bool(uplink and uplink["up"]))
    return Look(True, pid)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was wanting, "" when nothing was; and whether it was the link to the broker alone."""

    wrong: str = ""
    link: bool = False


NO_LINK = "the agent did not reach the broker"


def lacking(before: Before, now: Look) -> str:
    """What it did before and does not do now; "" when nothing is."""
    if before.active and not now.active:
        return "the agent did not become ready"
    if before.committing and not now.committing:
        return "the agent committed no sample"
    if before.uplink and not now.uplink:
        return NO_LINK
    return ""


def judge(before: Before, trial_s: float, link_s: float, steady_s: float, see: Callable[[], Look] = look) -> Verdict:
    """Watch until one process does for `steady_s` all that was done before.

    It has `trial_s` for that, and `link_s` where nothing but the link is wanting: that may be an outage elsewhere. An
    agent that was not running is only asked for its version.
    """
    if not before.active:
        return Verdict("" if runs() else "the new version does not even tell its number")
    begun = since = time.monotonic()
    pid, found = 0, Verdict("it was not looked at")
    while True:
        now = see()
        told, elapsed = lacking(before, now), time.monotonic() - begun
        if now.pid != pid:
            again = Verdict(told or "the agent was started again and again", found.link and told == NO_LINK)
            since, pid, found = time.monotonic(), now.pid, again
        elif told:
            since, found = time.monotonic(), Verdict(told, told == NO_LINK)
        elif time.monotonic() - since >= steady_s:
            return Verdict()
        limit = link_s if found.link else trial_s
        if elapsed >= limit:
            return Verdict(f"{found.wrong} within {limit:.0f} s", found.link)
        time.sleep(LOOK_S)


def links(seconds: float, see: Callable[[], Look] = look) -> bool:
    """Whether the agent reaches the broker within that time."""
    end = time.monotonic() + seconds
    while not (found := see().uplink) and time.monotonic() < end:
        time.sleep(LOOK_S)
    return found


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
