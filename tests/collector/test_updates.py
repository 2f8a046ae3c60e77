"""`lamppost-collector update sign`: of real packages, made by dpkg-deb."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from buffer import update
from buffer.keyring import FOREVER, Keyring, RingKey
from buffer.keys import SigningKey
from buffer.update import Manifest
from collector.cli import cli
from collector.errors import FileFault

CONTROL = "Package: {}\nVersion: 1.2~rc1\nArchitecture: arm64\nMaintainer: x <x@y>\nDescription: z\n Version: 9\n"


@pytest.fixture
def deb(tmp_path: Path, program: Callable[[str, str], str]) -> Callable[..., Path]:
    tool = program("dpkg-deb", "dpkg")

    def make(name: str = "lamppost", packed: str = "xz") -> Path:
        tree = tmp_path / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(CONTROL.format(name))
        made = tmp_path / f"{name}.deb"
        words = [tool, "--root-owner-group", f"-Z{packed}", "-b", str(tree), str(made)]
        subprocess.run(words, check=True, capture_output=True)
        return made

    return make


def sign(package: Path, key: Path, *more: str) -> Result:
    words = ["update", "sign", str(package), "--key", str(key), "--json", *more]
    return CliRunner().invoke(cli, words, standalone_mode=False)


@pytest.mark.parametrize("packed", ["xz", "gzip", "none"])
def test_an_update_says_what_its_package_says(deb: Callable[..., Path], tmp_path: Path, packed: str) -> None:
    package, key = deb(packed=packed), SigningKey.create(tmp_path / "key")
    row = json.loads(sign(package, tmp_path / "key", "--floor", "1.0").stdout)
    assert (row["version"], row["architecture"], row["floor"]) == ("1.2~rc1", "arm64", "1.0")
    ring = Keyring(1, 0, (RingKey("b", "update", key.public(role="update").raw, (("*",),), FOREVER),))
    with Path(row["file"]).open("rb") as source:
        manifest, _ = Manifest.read(update.read_manifest(source), ring, 1, "s", "g")
        assert b"".join(update.pieces(source, manifest)) == package.read_bytes()


def test_another_package_or_no_package_is_not_signed(deb: Callable[..., Path], tmp_path: Path) -> None:
    SigningKey.create(tmp_path / "key")
    other = sign(deb("mc"), tmp_path / "key")
    assert isinstance(other.exception, FileFault)
    assert "the package mc, not lamppost" in str(other.exception)
    for data in (b"", b"x" * 200, b"!<arch>\n" + b"control.tar.xz/ ".ljust(48) + b"99999999999`\n"):
        (tmp_path / "no.deb").write_bytes(data)
        assert isinstance(sign(tmp_path / "no.deb", tmp_path / "key").exception, FileFault)
    assert not list(tmp_path.glob("*.update"))
