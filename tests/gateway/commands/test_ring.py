"""The numbers of keyrings: never back, whatever becomes of the file."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer import floors
from buffer.errors import NotAllowed
from buffer.keyring import Keyring, RingKey
from buffer.keys import SigningKey
from buffer.store import Store
from gateway.commands.ring import Ring
from tests.gateway.support import GATEWAY, KEY, STORE_BYTES

AUTHORITY, OTHER, ANNA = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(3))
PUBLIC = AUTHORITY.public("", "", "authority")


def signed(number: int, authority: SigningKey = AUTHORITY, ends: int = 1 << 40) -> bytes:
    return Keyring(number, 0, (RingKey("anna", "command", ANNA.public("", "", "command").raw, ends_ms=ends),)).sign(
        authority
    )


@pytest.mark.parametrize("lost", ["removed", "an older one", "nonsense"])
async def test_a_lost_file_lets_no_lower_number_in(tmp_path: Path, lost: str) -> None:
    file = tmp_path / "keyring.cose"
    ring = Ring(file, PUBLIC)
    ring.load(0)
    for number in (3, 7):
        found = ring.verify(signed(number))
        assert found is not None
        assert await ring.take(signed(number), found)
    if lost == "removed":
        await asyncio.to_thread(file.unlink)
    else:
        await asyncio.to_thread(file.write_bytes, signed(3) if lost == "an older one" else b"nonsense")
    again = Ring(file, PUBLIC)
    await asyncio.to_thread(again.load, 7)
    assert again.keyring is None
    with pytest.raises(NotAllowed, match="number 6 came, 7 was here"):
        again.verify(signed(6))
    found = again.verify(signed(7))
    assert found is not None
    assert await again.take(signed(7), found)


def test_the_store_remembers_the_highest_number_of_each_authority(tmp_path: Path) -> None:
    path = tmp_path / "buffer.db"
    name, other = floors.keyring(AUTHORITY.kid), floors.keyring(OTHER.kid)
    store = Store.open(path, GATEWAY, KEY, bytes(16), size_limit=STORE_BYTES)
    for number in (7, 3, 5):
        store.change(partial(floors.lift, name=name, number=number))
    store.close()
    store = Store.open(path, GATEWAY, KEY, bytes(16), size_limit=STORE_BYTES)
    assert store.ask(lambda connection: floors.floor(connection, name)) == 7
    assert store.ask(lambda connection: floors.floor(connection, other)) == 0
    store.close()
