"""Fixtures of the collector's tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from collector.tables.database import Target
from tests import postgres
from tests.collector.maker import Bench, Gateway


@pytest.fixture
def gateway() -> Gateway:
    """A gateway with a key of its own."""
    return Gateway()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A PostgreSQL that writes to memory as good as: what survives a power cut is its own tests' business."""
    if (reason := postgres.why_not()) is not None:
        pytest.skip(reason)
    server = postgres.Server()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Which database; a test for one of them says so by `SQLITE` or `POSTGRESQL`."""
    return str(request.param)


@pytest.fixture
def new_database(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], Target]:
    """`new_database()`: a file that is not there yet, or the URL of an empty database."""
    if backend == "postgresql":
        server: postgres.Server = request.getfixturevalue("postgres_server")
        return server.database
    made = 0

    def make() -> Path:
        nonlocal made
        made += 1
        return tmp_path / f"collector-{made}.db"

    return make


@pytest.fixture
def open_bench(new_database: Callable[[], Target]) -> Iterator[Callable[..., Bench]]:
    """`open_bench(*gateways)`: a collector with an empty database."""
    with ExitStack() as stack:

        def make(*gateways: Gateway) -> Bench:
            bench = Bench(new_database(), *gateways)
            stack.callback(bench.close)
            return bench

        yield make


@pytest.fixture
def bench(open_bench: Callable[..., Bench], gateway: Gateway) -> Bench:
    """A collector that knows the gateway."""
    return open_bench(gateway)
