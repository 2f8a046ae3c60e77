"""Keys that the real systemd-creds seals: they open here only, and a cut at any step loses none."""

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from buffer.enrolment import Answer
from buffer.keys import SigningKey
from gateway.cli import lamppost
from gateway.errors import EnrolmentFailed, NotTold, SealFailed
from gateway.identity import enrol, sealed
from gateway.identity.enrol import Places


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A gateway with both keys, and a host key of its own; nothing here is told to systemd."""
    if os.geteuid() != 0:
        pytest.skip("sealing needs root")
    if shutil.which(sealed.PROGRAM) is None:
        pytest.skip("systemd-creds is not installed (Debian package systemd)")
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "host.secret"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(sealed, "restart", lambda: None)  # the machine's own systemd
    made = Places(tmp_path / "keys")
    made.folder.mkdir(mode=0o700)
    made.prepare()
    return made


def _kid(places: Places) -> str:
    return sealed.signing_key(places.batch).kid.hex()


def test_sealed_keys_are_the_same_and_lie_nowhere_plain(places: Places) -> None:
    kid, plain = _kid(places), places.batch.read_bytes()
    assert sealed.seal(places.private) in ({"batch.key": by, "tls.key": by} for by in ("host key", "TPM"))
    assert not list(places.folder.iterdir())
    lying = sealed.place(places.batch)
    assert (lying.parent.stat().st_mode & 0o777, lying.stat().st_mode & 0o077) == (0o711, 0)
    assert plain.splitlines()[1] not in lying.read_bytes()
    assert _kid(places) == kid
    enrol.request(places, "gw-1", "nord")
    assert not list(places.folder.iterdir())
    assert sealed.unseal(places.private) == ["batch.key", "tls.key"]
    assert (places.batch.read_bytes(), places.batch.stat().st_mode & 0o777) == (plain, 0o600)
    assert not list(lying.parent.iterdir())


def test_another_machine_cannot_open_them(places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sealed.seal(places.private)
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "another.secret"))
    with pytest.raises(SealFailed) as told:
        places.prepare()  # and makes no other key in silence
    assert "enrol by a new token" in told.value.remedy
    assert not list(places.folder.iterdir())


@pytest.mark.parametrize("kind", ["link", "hard", "pipe", "folder"])
def test_root_seals_no_file_but_a_key_for_the_agent(places: Places, tmp_path: Path, kind: str) -> None:
    """The folder is the agent's, and who may read what is sealed is the agent."""
    theirs = tmp_path / "shadow"
    theirs.write_text("root:secret")
    places.tls.unlink()
    if kind == "link":
        places.tls.symlink_to(theirs)
    elif kind == "hard":
        places.tls.hardlink_to(theirs)
    elif kind == "pipe":
        os.mkfifo(places.tls)
    else:
        places.tls.mkdir()
    with pytest.raises(SealFailed, match=r"tls\.key"):
        sealed.seal(places.private)
    assert not sealed.place(places.tls).exists()
    assert not sealed.place(places.batch).exists()
    assert theirs.read_text() == "root:secret"


def test_a_link_in_the_place_of_a_sealed_key_does_not_lose_it(places: Places, tmp_path: Path) -> None:
    kid = _kid(places)
    sealed.seal(places.private)
    (tmp_path / "other").touch()
    places.batch.symlink_to(tmp_path / "other")
    sealed.unseal(places.private)
    assert not places.batch.is_symlink()
    assert _kid(places) == kid


