"""Keys, stores and blocks for the tests of `buffer`."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer.keys import PublicKey, SigningKey
from buffer.migrate import ensure
from buffer.store import Store
from tests.buffer.support import BOOT, GATEWAY, SERIES, SIZE, Open


@pytest.fixture(scope="session")
def key() -> SigningKey:
    """The gateway's batch key, of the secret of RFC 8032, 7.1, test 1."""
    raw = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    return SigningKey(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(raw)))


@pytest.fixture(scope="session")
def public(key: SigningKey) -> PublicKey:
    """Its public half."""
    return key.public(GATEWAY, "nord", "batch")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store file that no life has used."""
    made = tmp_path_factory.mktemp("template") / "buffer.db"
    ensure(made)
    return made


@pytest.fixture
def path(tmp_path: Path, template: Path) -> Path:
    """Where the store is: a new file, so that no test waits for the process that makes one."""
    return Path(shutil.copy(template, tmp_path / "buffer.db"))


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
