"""A machine becomes a platform by one call; another one renews certificates and takes nothing back."""

import os
import shutil
import ssl
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from buffer.keys import PublicKey, SigningKey
from collector import setup
from collector.errors import FileFault, UsageError
from tests.conftest import ROOT

HOST = "platform.example"
SYSTEMD = ROOT / "systemd"


@pytest.fixture
def places(tmp_path: Path) -> setup.Places:
    """A machine with the package and mosquitto."""
    made = setup.Places(tmp_path / "state", tmp_path / "etc", tmp_path / "mosquitto", SYSTEMD / "mosquitto")
    made.settings.mkdir()
    (made.mosquitto / "conf.d").mkdir(parents=True)
    for name in ("collector.env", "collector-enroll.env"):
        (made.settings / name).write_text((SYSTEMD / name).read_text())
    return made


give = setup._give


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also root has no users of the package here."""
    monkeypatch.setattr(setup, "_give", lambda _places: None)


def settings(places: setup.Places, name: str) -> dict[str, str]:
    lines = [line for line in (places.settings / name).read_text().splitlines() if "=" in line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


def files(places: setup.Places) -> dict[str, bytes]:
    folder = places.state.parent
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_that_the_services_and_the_broker_are_told_of_is_there(places: setup.Places) -> None:
    assert setup.setup(HOST, places) == []
    shipped = (SYSTEMD / "mosquitto" / "lamppost.conf").read_text()
    for word in " ".join(line for line in shipped.splitlines() if not line.startswith("#")).split():
        if word.startswith("/etc/mosquitto/") and not word.endswith(":"):
            assert (places.mosquitto / word.removeprefix("/etc/mosquitto/")).is_file(), word
    assert (places.mosquitto / "conf.d" / "lamppost.conf").read_text() == shipped
    collector, enrol = settings(places, "collector.env"), settings(places, "collector-enroll.env")
    assert collector["BROKER"] == "mqtts://127.0.0.1:8884"
    assert enrol["OPTIONS"] == f"--tell-broker mqtts://{HOST}:8883"
    named = [word for word in collector["OPTIONS"].split() if not word.startswith("--")]
    named += [
        enrol[name].replace("/var/lib/lamppost-collector", str(places.state)) for name in ("CERT", "CERT_KEY", "CA")
    ]
    assert all(Path(path).exists() for path in named)
    assert setup.url(places) == f"https://{HOST}:8444"
    pinned = PublicKey.load(places.state / "authority.json")
    assert pinned.raw == SigningKey.load(places.state / "acknowledge.key").public(role="acknowledge").raw
    assert {path.stat().st_mode & 0o77 for path in places.state.rglob("*.key")} == {0}
    assert places.state.stat().st_mode & 0o777 == 0o700


def test_collectors_have_an_authority_of_their_own(places: setup.Places) -> None:
    """What a gateway may have made by its authority opens the platform's listener to nobody."""
    setup.setup(HOST, places)
    certificate = x509.load_pem_x509_certificate((places.state / "collector.pem").read_bytes())
    gateways, platform = (
        x509.load_pem_x509_certificate((places.mosquitto / f"{name}-ca.pem").read_bytes())
        for name in ("gateways", "platform")
    )
    certificate.verify_directly_issued_by(platform)
    assert gateways.public_key() != platform.public_key()
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert [name.value for name in names] == [setup.COLLECTOR]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert setup.COLLECTOR in (SYSTEMD / "mosquitto" / "lamppost.acl").read_text().split()
    context = ssl.create_default_context(cafile=str(places.mosquitto / "gateways-ca.pem"))
    context.load_cert_chain(places.state / "collector.pem", places.state / "collector.key")


def test_another_setup_renews_certificates_and_keeps_all_else(places: setup.Places) -> None:
    setup.setup(HOST, places)
    path = places.settings / "collector.env"
    path.write_text(path.read_text().replace("OPTIONS=", "OPTIONS=--metrics 127.0.0.1:9464 "))
    before = files(places)
    (said,) = setup.setup(HOST, places)
    assert said.startswith(f"{path}: OPTIONS=--ca ")
    after = files(places)
    assert sorted(name for name in before if before[name] != after[name]) == [
        "mosquitto/broker.pem", "state/collector.pem", "state/server.pem",
    ]  # fmt: skip
    for folder, name in ((places.mosquitto, "broker"), (places.state, "server"), (places.state, "collector")):
        key = load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
        assert x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes()).public_key() == key.public_key()


