"""Updates of a small package by the real dpkg in a root of its own, cut off before each thing that the service does.

`python -m tests.gateway.update_cuts FOLDER cut|full good|bad EACH` prints a line for each moment, or each EACHth: the
version that is there in the end, and what became of the update. It is a process of its own, for it forks.
"""

import errno
import hashlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer import update
from buffer.keyring import Keyring, RingKey
from buffer.keys import SigningKey
from buffer.update import Manifest
from gateway.updates import dpkg, health, service, trust
from gateway.updates.health import Look
from gateway.updates.places import Places

AUTHORITY, SIGNER = (SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([at]) * 32)) for at in (1, 2))
OLD, NEW = "1.0", "2.0"
CHANGES = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.link", "os.symlink", "shutil.rmtree", "subprocess.Popen"}
)
TURNS = 4
MOMENTS = 90
"""A few more than an update has that is taken back."""


def package(folder: Path, version: str, code: int = 0) -> Path:
    """One whose command ends with `code` when it is asked for its version."""
    tree = folder / f"tree-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    control = {"Package": "lamppost", "Version": version, "Architecture": "all", "Installed-Size": "8"}
    control |= {"Maintainer": "Nobody <nobody@localhost>", "Description": "a test"}
    (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
    for name in ("bin/lamppost", "lib/one", "lib/two"):
        path = tree / "opt/lamppost" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n# {version}\nexit {code}\n")
        path.chmod(0o755)
    made = folder / f"{version}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree), str(made)], check=True, stdout=2)
    return made


def signed(deb: Path, version: str = NEW) -> bytes:
    """The update of a package."""
    data = deb.read_bytes()
    manifest = Manifest(version, dpkg.architecture(), len(data), hashlib.sha256(data).digest(), version, 1)
    file = io.BytesIO()
    update.write(file, manifest.sign(SIGNER), io.BytesIO(data))
    return file.getvalue()


def build(box: Path, new: Path, old: Path) -> None:
    """A box that has the old package, and the update of the new one in its spool."""
    for name in ("info", "updates", "triggers"):
        (box / "var/lib/dpkg" / name).mkdir(parents=True)
    (box / "var/lib/dpkg/status").touch()
    etc = box / "etc"
    etc.mkdir()
    (etc / "lamppost.toml").write_text(f'gateway = {{ id = "gw", site = "s" }}\nbuffer = {{ path = "{etc}/x.db" }}\n')
    (etc / trust.AUTHORITY).write_text(AUTHORITY.public(role="authority").to_json())
    ring = Keyring(1, 1, (RingKey("builder", "update", SIGNER.public(role="update").raw),))
    (etc / "keyring.cose").write_bytes(ring.sign(AUTHORITY))
    enter(box)
    dpkg.install(old)
    places = Places(box / "updates")
    places.incoming.parent.mkdir(parents=True)
    places.incoming.write_bytes(signed(new))


def enter(box: Path) -> Places:
    """Have dpkg and the service work in the box."""
    os.environ["DPKG_ROOT"] = str(box)
    service.TREE = str(box / "opt/lamppost")
    health.COMMAND = box / "opt/lamppost/bin/lamppost"
    health.look = lambda *_: Look(active=False)
    dpkg.repack = partial(REPACK, info=box / "var/lib/dpkg/info", root=box)
    trust.here, trust.authority = partial(HERE, box / "etc"), partial(PINNED, box / "etc")
    return Places(box / "updates")


REPACK, HERE, PINNED = dpkg.repack, trust.here, trust.authority


def turn(places: Places) -> None:
    """What a start of the service does."""
    if places.trial() is not None or service.begin(places):
        service.resume(places)


def stopper(at: int, full: bool) -> Callable[[str, tuple[object, ...]], None]:
    """An audit hook that ends the process at the change with that number, or lets no more reach the disk."""
    seen = count(1)

    def hook(event: str, args: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if not (writes or event in CHANGES) or next(seen) < at:
            return
        if not full:
            os._exit(9)
        if writes or event in ("os.mkdir", "os.link", "os.symlink"):
            raise OSError(errno.ENOSPC, "the disk is full")

    return hook


def stopped(places: Places, at: int, *, full: bool) -> bool:
    """Whether a turn of the service in a process of its own did not come to its end."""
    child = os.fork()
    if not child:
        sys.addaudithook(stopper(at, full))
        try:
            turn(places)
        except OSError:
            os._exit(9)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def settled(box: Path, places: Places) -> str:
    """Start the service until nothing is left to do; the version that is there as a whole, and what became of it."""
    for _ in range(TURNS):
        turn(places)
    version, whole = dpkg.state()
    files = {path.read_text().splitlines()[1] for path in (box / "opt/lamppost").rglob("*") if path.is_file()}
    left = {path.name for path in places.folder.iterdir()} - {"state.json.new", "trial.json.new"}
    assert (whole, files) == (True, {f"# {version}"}), (version, whole, files)
    assert left in ({"incoming", "state.json"}, {"incoming"}), left
    last = places.state().last
    return f"{version} {last.status if last else 'lost'}"


def main(folder: Path, how: str, kind: str, each: str) -> None:
    """Try each moment until the update comes to its end before it."""
    new, old = package(folder, NEW, int(kind == "bad")), package(folder, OLD)
    service.SPARE = 0
    build(folder / "made", new, old)
    for at in range(1, MOMENTS, int(each)):
        box = folder / f"box-{at}"
        shutil.copytree(folder / "made", box, symlinks=True)
        text = (box / "etc/lamppost.toml").read_text()
        (box / "etc/lamppost.toml").write_text(text.replace(str(folder / "made"), str(box)))
        places = enter(box)
        more = stopped(places, at, full=how == "full")
        sys.stdout.write(f"{at} {settled(box, places)}\n")
        shutil.rmtree(box)
        if not more and how == "cut":
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
