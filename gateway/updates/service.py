"""The root service: take what is in the spool, try it, keep it or put back what was; goes on where a cut stopped it."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from buffer import update
from buffer.errors import BufferFault
from buffer.update import Manifest
from gateway.errors import FileDamaged, GatewayError, UpdateFailed, UpdateRefused
from gateway.files import open_plain
from gateway.plain import plain
from gateway.updates import dpkg, health, trust
from gateway.updates.health import Verdict
from gateway.updates.places import AGENT, BACK, CUTS, INSTALL, LINK, Last, Places, State, Trial

TRIAL_S = 120.0
STEADY_S = 45.0
"""Longer than the watchdog of the unit (30 s): who hangs does not last so long."""
LINK_S = 600.0
"""Where nothing but the link is wanting: a broker's restart, a modem's; what is sampled meanwhile is only late."""
MAX_TRIES = 3
"""Starts of one trial: a version that brings the box down does not try for ever."""
COPY_S = 300.0
TREE = "/opt/lamppost"
SPARE = 64 << 20
"""Bytes beside what the new version takes: the package before, and dpkg's own files."""
REST_S, RETRY_S = 3.0, 60.0
"""After a refusal, and after what could not be finished: the unit starts at once while its file is there."""


def main() -> int:
    """0, or 1 where it has to be tried again."""
    places = Places()
    try:
        if places.trial() is None and not begin(places):
            time.sleep(REST_S)
            return 0
        if sys.prefix != str(places.judge):  # dpkg is about to replace what this process imports from
            python = str(places.judge / "bin" / "python3")
            os.execv(python, [python, "-I", "-m", "gateway.updates"])  # noqa: S606
        code = resume(places)
    except (GatewayError, OSError, subprocess.SubprocessError) as error:  # a full disk: it may pass
        _say(str(error))
        code = 1
    if code:
        time.sleep(RETRY_S)
    return code


def begin(places: Places) -> bool:
    """Take the update of the spool; whether a trial is to be made of it."""
    version = ""
    try:
        source = _spooled(places)
        if source is None:
            _forget(places)
            return False
        with source:
            message = update.read_manifest(source)
            version = Manifest.peek(message).version
            manifest = _admitted(message, places)
            _copy(source, manifest, places)
        if dpkg.fields(places.new) != (dpkg.PACKAGE, manifest.version):
            raise UpdateRefused("the package is not the one that the manifest names")
        _prepare(manifest, places)
    except (BufferFault, UpdateRefused, UpdateFailed, FileDamaged, OSError, subprocess.SubprocessError) as error:
        _clear(places)
        _tell(places, version, "refused", str(error))
        return False
    return True


def _spooled(places: Places) -> BinaryIO | None:
    """The file of the spool, which is gone from there: whoever may write to the spool changes its name no more."""
    _remove(places.taken)
    try:
        places.incoming.replace(places.taken)
    except FileNotFoundError:
        return None
    try:
        return open_plain(places.taken)
    except OSError as error:
        raise UpdateRefused(f"what is in the spool cannot be read: {error.strerror}") from error
    finally:
        _remove(places.taken)


def _forget(places: Places) -> None:
    """Clear away what a cut left of an update before its trial; it has to be handed in again."""
    if places.new.exists():
        _clear(places)
        _tell(places, "", "refused", "it was cut off before its trial: hand it in again")
    _clear(places)


def _remove(path: Path) -> None:
    """Whatever it is, and however deep: an operator may put a folder there."""
    subprocess.run(["rm", "-rf", "--", str(path)], check=False, timeout=COPY_S)


def _admitted(message: bytes, places: Places) -> Manifest:
    """Verified, and newer than what is here; the number of the keyring that proved it is kept."""
    where, state = trust.here(), places.state()
    ring = trust.keyring(where, trust.authority(), state.keyring)
    manifest = trust.verify(message, where, ring, time.time_ns() // 1_000_000)
    places.keep(replace(state, keyring=ring.number))
    check(manifest, dpkg.state()[0], dpkg.architecture(), state.floor, state.bad)
    return manifest


def check(manifest: Manifest, installed: str, architecture: str, floor: str, bad: tuple[str, ...]) -> None:
    """Whether a verified manifest may be tried here; raises `UpdateRefused`."""
    version = manifest.version
    if manifest.architecture != architecture:
        raise UpdateRefused(f"{version} is for {manifest.architecture}, and this is {architecture}")
    if not dpkg.older(installed, version):
        raise UpdateRefused(f"{version} is not newer than {installed}, which is installed")
    if dpkg.older(version, manifest.floor):
        raise UpdateRefused(f"{version} is below its own floor, {manifest.floor}")
    if floor and dpkg.older(version, floor):
        raise UpdateRefused(f"{version} is below the floor, {floor}")
    if version in bad:
        raise UpdateRefused(f"{version} was tried here and did no good")


def _copy(source: BinaryIO, manifest: Manifest, places: Places) -> None:
    with places.new.open("wb") as target:
        for piece in update.pieces(source, manifest):
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())


