"""dpkg(1), as far as updates need it; each call is bounded in time and raises `UpdateFailed` with what dpkg said."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from gateway.errors import UpdateFailed

PACKAGE = "lamppost"
INFO = Path("/var/lib/dpkg/info")
SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "conffiles", "md5sums")
SHORT_S = 60.0
INSTALL_S = 240.0
"""A slow card and a service that does not start within its 90 s."""
PACK_S = 300.0
LOCKED = "lock"
WAIT_S, WAITS = 5.0, 24
"""While apt has dpkg's lock: two minutes."""
FORCE = "--force-confdef,confold,downgrade"
ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}
OWN_FIELDS = ("Status:", "Conffiles:", "Config-Version:")


def state() -> tuple[str, bool]:
    """The version that dpkg knows, and whether all of it is installed and configured."""
    said = _run("dpkg-query", "-W", "-f=${Version}\t${db:Status-Status}\t${db:Status-Eflag}", PACKAGE)
    version, status, flag = said.split("\t")
    return version, (status, flag) == ("installed", "ok")


def architecture() -> str:
    """Of this machine."""
    return _run("dpkg", "--print-architecture").strip()


def fields(deb: Path) -> tuple[str, str]:
    """Package and version of a package file."""
    package, version = (_run("dpkg-deb", "-f", str(deb), name).strip() for name in ("Package", "Version"))
    return package, version


def installed_bytes(deb: Path) -> int:
    """What its files take on the disk, as it says itself (deb-substvars(5), in KiB)."""
    said = _run("dpkg-deb", "-f", str(deb), "Installed-Size").strip()
    return int(said) << 10 if said.isascii() and said.isdigit() else 0


def older(one: str, other: str) -> bool:
    """Whether a version comes before another (deb-version(7)); any does after an empty one.

    Raises `UpdateFailed` for what is no version: "not older" would open what a floor closes.
    """
    words = ["dpkg", "--compare-versions", one, "lt", other]
    code = subprocess.run(words, check=False, timeout=SHORT_S, env={**os.environ, **ENV}).returncode
    if code not in (0, 1):
        raise UpdateFailed(f"dpkg cannot compare {one!r} and {other!r}")
    return code == 0


def configure() -> None:
    """Go on where a cut stopped; what cannot be configured is left to `install`."""
    with suppress(UpdateFailed):
        _run("dpkg", FORCE, "--configure", "-a", seconds=INSTALL_S)


def install(deb: Path) -> None:
    """Unpack and configure; the package's own scripts restart what runs."""
    for _ in range(WAITS):
        try:
            _run("dpkg", FORCE, "-i", str(deb), seconds=INSTALL_S)
        except UpdateFailed as error:
            if LOCKED not in str(error):
                raise
        else:
            return
        time.sleep(WAIT_S)
    raise UpdateFailed("another program keeps dpkg locked")


def repack(target: Path, info: Path = INFO, root: Path = Path("/")) -> None:
    """Make a package of what is installed, as it is, scripts and the administrator's conffiles included."""
    stage, fresh = target.with_suffix(".stage"), target.with_suffix(".new")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(mode=0o755)
    try:
        listed = (info / f"{PACKAGE}.list").read_text().splitlines()
        _link((Path(line) for line in listed), root, stage)
        (stage / "DEBIAN").mkdir(mode=0o755)
        (stage / "DEBIAN" / "control").write_text("\n".join(_control()) + "\n")
        for name in SCRIPTS:
            script = info / f"{PACKAGE}.{name}"
            if script.exists():
                shutil.copy2(script, stage / "DEBIAN" / name)
        _run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", str(stage), str(fresh), seconds=PACK_S)
        sync(fresh)
        fresh.replace(target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def sync(path: Path) -> None:
    """Have it on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _link(paths: Iterable[Path], root: Path, stage: Path) -> None:
    """The same tree below `stage`; a file that dpkg replaces later stays here what it is."""
    for path in paths:
        source, copy = root / path.relative_to("/"), stage / path.relative_to("/")
        if source.is_symlink():
            copy.symlink_to(source.readlink())
        elif source.is_dir():
            copy.mkdir(mode=0o755, exist_ok=True)
        elif source.exists():
            try:
                copy.hardlink_to(source)
            except OSError:  # another file system, or one without links
                shutil.copy2(source, copy)


def _control() -> Iterator[str]:
    """The control file, without what dpkg adds for itself."""
    skip = False
    for line in _run("dpkg-query", "-s", PACKAGE).splitlines():
        if not line.startswith(" "):
            skip = line.startswith(OWN_FIELDS)
        if line and not skip:
            yield line


def _run(*words: str, seconds: float = SHORT_S) -> str:
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            timeout=seconds, env={**os.environ, **ENV},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UpdateFailed(f"{words[0]}: {error}") from error
    if done.returncode:
        raise UpdateFailed(f"{words[0]} says: {(done.stderr.strip() or done.stdout.strip())[-500:]}")
    return done.stdout
