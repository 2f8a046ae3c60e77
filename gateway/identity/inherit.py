"""The configuration of the box before, on the box that takes its place: used where nothing speaks against it."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from buffer.enrolment import Answer
from buffer.running import FOLDERS, Running
from config import Broker, Buffer, Config, ConfigErrors, Tls
from gateway.errors import SetupFailed
from gateway.files import save
from gateway.identity.enrol import Places
from gateway.setup import installation

ASIDE = "pulled"
"""The folder beside the configuration for what is not put in its place."""
PACKAGED = Path("/usr/share/lamppost/lamppost.toml")
"""What the package puts into /etc where nothing is yet."""
NEAR = tuple(map(ip_network, (
    "127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/64",
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7",
)))  # fmt: skip
"""What systemd/lamppost.service allows whatever is configured (its two words: systemd.resource-control(5))."""
MAX_FILE = 1 << 20  # bytes that are compared: none of ours is larger


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the files are in place; otherwise they lie in `aside`, because of `reasons`."""

    placed: bool
    aside: Path
    reasons: tuple[str, ...] = ()


def take(answer: Answer, running: Running, places: Places, main: Path, packaged: Path = PACKAGED) -> Outcome:
    """Put the files that ran before in the place of `main` and of what is beside it; raises `OSError`.

    They are put aside instead when something was edited here, when they would not run, or when they name other keys,
    brokers or another gateway than the answer does, files that are not the agent's, or hosts far away: who this box is
    and whom it trusts is said by the answer alone.
    """
    aside = main.parent / ASIDE
    files = _laid(running, aside, main)
    reasons = [*_edited(files, main, packaged), *_unfit(answer, running, places, main, files)]
    if reasons:
        return Outcome(False, aside, tuple(reasons))
    for target in [*(target for target in files if target != main), main]:  # the main one last: it names the others
        target.parent.mkdir(mode=0o750, exist_ok=True)
        _own(target.parent, main.parent, 0o750)
        files[target].replace(target)
    shutil.rmtree(aside)
    return Outcome(True, aside)


def _laid(running: Running, aside: Path, main: Path) -> dict[Path, Path]:
    """The texts as files in a fresh folder: where each belongs, and where it is."""
    if aside.is_symlink() or aside.is_file():
        aside.unlink()
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o750)
    _own(aside, main.parent, 0o750)
    found = {}
    for n, (name, text) in enumerate(running.texts):
        file = aside / (name if n else main.name)
        file.parent.mkdir(mode=0o750, exist_ok=True)
        save(file, text.encode())
        _own(file.parent, main.parent, 0o750)
        _own(file, main.parent, 0o640)
        found[main.parent / file.relative_to(aside)] = file
    return found


def _own(path: Path, like: Path, mode: int) -> None:
    """The group of `like` may read it, which is the agent's; others may not."""
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, 0, like.stat().st_gid)


def _edited(files: dict[Path, Path], main: Path, packaged: Path) -> list[str]:
    """What somebody has written here already, and would be lost or mixed with what comes."""
    there = [main, *(file for folder in FOLDERS for file in sorted((main.parent / folder).glob("[!.]*.toml")))]
    found = []
    for file in there:
        text = _bytes(file)
        if text is None or (file == main and text == _bytes(packaged)):
            continue
        if text != _bytes(files.get(file)):
            found.append(f"{file} was written here")
    return found


def _bytes(file: Path | None) -> bytes | None:
    if file is None or not file.is_file():
        return None
    with file.open("rb") as stream:
        return stream.read(MAX_FILE)


def _unfit(answer: Answer, running: Running, places: Places, main: Path, files: dict[Path, Path]) -> list[str]:
    aside = files[main].parent
    reasons = [f'{running.hidden} values were hidden as "(hidden)" when it was told'] * (running.hidden > 0)
    try:
        found = installation.read_copy(files[main], aside / "conf.d", aside / "profiles", main)
        reasons += [str(problem) for problem in installation.overloaded(found)]
        if named := _others(answer, found.config, places, main.parent):
            return [*reasons, *named]
        installation.keys(found.config)
    except ConfigErrors as errors:
        reasons += map(str, errors.problems)
    except SetupFailed as error:
        reasons.append(str(error))
    return reasons


def _others(answer: Answer, config: Config, places: Places, etc: Path) -> list[str]:
    """Whom it names that the answer does not: a box that was stolen may have told what a thief wants."""
    gateway, uplink = config.gateway, config.uplink
    found = []
    if (gateway.id, gateway.site) != (answer.gateway, answer.site):
        found.append(f"it is of {gateway.id} of site {gateway.site}")
    named: list[tuple[str, Path | None, Path]] = [("gateway.key", gateway.key, places.batch)]
    if uplink is not None:
        told = set(map(_place, answer.brokers))
        found += [f"the platform names no broker {b.url}" for b in uplink.brokers if _place(b.url) not in told]
        if uplink.root != answer.root:
            found.append(f"uplink.root is {uplink.root}, and the platform's is {answer.root}")
        passwords = (uplink.password_file, uplink.proxy_password_file)
        found += [problem for path in passwords if path is not None and (problem := _password(path, places, etc))]
        named.append(("uplink.authority", uplink.authority, places.authority))
        if any(broker.tls for broker in uplink.brokers):
            tls = uplink.tls or Tls()
            named += [
                ("uplink.tls.ca", tls.ca, places.ca), ("uplink.tls.cert", tls.cert, places.certificate),
                ("uplink.tls.key", tls.key, places.tls),
            ]  # fmt: skip
    found += [f"{key} is {has or 'missing'}, and enrolled was {ours}" for key, has, ours in named if has != ours]
    if config.buffer.path != Buffer().path and _owner(config.buffer.path.parent) != _owner(places.folder):
        found.append(f"buffer.path is {config.buffer.path}, in a folder that is not the agent's")
    return found + [f"{key} is {host}, which is not in a private network" for key, host in _hosts(config) if _far(host)]


def _password(path: Path, places: Places, etc: Path) -> str:
    """What is wrong with a file that is sent as a password, and destroyed with this gateway."""
    if not path.exists():
        return f"it names {path}, which is not here"
    real = path.resolve()
    ours = real.is_relative_to(etc.resolve()) and real not in {key.resolve() for key in places.private}
    return "" if ours else f"it names {path} as a password"


def _owner(folder: Path) -> int | None:
    try:
        return folder.stat().st_uid
    except OSError:
        return None


def _hosts(config: Config) -> Iterator[tuple[str, str]]:
    """What the agent connects to beside the brokers."""
    for bus in config.buses.values():
        if "host" in bus.options:
            yield f"buses.{bus.id}.host", str(bus.options["host"])
    if config.uplink is not None and config.uplink.proxy is not None:
        yield "uplink.proxy", config.uplink.proxy.host


def _far(host: str) -> bool:
    """Whether the service would reach it only because it is named here; a name may lead anywhere."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host != "localhost"
    return not any(address in network for network in NEAR)


def _place(url: str) -> tuple[str, int, bool, str] | None:
    try:
        broker = Broker.parse(url)
    except ValueError:
        return None
    return broker.host, broker.port, broker.tls, broker.path
