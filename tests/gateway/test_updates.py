"""Updates but for dpkg's part, which tests/boots has: whom root believes, what is refused, who judges how."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer import update
from buffer.errors import NotAllowed
from buffer.keyring import Keyring, RingKey
from buffer.keys import SigningKey
from buffer.update import Manifest
from gateway.cli import lamppost
from gateway.errors import FileDamaged, UpdateFailed, UpdateRefused
from gateway.updates import health, service, trust
from gateway.updates.health import Look
from gateway.updates.places import Before, Last, Places, State, Trial
from tests.buffer.test_update import DEB, HASH, file

AUTHORITY = SigningKey(Ed25519PrivateKey.generate())
SIGNER = SigningKey(Ed25519PrivateKey.generate())
RING = Keyring(7, 5_000, (RingKey("builder", "update", SIGNER.public(role="update").raw, (("nord",),), 9_000),))


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """/etc/lamppost of a gateway that trusts AUTHORITY and has RING."""
    folder = tmp_path / "etc"
    (folder / "conf.d").mkdir(parents=True)
    (folder / "lamppost.toml").write_text('[gateway]\nid = "gw-1"\nsite = "nord"\n[uplink]\nnonsense = 1\n')
    (folder / "conf.d" / "store.toml").write_text(f'[buffer]\npath = "{tmp_path}/buffer.db"\n')
    (tmp_path / "keyring.cose").write_bytes(RING.sign(AUTHORITY))
    pin(folder, AUTHORITY.public(role="authority").to_json())
    return folder


def pin(etc: Path, text: str, mode: int = 0o644) -> None:
    path = etc / trust.AUTHORITY
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_root_believes_a_keyring_of_the_authority_that_it_pinned(etc: Path) -> None:
    where = trust.here(etc)
    assert (where.site, where.gateway) == ("nord", "gw-1")
    ring = trust.keyring(where, trust.authority(etc), 7)
    assert trust.verify(Manifest("1", "arm64", 1, HASH, "1", 1).sign(SIGNER), where, ring, 8_000).version == "1"


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_an_authority_that_others_may_write_proves_nothing(etc: Path, mode: int) -> None:
    pin(etc, AUTHORITY.public(role="authority").to_json(), mode)
    with pytest.raises(UpdateRefused, match="could be written by others"):
        trust.authority(etc)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
def test_an_authority_of_the_agents_user_proves_nothing(etc: Path) -> None:
    os.chown(etc / trust.AUTHORITY, 65534, 65534)
    with pytest.raises(UpdateRefused, match="could be written by others"):
        trust.authority(etc)
    (etc / trust.AUTHORITY).rename(etc / "theirs")
    (etc / trust.AUTHORITY).symlink_to(etc / "theirs")
    with pytest.raises(UpdateRefused, match="could be written by others"):
        trust.authority(etc)


def test_what_the_agent_could_exchange_is_refused(etc: Path, tmp_path: Path) -> None:
    where, pinned = trust.here(etc), trust.authority(etc)
    (tmp_path / "keyring.cose").write_bytes(RING.sign(SIGNER))  # another authority
    with pytest.raises(ValueError):
        trust.keyring(where, pinned, 0)
    (tmp_path / "keyring.cose").write_bytes(replace(RING, number=6).sign(AUTHORITY))  # an old one, from a backup
    with pytest.raises(NotAllowed, match="keyring 6, and 7 was here"):
        trust.keyring(where, pinned, 7)
    pin(etc, SIGNER.public(role="acknowledge").to_json())
    with pytest.raises(UpdateRefused, match="of role 'acknowledge'"):
        trust.authority(etc)


def test_a_clock_in_1971_brings_no_key_back(etc: Path) -> None:
    ended = replace(RING, keys=(replace(RING.keys[0], ends_ms=4_000),))
    with pytest.raises(NotAllowed, match="has ended"):
        trust.verify(Manifest("1", "arm64", 1, HASH, "1", 1).sign(SIGNER), trust.here(etc), ended, 0)


CASES = [
    ("2.0", "2.0", "amd64", "for amd64, and this is arm64"),
    ("1.0", "1.0", "arm64", "not newer than 1.5"),
    ("1.5", "1.5", "arm64", "not newer than 1.5"),
    ("1.5~rc1", "1.0", "arm64", "not newer than 1.5"),
    ("1.9", "1.0", "arm64", "below the floor, 1.9.1"),
    ("2.0", "2.1", "arm64", "below its own floor"),
    ("2.5", "2.5", "arm64", "tried here and did no good"),
]


@pytest.mark.parametrize(("version", "floor", "architecture", "why"), CASES)
def test_what_may_not_be_tried(version: str, floor: str, architecture: str, why: str, program: object) -> None:
    program("dpkg", "dpkg")  # type: ignore[operator]  # the fixture
    manifest = Manifest(version, architecture, 1, HASH, floor, 1)
    with pytest.raises(UpdateRefused, match=why):
        service.check(manifest, "1.5", "arm64", "1.9.1", ("2.5",))
    service.check(Manifest("1.10", "arm64", 1, HASH, "1.10", 1), "1.5", "arm64", "1.9.1", ("2.5",))


BEFORE = Before(active=True, committing=True, uplink=True)
WELL = Look(True, 1, True, True)


@pytest.mark.parametrize(
    ("before", "looks", "wrong"),
    [
        (BEFORE, [Look(False), Look(True, 1), WELL], ""),
        (BEFORE, [Look(False)], "did not become ready"),
        (BEFORE, [replace(WELL, committing=False)], "committed no sample"),
        (BEFORE, [replace(WELL, uplink=False)], "did not reach the broker"),
        (replace(BEFORE, uplink=False), [replace(WELL, uplink=False)], ""),
        (replace(BEFORE, committing=False), [replace(WELL, committing=False)], ""),
        (BEFORE, [WELL, replace(WELL, pid=2)] * 100, "again and again"),
        (BEFORE, [*[WELL] * 3, replace(WELL, committing=False)], "committed no sample"),
    ],
)
def test_the_new_version_must_do_what_the_old_one_did(
    before: Before, looks: list[Look], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LOOK_S", 0.01)
    seen: Iterator[Look] = iter([*looks, *[looks[-1]] * 1000])
    said = health.judge(before, trial_s=0.4, steady_s=0.15, see=lambda: next(seen))
    assert wrong in said
    assert bool(said) is bool(wrong)


def test_what_root_remembers_comes_back_and_damage_is_not_an_empty_floor(tmp_path: Path) -> None:
    places = Places(tmp_path)
    assert (places.state(), places.trial()) == (State(), None)
    state = State("1.2", 4).told(Last("1.3", "taken-back", "it hung", 9)).marked("1.3").marked("1.3")
    trial = Trial("1.3", "1.2", "1.0", "ab", BEFORE, tries=2)
    places.keep(state)
    places.keep(trial)
    assert (places.state(), places.trial()) == (state, trial)
    for text in ("{}", "[]", "", '{"floor": "1"}'):
        places.state_file.write_text(text)
        places.trial_file.write_text(text)
        for read in (places.state, places.trial):
            with pytest.raises(FileDamaged):
                read()


def invoke(folder: Path, *words: str) -> Result:
    (folder / "incoming").mkdir(exist_ok=True)
    env = {"LAMPPOST_UPDATES": str(folder)}
    return CliRunner().invoke(lamppost, ["update", *words], env=env, standalone_mode=False)


def test_what_is_handed_in_is_whole_or_not_there(tmp_path: Path) -> None:
    given = tmp_path / "x.update"
    given.write_bytes(file()[:-1])
    assert "has not the" in str(invoke(tmp_path, "--no-wait", str(given)).exception)
    assert list((tmp_path / "incoming").iterdir()) == []
    given.write_bytes(file())
    assert invoke(tmp_path, "--no-wait", str(given)).exception is None
    assert [path.name for path in (tmp_path / "incoming").iterdir()] == ["update"]
    places = Places(tmp_path)
    with service._spooled(places) as source:
        manifest = Manifest.peek(update.read_manifest(source))
        service._copy(source, manifest, places)
    assert places.new.read_bytes() == DEB
    assert not places.incoming.exists()


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_in_the_spool_is_taken_away(tmp_path: Path, kind: str) -> None:
    places = Places(tmp_path)
    places.incoming.parent.mkdir()
    if kind == "link":
        (tmp_path / "secret").write_text("secret")
        places.incoming.symlink_to(tmp_path / "secret")
    else:
        os.mkfifo(places.incoming)
    assert service.begin(places) is False
    assert not places.incoming.is_symlink()
    assert not places.incoming.exists()
    last = places.state().last
    assert last is not None
    assert last.status == "refused"


def test_the_verb_says_what_became_of_it(tmp_path: Path) -> None:
    assert "no update was handed in" in invoke(tmp_path).stdout
    Places(tmp_path).keep(State(last=Last("2.0", "taken-back", "it hung", 9)))
    done = invoke(tmp_path)
    assert "2.0: taken-back: it hung" in done.stdout
    assert isinstance(done.exception, UpdateFailed)