def test_an_authority_that_is_kept_elsewhere_is_pinned_in_place_of_our_own(
    places: setup.Places, tmp_path: Path
) -> None:
    authority = SigningKey.create(tmp_path / "authority.key").public(role="authority")
    setup.setup(HOST, places)
    setup.setup(HOST, places, authority)
    setup.setup(HOST, places)
    assert PublicKey.load(places.state / "authority.json") == authority


def test_an_address_of_ipv6_is_written_as_urls_have_it(places: setup.Places) -> None:
    setup.setup("2001:db8::7", places)
    assert setup.url(places) == "https://[2001:db8::7]:8444"
    certificate = x509.load_pem_x509_certificate((places.mosquitto / "broker.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name) for name in names.get_values_for_type(x509.IPAddress)] == ["2001:db8::7", "127.0.0.1"]


def test_without_a_broker_or_a_setup_it_is_said(places: setup.Places) -> None:
    with pytest.raises(UsageError, match="--url is needed"):
        setup.url(places)
    (places.mosquitto / "conf.d").rmdir()
    with pytest.raises(UsageError, match="apt install mosquitto"):
        setup.setup(HOST, places)


class Cut(BaseException):
    """The power goes."""


def test_after_a_cut_at_any_step_another_try_goes_on(places: setup.Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not synced is lost."""
    sync, left = os.fsync, 0

    def cut(handle: int) -> None:
        nonlocal left
        if (left := left - 1) < 0:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                os.ftruncate(handle, 0)
            raise Cut
        sync(handle)

    for steps in range(100):
        with monkeypatch.context() as inner:
            inner.setattr(os, "fsync", cut)
            left = steps
            with suppress(Cut):
                setup.setup(HOST, places)
                break
        setup.setup(HOST, places)
        assert not list(places.state.parent.rglob("*.new"))
        for folder in (places.state, places.mosquitto):
            shutil.rmtree(folder)
        (places.mosquitto / "conf.d").mkdir(parents=True)
        for name in ("collector.env", "collector-enroll.env"):
            (places.settings / name).write_text((SYSTEMD / name).read_text())
    assert steps > 10


def test_what_an_operator_wrote_keeps_its_bytes_and_its_readers(places: setup.Places) -> None:
    path = places.settings / "collector.env"
    path.write_bytes(path.read_bytes() + b"# caf\xe9\nLAMPPOST_COLLECTOR_DATABASE=postgresql://l:secret@10.0.0.7/l\n")
    path.chmod(0o600)
    before = path.read_bytes()
    setup.setup(HOST, places)
    assert path.stat().st_mode & 0o777 == 0o600
    fresh = [line.partition(b"=")[0] for line in path.read_bytes().splitlines() if line not in before.splitlines()]
    assert fresh == [b"BROKER", b"OPTIONS"]
    assert path.read_bytes().endswith(before[-80:])
    inode = path.stat().st_ino
    setup.setup(HOST, places)
    assert path.stat().st_ino == inode, "nothing is written where nothing is to be filled in"


@pytest.mark.parametrize("name", [".collector.pem.new", ".server.pem.new", "collector.db"])
def test_no_link_of_the_collectors_user_leads_root_elsewhere(places: setup.Places, tmp_path: Path, name: str) -> None:
    """The state is that user's after the first setup, and each year root renews certificates in it."""
    setup.setup(HOST, places)
    (places.state / name).unlink(missing_ok=True)
    (places.state / name).symlink_to(tmp_path / "theirs")
    with suppress(FileFault):
        setup.setup(HOST, places)
    assert not (tmp_path / "theirs").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_a_folder_that_becomes_a_link_while_root_gives_files_away_gives_no_others(
    places: setup.Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.setup(HOST, places)
    mine, theirs, away = places.state / "ca", tmp_path / "theirs", tmp_path / "away"
    shutil.copytree(mine, theirs)
    monkeypatch.setattr(setup, "BROKER_GROUP", "root")
    monkeypatch.setattr(setup, "USER", "nobody")
    inside = mine.stat().st_ino

    def swapping(change: Callable[..., None]) -> Callable[..., None]:
        def one(path: int | Path, *others: int) -> None:
            if (os.fstat(path) if isinstance(path, int) else path.lstat()).st_ino == inside:
                mine.rename(away)
                mine.symlink_to(theirs)
            change(path, *others)

        return one

    for name in ("lchown", "fchown"):
        monkeypatch.setattr(os, name, swapping(getattr(os, name)))
    give(places)
    assert (theirs / "ca.key").stat().st_uid == 0
    assert (away / "ca.key").stat().st_uid != 0