@pytest.fixture
def tpm(
    tmp_path: Path, program: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """`tpm(name)` puts that TPM into the machine, a new one at first, in the place of the one before."""
    number, running = itertools.count(), list[subprocess.Popen[bytes]]()
    words = [program("swtpm", "swtpm"), "socket", "--tpm2", "--flags", "not-need-init,startup-clear"]
    program("tpm2", "tpm2-tools")

    def put(name: str) -> None:
        for process in running:
            process.terminate()
            process.wait(10)
        running.clear()
        (tmp_path / name).mkdir(exist_ok=True)
        socket = tmp_path / name / f"tpm{next(number)}"
        places = ["--tpmstate", f"dir={tmp_path / name}", "--server", f"type=unixio,path={socket}"]
        places += ["--ctrl", f"type=unixio,path={socket}.ctrl"]
        running.append(subprocess.Popen([*words, *places], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        end = time.monotonic() + 10
        while not (socket.exists() and Path(f"{socket}.ctrl").exists()):
            assert time.monotonic() < end
            time.sleep(0.01)
        monkeypatch.setenv("SYSTEMD_TPM2_DEVICE", f"swtpm:path={socket}")

    monkeypatch.setattr(sealed, "HOW", ("--with-key=host+tpm2", *sealed.HOW[1:]))  # auto asks the firmware for one
    yield put
    for process in running:
        process.kill()
        process.wait(10)


def test_another_tpm_cannot_open_what_one_has_sealed(places: Places, tpm: Callable[[str], None]) -> None:
    kid = _kid(places)
    tpm("first")
    assert sealed.seal(places.private) == {"batch.key": "TPM", "tls.key": "TPM"}
    tpm("first")  # the power goes and comes
    assert _kid(places) == kid
    tpm("second")
    with pytest.raises(SealFailed):
        _kid(places)
    tpm("first")
    assert _kid(places) == kid


class Cut(BaseException):
    """The power goes."""


@pytest.mark.parametrize("cut", range(1, 12))
@pytest.mark.parametrize("verb", ["seal", "unseal"])
def test_a_cut_before_any_step_loses_no_key(
    places: Places, monkeypatch: pytest.MonkeyPatch, verb: str, cut: int
) -> None:
    kid, tls = _kid(places), places.tls.read_bytes()
    if verb == "unseal":
        sealed.seal(places.private)
    steps = itertools.count(1)

    def counted(step: Callable[..., None]) -> Callable[..., None]:
        def one(*arguments: object, **options: object) -> None:
            if next(steps) == cut:
                raise Cut
            step(*arguments, **options)

        return one

    with monkeypatch.context() as inner:
        for place, name in (
            (sealed, "save"),
            (sealed, "destroy"),
            (sealed, "_plain"),
            (Path, "unlink"),
            (Path, "replace"),
        ):
            inner.setattr(place, name, counted(getattr(place, name)))
        with suppress(Cut):  # unsealing has fewer steps
            getattr(sealed, verb)(places.private)
    assert _kid(places) == kid
    with suppress(SealFailed):  # it was done
        getattr(sealed, verb)(places.private)
    assert _kid(places) == kid
    assert (sealed.read(places.tls) if verb == "seal" else places.tls.read_bytes()) == tls
    assert len(list(places.folder.iterdir())) == (2 if verb == "unseal" else 0)


def test_what_systemd_gives_is_taken_where_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = SigningKey.create(tmp_path / "batch.key")
    (tmp_path / "batch.key").chmod(0o440)
    path = tmp_path / "keys" / "batch.key"
    path.parent.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert SigningKey.load(path).kid == given.kid
    own = SigningKey.create(path)
    assert SigningKey.load(path).kid == own.kid


def test_a_successor_is_never_plain(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform refuses at first: the same successor is offered again, and takes the place when it is known."""
    sealed.seal(places.private)
    places.enrolment.write_text(
        json.dumps({"gateway": "gw-1", "site": "nord", "url": "https://[::1]:1", "ca_sha256": ""})
    )
    old = _kid(places)
    with pytest.raises(EnrolmentFailed):
        enrol.roll(places)
    offered = sealed.signing_key(places.next_batch).kid
    assert _kid(places) == old
    answer = Answer("gw-1", "nord", "", "", SigningKey.generate()[0].public(role="authority"), (), "")
    monkeypatch.setattr(enrol, "_answer", lambda *_: answer)
    monkeypatch.setattr(Places, "install", lambda *_, **__: None)
    enrol.roll(places)
    assert (sealed.signing_key(places.batch).kid, sealed.there(places.next_batch)) == (offered, False)
    assert [path.name for path in places.folder.iterdir()] == ["enrolment.json"]


def test_the_verbs_seal_show_and_wipe(places: Places, tmp_path: Path) -> None:
    config = tmp_path / "lamppost.toml"
    config.write_text(
        f'[gateway]\nid = "gw-1"\nsite = "s"\nkey = "keys/batch.key"\n[buffer]\npath = "{tmp_path}/b.db"\n'
    )
    kid = _kid(places)
    for words in (["seal", "--keys", places.folder], ["show", "--config", config]):
        done = CliRunner().invoke(lamppost, ["key", *map(str, words)], standalone_mode=False)
        assert done.exception is None, done.output
    assert json.loads(done.stdout)["kid"] == kid
    again = CliRunner().invoke(lamppost, ["key", "seal", "--keys", str(places.folder)], standalone_mode=False)
    assert "no plain key" in str(again.exception)
    wipe = ["wipe", "--yes", "--config", str(config), "--run-dir", str(tmp_path / "run")]
    done = CliRunner().invoke(lamppost, wipe, standalone_mode=False)
    assert isinstance(done.exception, NotTold), done.output  # no agent runs that could tell it
    assert not sealed.place(places.batch).exists()
