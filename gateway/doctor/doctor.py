"""Gathers the facts of an installation, judges them, and tells the causes."""

import json
import os
import pwd
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import ConfigErrors, Problem
from gateway.control.client import Client
from gateway.control.sockets import status_socket
from gateway.doctor import link, ports, system
from gateway.doctor.causes import causes
from gateway.doctor.devices import devices
from gateway.doctor.facts import Facts, Service
from gateway.doctor.finding import Finding
from gateway.doctor.holders import holders
from gateway.doctor.plan import plan
from gateway.doctor.probe import Plan, dump, examine
from gateway.errors import GatewayError, NotAllowed, NotRunning, SetupFailed
from gateway.setup import installation
from gateway.setup.installation import Installation

CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    system.service, system.configuration, ports.ports, system.loads, devices, system.clock, system.disk,
    system.certificates, link.link,
)  # fmt: skip
"""From the ground up."""
WATCH_S = 1.0
ANSWER_S = 30.0
PROBE_S = 20.0
LOOK_S = 5.0
"""A buffer is looked through for so long; a large one on a slow card is not finished by then."""
USER = "lamppost"


def examined(
    config: Path, run_dir: Path, user: str = USER, watch_s: float = WATCH_S, *, named: bool = True
) -> list[Finding]:
    """All that there is to say, with the lines watched for `watch_s`.

    Without a daemon, ports and network are tried as `user`, where this one may. Where this user may not read the
    files, or did not name them and they are elsewhere, the daemon itself is asked for its findings.
    """
    if _forbidden(config) or not (named or config.exists()):
        try:
            with Client(status_socket(run_dir), answer_s=ANSWER_S) as client:
                return [Finding.of(one) for one in client.call("doctor")["findings"]]
        except GatewayError:
            pass  # what is wrong with asking is the first that is found below
    return judge(gather(config, run_dir, user, watch_s))


def judge(facts: Facts) -> list[Finding]:
    """The causes among what every check says of the facts."""
    return causes([finding for check in CHECKS for finding in check(facts)])


def gather(config: Path, run_dir: Path, user: str, watch_s: float) -> Facts:
    """The facts; whatever part of it is broken, the others are looked at. Blocks for `PROBE_S` and more."""
    forbidden = _forbidden(config)
    found, problems, missing = (None, (), ("", "")) if forbidden else _read(config)
    service, seen, why = _ask(run_dir, watch_s)
    facts = Facts(config, service, why, problems, missing, found, forbidden=forbidden)
    if seen:
        return replace(facts, seen=seen, holders=_holders(_ports_down(seen), seen["pid"]))
    if found is None:
        return facts
    stopped = service is Service.STOPPED
    seen, seen_by = _probe(plan(found.config, ports=stopped, brokers=True), user)
    store = _store(found.config.buffer.path) if stopped else ""
    return replace(facts, seen=seen, seen_by=seen_by, holders=_holders(_taken(seen), 0), store=store)


def facts_inside(config: Path, seen: dict[str, Any]) -> Facts:
    """The facts, where the agent itself asks: `seen` is what it examined. Blocks."""
    found, problems, missing = _read(config)
    holding = _holders(_ports_down(seen), seen["pid"])
    return Facts(config, Service.RUNS, "", problems, missing, found, seen=seen, holders=holding)


def _forbidden(config: Path) -> bool:
    """Whether there may be a configuration, and this user may not read it."""
    try:
        config.open("rb").close()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _read(config: Path) -> tuple[Installation | None, tuple[Problem, ...], tuple[str, str]]:
    try:
        found = installation.read(config)
    except ConfigErrors as errors:
        return None, tuple(errors.problems), ("", "")
    try:
        installation.keys(found.config)
    except SetupFailed as error:
        return found, (), (str(error), error.remedy)
    return found, (), ("", "")


def _ask(run_dir: Path, watch_s: float) -> tuple[Service, dict[str, Any], str]:
    try:
        client = Client(status_socket(run_dir), answer_s=ANSWER_S)
    except NotAllowed as error:
        return Service.DENIED, {}, str(error)
    except NotRunning as error:
        return Service.STOPPED, {}, str(error)
    with client:
        try:
            return Service.RUNS, client.call("examine", watch_s=watch_s), ""
        except GatewayError as error:
            return Service.STUCK, {}, str(error)


def _ports_down(seen: dict[str, Any]) -> dict[str, str]:
    down = [bus["id"] for bus in seen["status"]["buses"] if not bus["up"]]
    return {bus: seen["buses"][bus]["port"] for bus in down if seen["buses"][bus]["port"]}


def _taken(seen: dict[str, Any]) -> dict[str, str]:
    return {bus: found["path"] for bus, found in seen["ports"].items() if found["error"] in ("EAGAIN", "EBUSY")}


def _holders(paths: dict[str, str], but: int) -> dict[str, list[str]]:
    return {bus: holders(path, but) for bus, path in paths.items()}


def _probe(wanted: Plan, user: str) -> tuple[dict[str, Any], str]:
    """What the service would see: by a child of its user, where we may become it; else by ourselves."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return examine(wanted), "this user"
    if os.geteuid() != 0 or entry.pw_uid == 0:
        return examine(wanted), pwd.getpwuid(os.geteuid()).pw_name
    groups = os.getgrouplist(user, entry.pw_gid)
    words = [sys.executable, "-m", "gateway.doctor.probe"]
    try:
        done = subprocess.run(
            words, input=dump(wanted), capture_output=True, text=True, timeout=PROBE_S, check=True, cwd="/",
            user=entry.pw_uid, group=entry.pw_gid, extra_groups=groups,
        )  # fmt: skip
        seen: dict[str, Any] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):  # that user cannot run our interpreter
        return examine(wanted), "root"
    return seen, user


def _store(path: Path) -> str:
    """What is wrong with the file of the buffer; "" when nothing is, or there is none."""
    if not path.exists():
        return ""
    deadline = time.monotonic() + LOOK_S
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1.0)) as db:
            db.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            said = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError:  # interrupted after LOOK_S, or not ours to open: nothing is known
        return ""
    except sqlite3.DatabaseError as error:
        return f"{path}: {error}"
    return "" if said == "ok" else f"{path}: {said.splitlines()[-1]}"
