"""The package, the tree, and machines made of both. Only `make boots` runs these: they take minutes."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.boots.machine import Machine
from tests.boots.tree import Unavailable, base
from tests.conftest import ROOT

DEVICE = ROOT / "tests" / "boots" / "device.py"


@pytest.fixture(scope="session")
def deb() -> Path:
    """The package under test."""
    path = os.environ.get("LAMPPOST_DEB", "")
    if not path:
        pytest.skip("`make boots` builds the package and runs these")
    return Path(path).resolve()


@pytest.fixture(scope="session")
def tree(deb: Path) -> Path:
    """Debian as it comes."""
    try:
        return base()
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def installed(tree: Path, deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What installing the package adds to the tree; made once for all processes that share the tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "installed"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            _install(folder, tree, deb)
            (folder / "done").touch()
    return folder / "upper"


def _install(folder: Path, tree: Path, deb: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with Machine(folder, tree) as box:
        box.put(f"/root/{deb.name}", deb.read_bytes())
        box.put("/opt/device.py", DEVICE.read_text())
        box.boot()
        box.run(f"apt-get install --yes ./{deb.name}")
        box.off()
    shutil.rmtree(folder / "upper/var/log/journal", ignore_errors=True)
    (folder / "upper/root" / deb.name).unlink()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """`machine(*trees, options=())`: one that is off, ended with the test."""
    with ExitStack() as stack:
        yield lambda *trees, options=(): stack.enter_context(Machine(tmp_path / "box", *trees, options=options))


@pytest.fixture
def box(machine: Callable[..., Machine], installed: Path, tree: Path) -> Machine:
    """One that has the package and is off."""
    return machine(installed, tree)
