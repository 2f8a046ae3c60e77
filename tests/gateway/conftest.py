"""Fixtures of the tests of `gateway`."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A folder with a short path: a socket's has at most 107 bytes, unix(7)."""
    folder = Path(tempfile.mkdtemp(prefix="lamppost-"))
    yield folder
    shutil.rmtree(folder)
