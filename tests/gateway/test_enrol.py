"""The gateway's side of enrolment against a platform that lies, and a folder whose owner is not root's friend."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buffer.enrolment import Answer, Request, Token
from buffer.errors import KeyFileError
from buffer.keys import SigningKey
from collector.identity.ca import CertificateAuthority
from gateway import files
from gateway.errors import EnrolmentFailed
from gateway.identity import enrol
from gateway.identity.enrol import Places


class Platform:
    """What answers in the place of the enrolment server; `lie` changes the answer."""

    def __init__(self, folder: Path) -> None:
        self.ca = CertificateAuthority.create(folder / "ca", "one")
        self.authority = SigningKey.create(folder / "authority.key").public(role="authority")
        self.lie: dict[str, Any] = {}
        self.name = "gw-1"

    def __call__(self, _url: str, _ca_hash: bytes, message: bytes) -> Answer:
        asked = Request.read(message)
        pem = self.ca.gateway(asked.csr, self.name, "nord").pem
        honest = Answer(self.name, "nord", pem, self.ca.pem, self.authority, ("mqtts://broker.example",))
        return replace(honest, **self.lie)


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    made = Platform(tmp_path)
    monkeypatch.setattr(enrol, "ask", made)
    return made


@pytest.fixture
def places(platform: Platform, tmp_path: Path) -> Places:
    """Those of a box that is known."""
    found = Places(tmp_path / "keys")
    found.folder.mkdir(mode=0o700)
    enrol.redeem(found, Token.make("https://enrol.example", platform.ca.fingerprint, "gw-1", "nord"))
    return found


def contents(places: Places) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in places.folder.iterdir()}


@pytest.mark.parametrize("verb", [enrol.renew, enrol.roll])
def test_a_renewal_changes_neither_the_pinned_key_nor_the_authority(
    platform: Platform, places: Places, tmp_path: Path, verb: Callable[[Places], Answer]
) -> None:
    """Who took the enrolment server, which is on-line, would command the fleet that pins a key kept off-line."""
    before = contents(places)
    platform.lie = {"authority": SigningKey.create(tmp_path / "thief.key").public(role="authority")}
    verb(places)
    after = contents(places)
    assert (after["authority.json"], after["ca.pem"]) == (before["authority.json"], before["ca.pem"])
    assert after["tls.pem"] != before["tls.pem"]
    platform.ca = CertificateAuthority.create(tmp_path / "other", "two")
    with pytest.raises(EnrolmentFailed, match="another authority"):
        verb(places)
    assert contents(places)["tls.pem"] == after["tls.pem"]


def test_an_answer_for_another_gateway_is_refused(platform: Platform, places: Places, tmp_path: Path) -> None:
    before = contents(places)
    platform.name = "gw-2"
    with pytest.raises(EnrolmentFailed, match="gw-2"):
        enrol.renew(places)
    assert contents(places) == before
    fresh = Places(tmp_path / "fresh")
    fresh.folder.mkdir()
    with pytest.raises(EnrolmentFailed, match="gw-2"):
        enrol.redeem(fresh, Token.make("https://enrol.example", platform.ca.fingerprint, "gw-1", "nord"))


def test_what_is_saved_goes_nowhere_else(tmp_path: Path) -> None:
    """Root saves into a folder of the agent's user, who may have put a link there before."""
    secret = tmp_path / "shadow"
    secret.write_text("root's own")
    (tmp_path / "ca.pem.new").symlink_to(secret)
    files.save(tmp_path / "ca.pem", b"fresh")
    assert (secret.read_text(), (tmp_path / "ca.pem").read_text()) == ("root's own", "fresh")
    assert not (tmp_path / "ca.pem").is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may give files away")
def test_root_gives_away_nothing_but_what_lies_there(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    shadow, hard = tmp_path / "shadow", tmp_path / "hard"
    for path in (shadow, hard, folder / "batch.key"):
        path.write_text("x")
    (folder / "x").symlink_to(shadow)
    os.link(hard, folder / "y")
    (folder / "deep").mkdir()
    os.mkfifo(folder / "pipe")
    Places(folder).give()
    assert (folder / "batch.key").stat().st_uid == 65534
    assert [path.stat().st_uid for path in (shadow, hard)] == [0, 0]


@pytest.mark.parametrize("kind", ["link", "pipe", "list"])
def test_root_gives_the_agent_no_file_that_enrolment_was_linked_to(
    platform: Platform, places: Places, tmp_path: Path, kind: str
) -> None:
    """An answer by hand keeps what was there; the folder's owner is then given all of it."""
    theirs = tmp_path / "theirs.json"
    theirs.write_text('{"auth": "secret"}')
    places.enrolment.unlink()
    if kind == "link":
        places.enrolment.symlink_to(theirs)
    elif kind == "pipe":
        os.mkfifo(places.enrolment)
    else:
        places.enrolment.write_text("[]")
    answer = platform("", b"", enrol.request(places, "gw-1", "nord"))
    with pytest.raises(EnrolmentFailed):
        places.install(answer)
    assert places.enrolment.is_symlink() is (kind == "link")
    assert theirs.read_text() == '{"auth": "secret"}'


def test_a_pipe_in_the_place_of_a_key_holds_nobody_up(places: Places) -> None:
    for path in (places.tls, places.batch):
        path.unlink()
        os.mkfifo(path)
        with pytest.raises((EnrolmentFailed, KeyFileError)):
            places.prepare()
        path.unlink()
