"""The root service: take what is in the spool, try it, keep it or put back what was; goes on where a cut stopped it."""

import hashlib
import os
import shutil
import stat
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
from gateway.errors import FileDamaged, UpdateFailed, UpdateRefused
from gateway.plain import plain
from gateway.updates import dpkg, health, trust
from gateway.updates.places import BACK, Last, Places, Trial

TRIAL_S = 120.0
STEADY_S = 45.0
"""Longer than the watchdog of the unit (30 s): who hangs does not last so long."""
MAX_TRIES = 3
"""Starts of one trial: a version that brings the box down does not try for ever."""
COPY_S = 300.0
TREE = "/opt/lamppost"


def main() -> int:
    """0, or 1 where the version before could not be put back."""
    places = Places()
    if places.trial() is None and not begin(places):
        return 0
    if sys.prefix != str(places.judge):  # dpkg is about to replace what this process imports from
        python = str(places.judge / "bin" / "python3")
        os.execv(python, [python, "-I", "-m", "gateway.updates"])  # noqa: S606
    return resume(places)


def begin(places: Places) -> bool:
    """Take the update of the spool; whether a trial is to be made of it."""
    version = ""
    try:
        with _spooled(places) as source:
            message = update.read_manifest(source)
            version = Manifest.peek(message).version
            manifest = _admitted(message, places)
            _copy(source, manifest, places)
        if dpkg.fields(places.new) != (dpkg.PACKAGE, manifest.version):
            raise UpdateRefused("the package is not the one that the manifest names")
        _prepare(manifest, places)
    except FileNotFoundError:
        return False
    except (BufferFault, UpdateRefused, UpdateFailed, FileDamaged, OSError) as error:
        _tell(places, version, "refused", str(error))
        _clear(places)
        return False
    return True


def _spooled(places: Places) -> BinaryIO:
    """The file of the spool, which is gone from there: whoever may write to the spool changes it no more in place."""
    taken = places.folder / "taken"
    places.incoming.replace(taken)
    source = os.fdopen(os.open(taken, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    taken.unlink()
    if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
        source.close()
        raise UpdateRefused("what is in the spool is no file")
    return source


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
    places.keep(Trial(manifest.version, previous, manifest.floor, manifest.sha256.hex(), before))


def resume(places: Places, judge: Callable[..., str] = health.judge) -> int:
    """Bring the trial that is on the disk to its end, whatever a cut left."""
    trial = places.trial()
    if trial is None:
        return 0
    if trial.phase != BACK:
        trial = replace(trial, tries=trial.tries + 1)
        places.keep(trial)
        wrong = _try(trial, places, judge)
        if not wrong:
            _finish(places, trial, "installed", "")
            return 0
        trial = replace(trial, phase=BACK, reason=wrong)
        places.keep(trial)
        _say(f"{trial.version} did no good: {wrong}; {trial.previous} is put back")
    return _back(trial, places)


def _try(trial: Trial, places: Places, judge: Callable[..., str]) -> str:
    """Install and judge; "" when all is well."""
    if trial.tries > MAX_TRIES:
        return f"its trial was cut off {MAX_TRIES} times"
    try:
        _bring(trial.version, places.new, trial.sha256)
    except (UpdateFailed, OSError) as error:
        return str(error)
    if trial.before.active:
        health.ensure_started()
    return judge(trial.before, _seconds("TRIAL", TRIAL_S), _seconds("STEADY", STEADY_S))


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
    except (UpdateFailed, OSError) as error:  # tried again at the next boot
        _tell(places, trial.version, "failed", f"{trial.reason}; and {trial.previous} could not be put back: {error}")
        return 1
    if trial.before.active:
        health.ensure_started()
    _finish(places, trial, "taken-back", trial.reason)
    return 0


def _finish(places: Places, trial: Trial, status: str, reason: str) -> None:
    state = places.state()
    if status == "installed":
        places.keep(replace(state, floor=max_version(state.floor, trial.floor)))
    else:
        places.keep(state.marked(trial.version))
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
    for path in (places.new, places.previous):
        path.unlink(missing_ok=True)
    shutil.rmtree(places.judge, ignore_errors=True)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seconds(name: str, otherwise: float) -> float:
    return float(os.environ.get(f"LAMPPOST_UPDATE_{name}_S") or otherwise)


def _say(line: str) -> None:
    sys.stderr.write(f"{plain(line)}\n")
