"""Key files and public keys, good and bad."""

import hashlib
import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from buffer.errors import KeyFileError, SignatureError
from buffer.keys import PublicKey, SigningKey

# RFC 8032, 7.1, test 3: secret is that of no key here; public key, message, signature
PUBLIC_3 = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
MESSAGE_3 = "af82"
SIGNATURE_3 = (
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)


def public_3() -> PublicKey:
    raw = bytes.fromhex(PUBLIC_3)
    return PublicKey("gw-1", "nord", "batch", hashlib.sha256(raw).digest()[:8], raw)


def test_signature_of_rfc_8032() -> None:
    public_3().verify(bytes.fromhex(SIGNATURE_3), bytes.fromhex(MESSAGE_3))
    with pytest.raises(SignatureError, match="altered"):
        public_3().verify(bytes.fromhex(SIGNATURE_3), b"\xaf\x83")


def test_created_key_is_private_and_loads(tmp_path: Path) -> None:
    made = SigningKey.create(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert (tmp_path / "key").read_text().startswith("-----BEGIN PRIVATE KEY-----")
    loaded = SigningKey.load(tmp_path / "key")
    assert (loaded.kid, loaded.sign(b"x")) == (made.kid, made.sign(b"x"))


def test_create_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("precious")
    with pytest.raises(KeyFileError, match="key: File exists"):
        SigningKey.create(tmp_path / "key")
    assert (tmp_path / "key").read_text() == "precious"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o444])
def test_a_key_that_others_read_is_refused(tmp_path: Path, mode: int) -> None:
    SigningKey.create(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(KeyFileError, match=f"{mode:04o} lets others in; remedy: chmod 600"):
        SigningKey.load(tmp_path / "key")


def test_a_systemd_credential_may_be_group_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SigningKey.create(tmp_path / "key")
    (tmp_path / "key").chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    SigningKey.load(tmp_path / "key")
    (tmp_path / "key").chmod(0o444)
    with pytest.raises(KeyFileError, match="lets others in"):
        SigningKey.load(tmp_path / "key")


def test_bad_private_files(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    locked = BestAvailableEncryption(b"secret")
    cases = {
        "missing": (None, "No such file"),
        "text": (b"hello", "not an unencrypted PKCS#8"),
        "large": (b"x" * 5000, "larger than 4096 bytes"),
        "curve": (other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "not an Ed25519 key"),
        "locked": (other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked), "not an unencrypted PKCS#8"),
    }
    for name, (content, message) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
            (tmp_path / name).chmod(0o600)
        with pytest.raises(KeyFileError, match=f"{name}: {message}"):
            SigningKey.load(tmp_path / name)
    with pytest.raises(KeyFileError, match="Is a directory"):
        SigningKey.load(tmp_path)


def test_public_key_is_one_line_and_comes_back(tmp_path: Path) -> None:
    text = public_3().to_json()
    assert "\n" not in text
    assert json.loads(text) == {
        "gateway": "gw-1",
        "site": "nord",
        "role": "batch",
        "kid": hashlib.sha256(bytes.fromhex(PUBLIC_3)).hexdigest()[:16],
        "public_key": PUBLIC_3,
    }
    (tmp_path / "public").write_text(text + "\n")
    assert PublicKey.load(tmp_path / "public") == PublicKey.from_json(text) == public_3()


def test_a_key_of_the_platform_names_no_gateway(key: SigningKey) -> None:
    assert PublicKey.from_json(key.public(role="acknowledge").to_json()).gateway == ""
    with pytest.raises(KeyFileError, match="gateway ''"):
        key.public(role="batch")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kid": "00" * 8}, "kid 0000000000000000 does not belong"),
        ({"kid": "zz"}, "kid of a public key is lower-case hex"),
        ({"kid": 5}, "kid of a public key is text, found 5"),
        ({"public_key": "00"}, "has 32 bytes, this one 1"),
        ({"role": "king"}, "unknown role 'king'"),
        ({"gateway": "GW"}, "gateway 'GW' is not"),
        ({"gateway": "a" * 33}, "is not 1 to 32"),
        ({"site": "../x"}, "site '../x' is not"),
        ({"extra": ""}, "with exactly gateway, site"),
    ],
)
def test_bad_public_keys(tmp_path: Path, change: dict[str, object], message: str) -> None:
    text = json.dumps(json.loads(public_3().to_json()) | change)
    with pytest.raises(KeyFileError, match=message):
        PublicKey.from_json(text)
    (tmp_path / "public").write_text(text)
    with pytest.raises(KeyFileError, match=f"public: .*{message}"):
        PublicKey.load(tmp_path / "public")


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 3000, "x" * 5000, "nul"])
def test_noise_is_no_public_key(text: str) -> None:
    with pytest.raises(KeyFileError, match="public key"):
        PublicKey.from_json(text)


def test_binary_and_missing_public_files(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("binary", "missing"):
        with pytest.raises(KeyFileError, match=name):
            PublicKey.load(tmp_path / name)
