"""What tests of every package share: real parts on ports and mounts of their own, and a watch over the event loop."""

import inspect
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Never

import blockbuster.blockbuster
import pytest
from blockbuster import BlockBuster, BlockingError
from hypothesis import settings

from tests import mosquitto as broker

ROOT = Path(__file__).parents[1]
PACKAGES = ("ext", "config", "drivers", "buffer", "gateway", "collector")

settings.register_profile("lamppost", deadline=None)  # a loaded machine is no finding; what must be quick is measured
settings.load_profile("lamppost")

# (blocking function, file that calls it, functions there, why it may): known cases in libraries, each with its reason
MAY_BLOCK: tuple[tuple[str, str, frozenset[str], str], ...] = (
    ("io.TextIOWrapper.write", "logging/__init__.py", frozenset({"emit"}), "pytest keeps a log file open: /dev/null"),
    ("io.BufferedWriter.write", "logging/__init__.py", frozenset({"flush"}), "the same"),
    ("os.stat", "gateway/clock.py", frozenset({"synchronized"}), "/run is memory, not a disk"),
)


# What opens pseudo-terminals, as far as a module's text shows: the name of one that is closed is the next one's, so an
# agent that outlives its own for a moment would take that of a test in another process.
PTYS = re.compile(
    r"\b(openpty|Cable|served_on_a_line|Stage|Cabinet|Speaker|simulated\.support)\b|\bline import .*\bLine\b|_pty\b"
    r'|"drivers\.simulated"(?!, "--no-mast", "--no-p1")|"demo", "--seconds"'
)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """The slow tests run last, or first where processes share the work: none is left alone with a long one at the end.

    Those on ptys share one process, which xdist is seen to have understood.
    """
    alone = not hasattr(config, "workerinput")
    items.sort(key=lambda item: (item.get_closest_marker("slow") is not None) is alone)
    for item in items:
        if _opens_ptys(item.path):
            item.add_marker(pytest.mark.xdist_group("ptys"))
    yield
    if getattr(config.option, "loadgroup", False):
        apart = [item for item in items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
        if apart:
            raise pytest.UsageError(f"pytest-xdist does not keep groups of tests together: {apart[0].nodeid}")


@cache
def _opens_ptys(module: Path) -> bool:
    return PTYS.search(module.read_text(encoding="utf-8")) is not None


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=broker.PATH)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian package {package}; see debian-packages.txt)")
    return found


@pytest.fixture
def program() -> Callable[[str, str], str]:
    """`program(name, Debian package)`: the path of an installed program; the test skips, with the reason, if none."""
    return _program


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free just now."""
    return broker.free_port()


@pytest.fixture
def shared() -> Path:
    """The folder `shared` beside the checkout; the test skips where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared is not here")
    return folder


@pytest.fixture
def make_mosquitto(tmp_path: Path) -> Iterator[Callable[..., broker.Mosquitto]]:
    """`make_mosquitto(*lines, port=None)`: a started broker with further configuration lines; ended with the test."""
    path = _program("mosquitto", "mosquitto")
    with ExitStack() as stack:

        def make(*lines: str, port: int | None = None) -> broker.Mosquitto:
            made = broker.Mosquitto(tmp_path, path, lines, port)
            stack.callback(made.kill)
            made.start()
            return made

        yield make


@pytest.fixture
def mosquitto(make_mosquitto: Callable[..., broker.Mosquitto]) -> broker.Mosquitto:
    """A started broker that lets anybody in."""
    return make_mosquitto()


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """`tmpfs(size)`: a file system of that many bytes, to be filled up; skips without the right to mount."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    with ExitStack() as stack:

        def mount(size: int) -> Path:
            folder = tmp_path / f"tmpfs-{size}"
            folder.mkdir()
            options = f"size={size},mode=0700"
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "lamppost-test", str(folder)],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
            stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
            return folder

        yield mount


@pytest.fixture(autouse=True)
def ptys_in_one_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that opens a pty without `PTYS` having seen that it does fails, where it opens it itself."""
    if not _opens_ptys(request.path):
        monkeypatch.setattr(os, "openpty", _not_seen)


def _not_seen() -> Never:
    pytest.fail("this opens a pty, which PTYS of tests/conftest.py does not see in the module's text")


class Watch:
    """Which calls of our code blocked the event loop."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def error(self, function: str) -> BlockingError:
        """What blockbuster raises for `function`; noted as well, for the code under test may catch it."""
        self.calls.append(function)
        return BlockingError(function)


@pytest.fixture(autouse=True)
def event_loop_watch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """An asynchronous test fails when code of ours calls something that blocks the event loop."""
    watch = Watch()
    if not inspect.iscoroutinefunction(getattr(request, "function", None)):
        yield watch
        return
    guard = BlockBuster([name for name in PACKAGES if find_spec(name) is not None])
    for function, file, callers, _ in MAY_BLOCK:
        guard.functions[function].can_block_in(file, callers)
    monkeypatch.setattr(blockbuster.blockbuster, "BlockingError", watch.error)
    guard.activate()
    try:
        yield watch
    finally:
        guard.deactivate()
    assert not watch.calls, f"the event loop was blocked by {', '.join(watch.calls)}"
