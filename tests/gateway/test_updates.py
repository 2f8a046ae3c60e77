"""Updates but for dpkg's part, which tests/boots has: whom root believes, what is refused, who judges how."""

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer import update
from buffer.errors import NotAllowed
from buffer.keyring import FOREVER, Keyring, RingKey
from buffer.keys import SigningKey
from buffer.update import Manifest
from gateway.cli import lamppost
from gateway.errors import FileDamaged, UpdateFailed, UpdateRefused
from gateway.updates import dpkg, health, service, trust
from gateway.updates.health import Look, Verdict
from gateway.updates.places import Before, Last, Places, State, Trial
from tests.buffer.test_update import DEB, HASH, MANIFEST

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


def test_a_floor_that_dpkg_cannot_compare_is_none_to_pass(program: object) -> None:
    program("dpkg", "dpkg")  # type: ignore[operator]  # the fixture
    with pytest.raises(UpdateFailed, match="cannot compare"):
        service.check(Manifest("2.0", "arm64", 1, HASH, "1.0", 1), "1.5", "arm64", "9-", ())


BEFORE = Before(active=True, committing=True, uplink=True)
WELL = Look(True, 1, True, True)
ALONE = replace(WELL, uplink=False)


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
        (BEFORE, [*[WELL] * 3, replace(WELL, committing=False)], "committed no sample "),
        (BEFORE, [*[ALONE] * 50, WELL], ""),  # an outage that is longer than a trial
        (BEFORE, [*[ALONE] * 50, replace(WELL, committing=False)], "committed no sample "),
        (BEFORE, [*[ALONE] * 50, Look(False)], "did not become ready within 0 s"),
    ],
)
def test_the_new_version_must_do_what_the_old_one_did(
    before: Before, looks: list[Look], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LOOK_S", 0.01)
    seen: Iterator[Look] = iter([*looks, *[looks[-1]] * 1000])
    said = health.judge(before, trial_s=0.4, link_s=1.2, steady_s=0.15, see=lambda: next(seen))
    assert wrong in said.wrong
    assert bool(said.wrong) is bool(wrong)


def test_what_root_remembers_comes_back_and_damage_is_not_an_empty_floor(tmp_path: Path) -> None:
    places = Places(tmp_path)
    assert (places.state(), places.trial()) == (State(), None)
    state = State("1.2", 4).told(Last("1.3", "taken-back", "it hung", 9)).marked("1.3").marked("1.3")
    trial = Trial("1.3", "1.2", "1.0", "ab", BEFORE, tries=2)
    places.keep(state)
    places.keep(trial)
    assert (places.state(), places.trial()) == (state, trial)
    places.state_file.write_text('{"floor": "1", "keyring": 4, "bad": [], "last": null}')  # of the version before this
    assert places.state() == State("1", 4)
    for text in ("{}", "[]", "", '{"floor": "1"}'):
        places.state_file.write_text(text)
        places.trial_file.write_text(text)
        for read in (places.state, places.trial):
            with pytest.raises(FileDamaged):
                read()


LINK = Verdict("the agent did not reach the broker within 600 s", link=True)
TRIED = Trial("2.0", "1.0", "2.0", "ab", BEFORE, tries=3)


@pytest.mark.parametrize(
    ("verdict", "reaches", "installs", "trial", "status", "marks"),
    [
        (Verdict("it hung"), True, True, replace(TRIED, tries=0), "taken-back", (("2.0",), ())),
        (LINK, False, True, replace(TRIED, tries=0), "untested", ((), ())),  # nor does the version before: an outage
        (LINK, True, True, replace(TRIED, tries=0), "taken-back", ((), ("2.0",))),
        (LINK, True, True, replace(TRIED, tries=0, again=True), "taken-back", (("2.0",), ())),
        (LINK, True, False, replace(TRIED, tries=0), "untested", ((), ())),  # a full disk, dpkg locked
        (LINK, True, True, TRIED, "taken-back", ((), ("2.0",))),  # cut off three times: by the version, or by the mains
        (Verdict(), True, True, replace(TRIED, tries=0), "installed", ((), ())),
    ],
)
def test_only_what_the_agent_itself_failed_at_condemns_a_version_at_once(
    verdict: Verdict, reaches: bool, installs: bool, trial: Trial, status: str, marks: object,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def bring(version: str, *_: object) -> None:
        if not installs and version == "2.0":
            raise UpdateFailed("no space left on device")

    monkeypatch.setattr(service, "_bring", bring)
    monkeypatch.setattr(health, "ensure_started", lambda: None)
    monkeypatch.setattr(health, "links", lambda _: reaches)
    places = Places(tmp_path)
    places.keep(trial)
    assert service.resume(places, judge=lambda *_: verdict) == 0
    state = places.state()
    assert (state.bad, state.doubted) == marks
    assert state.last is not None
    assert state.last.status == status
    assert places.trial() is None


def test_the_version_before_is_put_to_the_same_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LOOK_S", 0.01)
    looks = iter([Look(False), ALONE, WELL])
    assert health.links(5, lambda: next(looks)) is True
    assert health.links(0.05, lambda: ALONE) is False


def invoke(folder: Path, *words: str) -> Result:
    (folder / "incoming").mkdir(exist_ok=True)
    env = {"LAMPPOST_UPDATES": str(folder)}
    return CliRunner().invoke(lamppost, ["update", *words], env=env, standalone_mode=False)


def signed(key: SigningKey = SIGNER) -> bytes:
    made = io.BytesIO()
    update.write(made, replace(MANIFEST, version="999.0").sign(key), io.BytesIO(DEB))
    return made.getvalue()


@pytest.fixture
def trusting(etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb and the service take `etc` for /etc/lamppost, and the key of the keyring does not end."""
    lasting = replace(RING, keys=(replace(RING.keys[0], ends_ms=FOREVER),))
    (tmp_path / "keyring.cose").write_bytes(lasting.sign(AUTHORITY))
    monkeypatch.setattr(trust, "here", partial(trust.here, etc))
    monkeypatch.setattr(trust, "authority", partial(trust.authority, etc))


@pytest.mark.usefixtures("trusting")
def test_what_root_will_refuse_is_said_before_it_is_handed_in(
    tmp_path: Path, etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "x.update"
    given.write_bytes(signed(AUTHORITY))
    assert "no key" in str(invoke(tmp_path, str(given)).exception)
    given.write_bytes(signed())
    (etc / "lamppost.toml").write_text('[gateway]\nid = "gw-1"\nsite = "sued"\n')
    assert "may not update sued/gw-1" in str(invoke(tmp_path, str(given)).exception)
    (etc / trust.AUTHORITY).chmod(0o666)
    assert "could be written by others" in str(invoke(tmp_path, str(given)).exception)
    (etc / trust.AUTHORITY).unlink()
    assert "no authority for updates" in str(invoke(tmp_path, str(given)).exception)
    assert list((tmp_path / "incoming").iterdir()) == []

    def unreadable(_: object) -> None:
        raise UpdateRefused("no authority") from PermissionError()

    monkeypatch.setattr(trust, "authority", lambda: unreadable(0))
    done = invoke(tmp_path, "--no-wait", str(given))
    assert "root verifies the signature" in done.stderr
    assert done.exception is None
    assert (tmp_path / "incoming" / "update").exists()


@pytest.mark.usefixtures("trusting")
def test_a_version_that_is_not_newer_is_refused_before_it_is_handed_in(
    tmp_path: Path, program: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("dpkg", "dpkg")  # type: ignore[operator]  # the fixture
    monkeypatch.setattr(dpkg, "state", lambda: ("999.0", True))
    monkeypatch.setattr(dpkg, "architecture", lambda: "arm64")
    given = tmp_path / "x.update"
    given.write_bytes(signed())
    assert "is not newer than 999.0" in str(invoke(tmp_path, str(given)).exception)


@pytest.mark.usefixtures("trusting")
def test_what_is_handed_in_is_whole_or_not_there(tmp_path: Path) -> None:
    given = tmp_path / "x.update"
    given.write_bytes(signed()[:-1])
    assert "has not the" in str(invoke(tmp_path, "--no-wait", str(given)).exception)
    assert list((tmp_path / "incoming").iterdir()) == []
    given.write_bytes(signed())
    assert invoke(tmp_path, "--no-wait", str(given)).exception is None
    assert [path.name for path in (tmp_path / "incoming").iterdir()] == ["update"]
    places = Places(tmp_path)
    source = service._spooled(places)
    assert source is not None
    with source:
        manifest = Manifest.peek(update.read_manifest(source))
        service._copy(source, manifest, places)
    assert places.new.read_bytes() == DEB
    assert not places.incoming.exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "socket", "folder", "deep"])
def test_what_is_no_file_in_the_spool_is_taken_away(tmp_path: Path, kind: str) -> None:
    places = Places(tmp_path)
    places.incoming.parent.mkdir()
    if kind == "link":
        (tmp_path / "secret").write_text("secret")
        places.incoming.symlink_to(tmp_path / "secret")
    elif kind == "pipe":
        os.mkfifo(places.incoming)
    elif kind == "socket":
        os.mknod(places.incoming, stat.S_IFSOCK | 0o600)
    else:
        _folders(places.incoming, 3000 if kind == "deep" else 1)
    assert service.begin(places) is False
    assert list(places.incoming.parent.iterdir()) == []
    assert places.taken not in tmp_path.iterdir()
    last = places.state().last
    assert last is not None
    assert last.status == "refused"


def _folders(path: Path, depth: int) -> None:
    """Folders in each other, deeper than a path may be long."""
    path.mkdir()
    here = os.open(path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


@pytest.mark.parametrize("kind", ["pipe", "link", "giant"])
def test_a_keyring_that_the_agent_made_a_trap_of_is_refused_at_once(etc: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "keyring.cose"
    path.rename(tmp_path / "real")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(tmp_path / "real")
    else:
        path.touch()
        os.truncate(path, 1 << 40)
    with pytest.raises(UpdateRefused, match="no keyring says"):
        trust.keyring(trust.here(etc), trust.authority(etc), 0)


def test_a_configuration_of_nothing_but_brackets_is_refused(etc: Path) -> None:
    (etc / "lamppost.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(UpdateRefused, match="does not say which gateway"):
        trust.here(etc)


def test_what_a_cut_left_before_the_trial_is_cleared_away_and_told(tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.new.write_bytes(DEB[:10])
    places.judge.mkdir()
    assert service.begin(places) is False
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
    last = places.state().last
    assert last is not None
    assert "hand it in again" in last.reason
    assert service.begin(places) is False
    assert places.state().last == last


def test_a_disk_without_room_is_told_before_anything_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dpkg, "installed_bytes", lambda _: 1 << 60)
    with pytest.raises(UpdateRefused, match="MiB are free"):
        service._room(Places(tmp_path))


def test_the_verb_says_what_became_of_it(tmp_path: Path) -> None:
    assert "no update was handed in" in invoke(tmp_path).stdout
    Places(tmp_path).keep(State(last=Last("2.0", "taken-back", "it hung", 9)))
    done = invoke(tmp_path)
    assert "2.0: taken-back: it hung" in done.stdout
    assert isinstance(done.exception, UpdateFailed)
