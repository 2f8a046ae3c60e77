"""Makes a machine a platform: authorities, keys, certificates, and the settings of mosquitto and of our services.

Only what is missing is made; certificates are made anew each time, for the keys that are there.
"""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from buffer.keys import PublicKey, SigningKey
from collector.errors import AuthorityFault, FileFault, UsageError
from collector.files import read_bounded, sync, write_whole
from collector.identity.ca import CertificateAuthority, private_key
from collector.tables.database import Database

LOCAL = "127.0.0.1"
COLLECTOR = "collector"
"""The user name in lamppost.acl that hears all gateways."""
USER, BROKER_GROUP = "lamppost-collector", "mosquitto"
GATEWAYS_PORT, PLATFORM_PORT, ENROL_PORT = 8883, 8884, 8444
"""The two listeners of systemd/mosquitto/lamppost.conf, and LISTEN of systemd/collector-enroll.env."""
SHIPPED = {"BROKER": "mqtt://127.0.0.1:1883", "OPTIONS": "", "URL": ""}
"""Settings of our services that are filled in, as long as they are as shipped."""
DATABASE = "collector.db"
MAX_FILE = 65536  # bytes


@dataclass(frozen=True, slots=True)
class Places:
    """Where a platform lies on its machine."""

    state: Path = Path("/var/lib/lamppost-collector")
    settings: Path = Path("/etc/lamppost")
    mosquitto: Path = Path("/etc/mosquitto")
    shipped: Path = Path("/usr/share/lamppost/mosquitto")

    @property
    def ca(self) -> Path:
        """The authority of gateways and servers."""
        return self.state / "ca"


def setup(host: str, places: Places, authority: PublicKey | None = None) -> list[str]:
    """Make what is missing for a platform that gateways reach as `host`; the settings that somebody had changed.

    Raises a `CollectorError` or a `BufferFault`; then another try goes on where this one stopped.
    """
    if not (places.mosquitto / "conf.d").is_dir():
        raise UsageError(f"{places.mosquitto}/conf.d is not there: apt install mosquitto")
    try:
        places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (places.state / DATABASE).is_symlink():
            raise FileFault(f"{places.state / DATABASE}: a link")
        _pin(places, authority)
        _certificates(host, places)
        Database.open(places.state / DATABASE).close()
        _broker(places)
        changed = _settings(host, places)
        _give(places)
    except OSError as error:
        raise FileFault(str(error)) from error
    return changed


def url(places: Places) -> str:
    """Where gateways enrol, as `setup` wrote it down; raises UsageError when it has not."""
    try:
        found = re.search(r"^URL=(https://\S+)$", _text(places.settings / "collector-enroll.env"), re.MULTILINE)
    except FileFault:
        found = None
    if found is None:
        raise UsageError("--url is needed where `lamppost-collector setup` was not run")
    return found[1]


def _pin(places: Places, authority: PublicKey | None) -> None:
    """The key of acknowledgements, and what gateways pin: an authority, or that key for want of one."""
    path, pinned = places.state / "acknowledge.key", places.state / "authority.json"
    if not path.exists():
        _make(path, SigningKey.create)
    own = SigningKey.load(path)
    if authority is not None or not pinned.exists():
        public = authority or own.public(role="acknowledge")
        write_whole(pinned, (public.to_json() + "\n").encode())


def _certificates(host: str, places: Places) -> None:
    """The broker's and the enrolment server's by the gateways' authority, the collector's by another."""
    gateways = _authority(places.ca, "Lamppost gateways")
    platform = _authority(places.state / "platform-ca", "Lamppost platform")
    for folder, name in ((places.state, "server"), (places.mosquitto, "broker")):
        issued = gateways.server(_key(folder / f"{name}.key").public_key(), (host, LOCAL))
        write_whole(folder / f"{name}.pem", issued.pem.encode())
    own = platform.client(_key(places.state / "collector.key").public_key(), COLLECTOR)
    write_whole(places.state / "collector.pem", own.pem.encode())
    write_whole(places.mosquitto / "gateways-ca.pem", gateways.pem.encode())
    write_whole(places.mosquitto / "platform-ca.pem", platform.pem.encode())


