"""A Debian tree to boot, made once by debootstrap and kept in the user's cache; tests write to overlays of it."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

SUITE = "bookworm"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "udev", "python3", "procps", "mosquitto", "sudo", "iproute2", "ca-certificates",
)  # fmt: skip
"""A plain Debian 12 and what the tests talk to; what the package depends on comes with these."""
NEEDED = {
    "debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "unshare": "util-linux",
    "nsenter": "util-linux", "dpkg-deb": "dpkg",
}  # fmt: skip
MAKE_S = 900.0


class Unavailable(Exception):
    """This machine cannot boot a tree; the message says why."""


def base() -> Path:
    """The tree; made if it is not there, which needs root, Debian's mirror and some minutes. Raises `Unavailable`."""
    if os.geteuid() != 0:
        raise Unavailable("booting a tree needs root")
    for program, package in NEEDED.items():
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is not installed (Debian package {package})")
    tree = _cached("tree", PACKAGES, _make)
    done = subprocess.run(
        ["systemd-nspawn", "-q", "-D", str(tree), "--register=no", "--keep-unit", "--volatile=overlay", "/bin/true"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if done.returncode != 0:
        raise Unavailable(f"no container can be started here: {done.stderr.strip()[-300:]}")
    return tree


def arm64() -> Path:
    """A tree for arm64 that does not boot: enough to run `python3` in it by an emulator. Raises `Unavailable`."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise Unavailable("a tree needs root and debootstrap")
    return _cached("arm64", ("python3", "tzdata"), _unpack)


def _cached(kind: str, packages: Sequence[str], make: Callable[[Path, Sequence[str]], None]) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lamppost"
    name = hashlib.sha256(" ".join((SUITE, *packages)).encode()).hexdigest()[:12]
    tree = cache / f"{kind}-{SUITE}-{name}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process makes it
        if not tree.is_dir():
            fresh = tree.with_name(tree.name + ".new")
            shutil.rmtree(fresh, ignore_errors=True)
            make(fresh, packages)
            shutil.rmtree(fresh / "var/cache/apt/archives", ignore_errors=True)
            fresh.rename(tree)
    return tree


def _make(tree: Path, packages: Sequence[str]) -> None:
    _debootstrap(tree, packages)
    (tree / "etc/machine-id").write_text("uninitialized\n")  # each machine makes its own


def _unpack(tree: Path, packages: Sequence[str]) -> None:
    _debootstrap(tree, packages, "--foreign", "--arch=arm64")
    for deb in (tree / "var/cache/apt/archives").glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(deb), str(tree)], check=True)


def _debootstrap(tree: Path, packages: Sequence[str], *options: str) -> None:
    words = [
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(packages)}",
        *options,
        SUITE,
        str(tree),
        mirror(),
    ]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=MAKE_S)
    if done.returncode != 0:
        shutil.rmtree(tree, ignore_errors=True)
        raise Unavailable(f"debootstrap failed: {done.stdout.strip()[-300:]}")


def mirror() -> str:
    """The mirror that this machine's apt uses for the suite, else Debian's own."""
    words = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", f"Codename: {SUITE}"]
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split() if _apt() else []
    return next((site for site in found if site.endswith("/debian")), "http://deb.debian.org/debian")


def _apt() -> bool:
    return shutil.which("apt-get") is not None
