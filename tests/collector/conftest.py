"""Fixtures of the collector's tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.collector.maker import Bench, Gateway


@pytest.fixture
def gateway() -> Gateway:
    """A gateway with a key of its own."""
    return Gateway()


@pytest.fixture
def open_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """`open_bench(*gateways)`: a collector with an empty database."""
    with ExitStack() as stack:
        made = 0

        def make(*gateways: Gateway) -> Bench:
            nonlocal made
            made += 1
            bench = Bench(tmp_path / f"collector-{made}.db", *gateways)
            stack.callback(bench.close)
            return bench

        yield make


@pytest.fixture
def bench(open_bench: Callable[..., Bench], gateway: Gateway) -> Bench:
    """A collector that knows the gateway."""
    return open_bench(gateway)
