"""Configurations as they are signed."""

from dataclasses import replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buffer import cose
from buffer.command import MAX_LIFE_MS
from buffer.configuration import MAX_TEXT_BYTES, Configuration
from buffer.cose import Kind
from buffer.errors import BatchFormatError, SignatureError
from buffer.keyring import RingKey
from buffer.keys import SigningKey
from tests.buffer.support import GATEWAY

NOW = 1_800_000_000_000
TEXTS = (("lamppost.toml", "[buses]\n"), ("conf.d/street.toml", ""))
GOOD = Configuration(GATEWAY, bytes(16), 7, NOW, NOW + 60_000, bytes(range(32)), TEXTS, "cleo", "new meter")


@pytest.fixture(scope="module")
def cleo(key: SigningKey) -> RingKey:
    """The operator as the keyring has her."""
    return RingKey("cleo", "configure", key.public(role="configure").raw)


@given(st.text(max_size=500), st.integers(1, (1 << 63) - 1))
def test_it_comes_back(key: SigningKey, cleo: RingKey, text: str, number: int) -> None:
    made = replace(GOOD, number=number, texts=(("a.toml", text), ("conf.d/a.toml", text)))
    assert Configuration.read(cose.read(made.sign(key)), cleo) == made


def test_map_is_that_of_the_specification(key: SigningKey) -> None:
    assert cbor2.loads(cose.read(GOOD.sign(key)).payload) == {
        1: 1, 2: GATEWAY, 3: bytes(16), 4: 7, 5: NOW, 6: NOW + 60_000, 7: bytes(range(32)),
        8: [["lamppost.toml", "[buses]\n"], ["conf.d/street.toml", ""]], 9: "cleo", 10: "new meter",
    }  # fmt: skip


@pytest.mark.parametrize(
    "texts",
    [
        (), (("../a.toml", ""),), (("conf.d/a.toml", ""),), (("a.toml", ""), ("b.toml", "")), ((".toml", ""),),
        (("a.toml", ""), ("conf.d/../b.toml", "")), (("a.toml", ""), ("conf.d/b.toml", ""), ("conf.d/b.toml", "")),
        (("a.toml", "x" * MAX_TEXT_BYTES), ("conf.d/b.toml", "x")), (("a/b.toml", ""),), (("a.txt", ""),),
    ],
)  # fmt: skip
def test_names_and_sizes_are_bounded(key: SigningKey, texts: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(BatchFormatError):
        replace(GOOD, texts=texts).sign(key)


@pytest.mark.parametrize(
    "wrong",
    [{"number": 0}, {"base": b"x"}, {"expires_ms": NOW}, {"expires_ms": NOW + MAX_LIFE_MS + 1}, {"who": ""}],
)
def test_fields_are_checked_where_it_is_signed_and_read(
    key: SigningKey, cleo: RingKey, wrong: dict[str, object]
) -> None:
    with pytest.raises(BatchFormatError):
        replace(GOOD, **wrong).sign(key)  # type: ignore[arg-type]
    names = {"number": 4, "base": 7, "expires_ms": 6, "who": 9}
    items = cbor2.loads(cose.read(GOOD.sign(key)).payload) | {names[name]: value for name, value in wrong.items()}
    with pytest.raises(BatchFormatError):
        Configuration.read(cose.read(cose.sign(cbor2.dumps(items), Kind.CONFIGURATION, key)), cleo)


def test_no_other_role_and_no_other_kind(key: SigningKey, cleo: RingKey) -> None:
    with pytest.raises(SignatureError, match="role"):
        Configuration.read(cose.read(GOOD.sign(key)), replace(cleo, role="command"))
    payload = cose.read(GOOD.sign(key)).payload
    for kind in set(Kind) - {Kind.CONFIGURATION}:
        with pytest.raises(SignatureError):
            Configuration.read(cose.read(cose.sign(payload, kind, key)), cleo)
