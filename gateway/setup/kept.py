"""The last configuration that checked, copied beside the state: what runs when the one in /etc has mistakes."""

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

from config import ConfigErrors
from gateway.errors import SetupFailed
from gateway.files import save
from gateway.setup import installation
from gateway.setup.installation import LOCAL_PROFILES, Installation, Keys

log = logging.getLogger(__name__)

MAIN, CONF_D, PROFILES = "main.toml", "conf.d", "profiles"
MAX_BYTES = 32 << 20
"""Of all files together: a card is not filled with copies, and no honest installation comes near."""


def folder() -> Path | None:
    """Where the copy is: in the service's $STATE_DIRECTORY (systemd.exec(5)); None for an agent started by hand."""
    state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(state) / "configuration" if state else None


def read(main: Path, copy: Path | None) -> tuple[Installation, Keys]:
    """What the agent runs: the installation of `main`, or the last one that checked, which then says why in `wrong`.

    Raises `ConfigErrors` or `SetupFailed` of `main` when there is no other.
    """
    try:
        found = installation.read(main)
        keys = installation.keys(found.config)
    except (ConfigErrors, SetupFailed) as error:
        last = None if copy is None else _last(main, copy)
        if last is None:
            raise
        found, keys = last
        return replace(found, wrong=tuple(str(error).splitlines())), keys
    if copy is not None:
        keep(main, copy)
    return found, keys


def keep(main: Path, copy: Path, profiles: Path = LOCAL_PROFILES) -> None:
    """Copy the files of an installation that checks, if they are not what is there; a disk that refuses is logged."""
    try:
        files = _files(main, profiles)
        if files == _kept(copy):
            return
        if sum(map(len, files.values())) > MAX_BYTES:
            log.warning("the configuration is larger than %d bytes: no copy is kept of it", MAX_BYTES)
            return
        _replace(copy, files)
    except OSError as error:
        log.warning("no copy of the configuration is kept: %s", error)


def _last(main: Path, copy: Path) -> tuple[Installation, Keys] | None:
    """What was kept, if it still is what an agent can run."""
    for place in (copy, _old(copy)):
        if not (place / MAIN).is_file():
            continue
        try:
            found = installation.read_copy(place / MAIN, place / CONF_D, place / PROFILES, main)
            return found, installation.keys(found.config)
        except (ConfigErrors, SetupFailed) as error:  # a newer agent may be stricter; told with those of the new files
            log.warning("the last configuration that checked does not any more: %s", error)
    return None


def _files(main: Path, profiles: Path) -> dict[str, bytes]:
    """Each file by its name in a copy."""
    found = {MAIN: main.read_bytes()}
    for name, place in ((CONF_D, main.parent / CONF_D), (PROFILES, profiles)):
        found.update({f"{name}/{file.name}": file.read_bytes() for file in place.glob("[!.]*.toml")})
    return found


def _kept(copy: Path) -> dict[str, bytes]:
    return {str(file.relative_to(copy)): file.read_bytes() for file in copy.rglob("*.toml")}


def _replace(copy: Path, files: dict[str, bytes]) -> None:
    """One of the two folders is whole at every moment."""
    fresh = copy.with_name(copy.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    for name, data in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path, data)
    shutil.rmtree(_old(copy), ignore_errors=True)
    if copy.exists():
        copy.replace(_old(copy))
    fresh.replace(copy)
    shutil.rmtree(_old(copy), ignore_errors=True)


def _old(copy: Path) -> Path:
    return copy.with_name(copy.name + ".old")