def _prepare(manifest: Manifest, places: Places) -> None:
    """All that a way back needs, on the disk; the trial's own file last."""
    previous, whole = dpkg.state()
    if not whole:
        raise UpdateRefused("the installed package is not whole", "sudo dpkg --configure -a")
    _room(places)
    dpkg.repack(places.previous)
    shutil.rmtree(places.judge, ignore_errors=True)
    for words in (["cp", "-a", "--link", TREE, str(places.judge)], ["cp", "-a", TREE, str(places.judge)]):
        if subprocess.run(words, capture_output=True, check=False, timeout=COPY_S).returncode == 0:
            break
        shutil.rmtree(places.judge, ignore_errors=True)
    else:
        raise UpdateFailed("no copy of the installed version could be made: is the disk full?")
    os.sync()
    before = health.look().before
    again = manifest.version in places.state().doubted
    places.keep(Trial(manifest.version, previous, manifest.floor, manifest.sha256.hex(), before, again=again))


def _room(places: Places) -> None:
    """Raise `UpdateRefused` where the disk would be full before the new version is in place."""
    need = dpkg.installed_bytes(places.new) + SPARE
    for folder in (str(places.folder), TREE):
        free = shutil.disk_usage(folder).free
        if free < need:
            raise UpdateRefused(f"{folder}: {free >> 20} MiB are free, and {need >> 20} are needed")


def resume(places: Places, judge: Callable[..., Verdict] = health.judge) -> int:
    """Bring the trial that is on the disk to its end, whatever a cut left."""
    trial = places.trial()
    if trial is None:
        return 0
    if trial.phase != BACK:
        trial = replace(trial, tries=trial.tries + 1)
        wrong, cause = _try(trial, places, judge)
        if not wrong:
            _finish(places, trial, "installed", "")
            return 0
        trial = replace(trial, phase=BACK, reason=wrong, cause=cause)
        places.new.unlink(missing_ok=True)  # nobody needs it now, and the disk may be full
        places.keep(trial)
        _say(f"{trial.version} did no good: {wrong}; {trial.previous} is put back")
    return _back(trial, places)


def _try(trial: Trial, places: Places, judge: Callable[..., Verdict]) -> tuple[str, str]:
    """Install and judge: what is wrong, "" when nothing is, and the cause."""
    if trial.tries > MAX_TRIES:
        return f"its trial was cut off {MAX_TRIES} times", CUTS
    try:
        places.keep(trial)
        _bring(trial.version, places.new, trial.sha256)
    except (UpdateFailed, OSError) as error:
        return str(error), INSTALL
    if trial.before.active:
        health.ensure_started()
    seconds = (_seconds("TRIAL", TRIAL_S), _seconds("LINK", LINK_S), _seconds("STEADY", STEADY_S))
    found = judge(trial.before, *seconds)
    return found.wrong, LINK if found.link else AGENT


def _bring(version: str, deb: Path, sha256: str = "") -> None:
    """Have a version installed as a whole, after a cut in dpkg too."""
    if dpkg.state() != (version, True):
        dpkg.configure()
    if dpkg.state() != (version, True):
        if sha256 and _hash(deb) != sha256:
            raise UpdateFailed("the new package changed on the disk")
        dpkg.install(deb)


def _back(trial: Trial, places: Places) -> int:
    try:
        _bring(trial.previous, places.previous)
    except (UpdateFailed, OSError) as error:  # tried again after a while, and at boot
        _tell(places, trial.version, "failed", f"{trial.reason}; and {trial.previous} could not be put back: {error}")
        return 1
    if trial.before.active:
        health.ensure_started()
    status, reason = _judged(trial)
    _finish(places, trial, status, reason)
    return 0


def _judged(trial: Trial) -> tuple[str, str]:
    """The status of a version that went back, and why.

    Where only the link was wanting, the version before is put to the same test: what it cannot do either says nothing.
    """
    if trial.cause == LINK and health.links(_seconds("TRIAL", TRIAL_S)):
        return "taken-back", f"{trial.reason}; {trial.previous} does"
    if trial.cause == LINK:
        return "untested", f"{trial.reason}; nor does {trial.previous}"
    return "untested" if trial.cause == INSTALL else "taken-back", trial.reason


def _marked(state: State, trial: Trial, status: str) -> State:
    """What is remembered of the version: what may come from outside condemns it the second time only."""
    if status == "installed":
        return replace(state, floor=max_version(state.floor, trial.floor))
    if status == "untested":
        return state
    return state.marked(trial.version) if trial.again or trial.cause == AGENT else state.doubting(trial.version)


def _finish(places: Places, trial: Trial, status: str, reason: str) -> None:
    places.new.unlink(missing_ok=True)  # first: the disk may be full
    places.keep(_marked(places.state(), trial, status))
    _tell(places, trial.version, status, reason)
    places.trial_file.unlink()
    _clear(places)


def max_version(one: str, other: str) -> str:
    """The newer of two versions; an empty one is older than all."""
    return other if not one or dpkg.older(one, other) else one


def _tell(places: Places, version: str, status: str, reason: str) -> None:
    _say(f"{version or 'the update'} {status}{': ' if reason else ''}{reason}")
    last = Last(version, status, plain(reason)[:1000], time.time_ns() // 1_000_000)
    try:
        places.keep(places.state().told(last))
    except FileDamaged as error:
        _say(str(error))


def _clear(places: Places) -> None:
    """Take away what an update needs; the path unit looks for the first and the last, should a cut come between."""
    places.new.unlink(missing_ok=True)
    for suffix in ("", ".new", ".stage"):
        _remove(places.previous.with_suffix(suffix or places.previous.suffix))
    shutil.rmtree(places.judge, ignore_errors=True)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seconds(name: str, otherwise: float) -> float:
    return float(os.environ.get(f"LAMPPOST_UPDATE_{name}_S") or otherwise)


def _say(line: str) -> None:
    sys.stderr.write(f"{plain(line)}\n")
