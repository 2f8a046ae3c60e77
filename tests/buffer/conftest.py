"""Keys, stores and blocks for the tests of `buffer`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer.catalogue import SeriesDefinition
from buffer.header import Clock, ClockState
from buffer.keys import PublicKey, SigningKey
from buffer.store import Store

GATEWAY = "gw-0017"
BOOT = bytes(range(16))
OTHER_BOOT = bytes(range(16, 32))
CLOCK = Clock(BOOT, 1_700_000_000_000, ClockState.SYNCHRONIZED)
SIZE = 8_000_000
SERIES = [SeriesDefinition("meter1", "voltage", "V", "float32"), SeriesDefinition("meter1", "energy", "kWh", "uint32")]

Open = Callable[..., Store]


@pytest.fixture(scope="session")
def key() -> SigningKey:
    """The gateway's batch key, of the secret of RFC 8032, 7.1, test 1."""
    secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    return SigningKey(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)))


@pytest.fixture(scope="session")
def public(key: SigningKey) -> PublicKey:
    """Its public half."""
    return key.public(GATEWAY, "nord", "batch")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "buffer.db"


@pytest.fixture
def open_store(path: Path, key: SigningKey) -> Iterator[Open]:
    """Opens the store at `path`; closes at the end what is still open."""
    opened: list[Store] = []

    def open_(*, boot: bytes = BOOT, now: int = 0, size: int = SIZE, gateway: str = GATEWAY) -> Store:
        store = Store.open(path, gateway, key, boot, size_limit=size, now_ms=lambda: now)
        opened.append(store)
        return store

    yield open_
    for store in opened:
        store._release()


@pytest.fixture
def store(open_store: Open) -> Store:
    """A new store with two series."""
    store = open_store()
    store.assign(SERIES)
    return store