def _authority(folder: Path, name: str) -> CertificateAuthority:
    if not (folder / "ca.key").exists():
        _make(folder, lambda fresh: CertificateAuthority.create(fresh, name))
    return CertificateAuthority.load(folder)


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        _make(path, private_key)
    try:
        key = load_pem_private_key(read_bounded(path, MAX_FILE), None)
    except (ValueError, TypeError) as error:
        raise AuthorityFault(f"{path}: not a private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise AuthorityFault(f"{path}: not a P-256 key")
    return key


def _make(path: Path, make: Callable[[Path], object]) -> None:
    """A key, or a folder with one, that is there wholly or not at all, whatever a cut has left."""
    fresh = path.with_name(path.name + ".new")
    if fresh.is_dir() and not fresh.is_symlink():
        shutil.rmtree(fresh)
    fresh.unlink(missing_ok=True)
    make(fresh)
    fresh.rename(path)
    sync(path.parent)


def _broker(places: Places) -> None:
    for name, folder in (("lamppost.acl", places.mosquitto), ("lamppost.conf", places.mosquitto / "conf.d")):
        if not (folder / name).exists():
            write_whole(folder / name, read_bounded(places.shipped / name, MAX_FILE))


def _settings(host: str, places: Places) -> list[str]:
    at = f"[{host}]" if ":" in host else host
    tls = f"--ca {places.ca}/ca.pem --cert {places.state}/collector.pem --cert-key {places.state}/collector.key"
    wanted = {
        "collector.env": {"BROKER": f"mqtts://{LOCAL}:{PLATFORM_PORT}", "OPTIONS": tls},
        "collector-enroll.env": {
            "URL": f"https://{at}:{ENROL_PORT}", "OPTIONS": f"--tell-broker mqtts://{at}:{GATEWAYS_PORT}",
        },
    }  # fmt: skip
    return [
        f"{places.settings / file}: {name}={value}"
        for file, settings in wanted.items()
        for name, value in _fill(places.settings / file, settings).items()
    ]


def _fill(path: Path, settings: dict[str, str]) -> dict[str, str]:
    """Write settings into a file of `NAME=value` lines; the others, which have a value of their own, are returned."""
    text, others = _text(path), {}
    for name, value in settings.items():
        line = re.search(rf"^{name}=(.*)$", text, re.MULTILINE)
        if line is None or line[1].strip() not in (SHIPPED[name], value):
            others[name] = value
        else:
            text = f"{text[: line.start(1)]}{value}{text[line.end(1) :]}"
    if text != _text(path):
        write_whole(path, text.encode(errors="surrogateescape"))
    return others


def _text(path: Path) -> str:
    return read_bounded(path, MAX_FILE).decode(errors="surrogateescape")


def _give(places: Places) -> None:
    """As root: to each service what it must read, and to nobody else."""
    key = places.mosquitto / "broker.key"
    if os.geteuid() != 0:
        return
    user, group, broker = _ids()
    os.chown(key, -1, broker)
    key.chmod(0o640)
    for _, _, names, folder in os.fwalk(places.state):  # by handles: the folders are that user's, who may exchange them
        os.fchown(folder, user, group)
        for name in names:
            os.chown(name, user, group, dir_fd=folder, follow_symlinks=False)


def _ids() -> tuple[int, int, int]:
    """Of our user, its group, and the broker's group."""
    from grp import getgrnam
    from pwd import getpwnam

    try:
        found = getpwnam(USER)
    except KeyError as error:
        raise FileFault(f"there is no user {USER}: the package, or `make install`, makes it") from error
    try:
        return found.pw_uid, found.pw_gid, getgrnam(BROKER_GROUP).gr_gid
    except KeyError as error:
        raise FileFault(f"there is no group {BROKER_GROUP}, which the broker runs as") from error
