"""A driver in a distribution of its own, the one of docs/drivers.md, works like ours."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config import load
from drivers import registry
from drivers.base import PolledDriver
from drivers.conformance import Heard, check
from drivers.errors import BusError, NoAnswer
from drivers.setup import prepare
from tests.drivers.support import GATEWAY

ROOT = Path(__file__).parents[2]
PARTNER = Path(__file__).parent / "partner"
GUIDE = ROOT / "docs" / "drivers.md"
TEST = "test_acme.py"


def blocks() -> dict[str, str]:
    """The files that the guide shows, by name."""
    found = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found
    return dict(found)


def files() -> dict[str, str]:
    paths = (path for path in PARTNER.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(PARTNER)): path.read_text("utf-8") for path in paths}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the partner's distribution is installed by pip, with no network."""
    folder = tmp_path_factory.mktemp("partner")
    source = Path(shutil.copytree(PARTNER, folder / "source", ignore=shutil.ignore_patterns("__pycache__")))
    target = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    quiet = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", "PIP_NO_INPUT": "1"}
    done = subprocess.run(
        [*command, "--target", target, source], env=quiet, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("lamppost_acme", None)


def test_the_guide_shows_the_partners_files_as_they_are() -> None:
    shown = blocks()
    del shown[TEST]
    assert shown == files()


def test_it_is_found_by_its_name(installed: None) -> None:
    assert "acme" in registry.installed()
    assert "lamppost_acme" not in sys.modules
    assert registry.load("acme").__name__ == "AcmeDriver"


def test_without_it_the_name_is_unknown() -> None:
    assert "acme" not in registry.installed()


def test_it_conforms(installed: None) -> None:
    check(registry.load("acme"))


def test_its_own_test_runs(site: Path, tmp_path: Path) -> None:
    (tmp_path / TEST).write_text(blocks()[TEST])
    paths = os.pathsep.join([str(site), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TEST],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b9 passed", done.stdout)


@pytest.fixture
def driver(installed: None, tmp_path: Path, free_port: int) -> PolledDriver:
    file = tmp_path / "lamppost.toml"
    file.write_text(
        GATEWAY
        + f"""
[buses]
house = {{ driver = "acme", host = "127.0.0.1", port = {free_port} }}
[devices]
hall = {{ bus = "house", address = 4, profile = "acme-t1" }}
attic = {{ bus = "house", address = 9, profile = "acme-t1", every = "1s" }}
"""
    )
    folder = registry.load("acme").profiles
    assert folder is not None
    made = prepare(load(file, profiles=[folder]), registry.load)[0]
    assert isinstance(made, PolledDriver)
    return made


@asynccontextmanager
async def gateway(port: int) -> AsyncIterator[None]:
    """A gateway with a thermometer at address 4; each answer is followed by one that is too late."""

    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        while question := await reader.read(2):
            if question[1] == 4:
                writer.write(bytes([question[0] - 1 & 255]) + bytes(4) + question[:1] + bytes.fromhex("00e601c7"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for writer in open_now:
            writer.close()
            await writer.wait_closed()


async def test_it_reads_real_answers(driver: PolledDriver, free_port: int) -> None:
    hall, attic = driver.reads()
    heard = Heard(driver.setup)
    with pytest.raises(BusError):
        await driver.open()
    async with gateway(free_port):
        await driver.open()
        heard.scan(hall, await driver.read(hall))
        with pytest.raises(NoAnswer, match="attic says nothing"):
            await driver.read(attic)
        heard.scan(hall, await driver.read(hall))
        await driver.close()
    assert heard.samples == [["hall/temperature", "23", "good"], ["hall/humidity", "45.5", "good"]] * 2
    assert attic.every == 1000
