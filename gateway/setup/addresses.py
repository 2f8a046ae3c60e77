"""A systemd generator (systemd.generator(7)): the services may reach the addresses that are configured, and no others.

The units allow this machine and private networks. What is configured beside those stands in drop-ins that are made at
boot, at `systemctl daemon-reload`, and by `--follow` before each start. It runs as root, early, and without a network:
only the standard library, no name is looked up. A name, and a file that cannot be read, open all. What it reads is
root's, but for `enrolment.json`, which opens nothing for the agent. Keys that are sealed are given to who needs them.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from gateway.files import read_plain

ETC = Path("/etc/lamppost")
MADE = Path("/run/systemd/generator")
ANY = "any"
RELOAD_S = 30.0
MAX_FILE = 1 << 20  # bytes; a thousand devices have a tenth of it
EVERYONE = "everyone"
"""No address: it opens all."""
SEALED, KEYS = "sealed", ("batch.key", "tls.key")
"""As `gateway.identity.sealed` and `gateway.identity.enrol` have them."""
RULES = re.compile(r"--rules[ =]+(\S+)")
URL = re.compile(r"(?!sqlite)\b[a-z][a-z0-9+]*://[^\s'\"]+")


def main() -> None:
    """Make the drop-ins in the folder of the first argument; with `--follow`, have systemd do it if they changed."""
    texts = drop_ins(ETC)
    if sys.argv[1:2] != ["--follow"]:
        write(texts, Path(sys.argv[1]))
    elif any(_read(MADE / name) != text for name, text in texts.items()):
        subprocess.run(["/usr/bin/systemctl", "daemon-reload"], check=True, timeout=RELOAD_S)


def drop_ins(etc: Path) -> dict[str, str]:
    """The text of each drop-in by its name, from the configuration in `etc`."""
    found = {f"{unit}.service.d/addresses.conf": _text(hosts, etc) for unit, hosts in UNITS.items()}
    keys = [f"LoadCredentialEncrypted={name}:{etc}/{SEALED}/{name}\n" for name in KEYS if _is_sealed(etc, name)]
    return found | {f"{unit}.service.d/keys.conf": "[Service]\n" + "".join(keys) for unit in WITH_KEYS}


def write(texts: dict[str, str], folder: Path) -> None:
    """Write the drop-ins below `folder`."""
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def allowed(hosts: Iterable[str]) -> list[str]:
    """What `IPAddressAllow=` needs to reach the hosts: their addresses, or all when one is named."""
    found = set()
    for host in hosts:
        if host == "localhost":  # RFC 6761, 6.3: always this machine
            continue
        try:
            found.add(str(ip_address(host.partition("%")[0])))
        except ValueError:
            return [ANY]
    return sorted(found)


def _text(hosts: Callable[[Path], Iterator[str]], etc: Path) -> str:
    try:
        names = allowed(hosts(etc))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):  # the agent says what is wrong, or runs on
        names = [ANY]
    return f"[Service]\nIPAddressAllow={' '.join(names)}\n" if names else "[Service]\n"


def _agent(etc: Path) -> Iterator[str]:
    """The hosts of the brokers and of the buses."""
    for file in (etc / "lamppost.toml", *sorted(etc.glob("conf.d/*.toml"))):
        table = tomllib.loads(_config(file))
        yield from map(_host, table.get("uplink", {}).get("brokers", []))
        yield from (bus["host"] for bus in table.get("buses", {}).values() if "host" in bus)


def _collector(etc: Path) -> Iterator[str]:
    """The hosts of the URLs that the collector runs with: its broker, a database."""
    for _, value in _variables(etc / "collector.env"):
        yield from map(_host, URL.findall(value))


def _renew(etc: Path) -> Iterator[str]:
    """The host of the enrolment server that the token named; nobody where the gateway was enrolled by hand."""
    yield from map(_host, filter(None, [json.loads(_config(etc / "keys" / "enrolment.json", follow=False)).get("url")]))


def _enroll(etc: Path) -> Iterator[str]:
    """All, for gateways come from where they are; unless a proxy on this machine stands before it. And its database."""
    for name, value in _variables(etc / "collector-enroll.env"):
        listens = name == "LISTEN" and not ip_address(value.rpartition(":")[0].strip("[]")).is_loopback
        yield from [EVERYONE] if listens else map(_host, URL.findall(value))


def _alarms(etc: Path) -> Iterator[str]:
    """The hosts of a database, and of the webhook in the rules."""
    for name, value in _variables(etc / "collector.env"):
        if name in ("LAMPPOST_COLLECTOR_DATABASE", "ALARMS"):
            yield from map(_host, URL.findall(value))
        if name == "ALARMS" and (rules := RULES.search(value)):
            yield _host(tomllib.loads(_config(Path(rules[1]))).get("webhook", {}).get("url", ""))


def _variables(file: Path) -> Iterator[tuple[str, str]]:
    """What an environment file sets (systemd.exec(5), `EnvironmentFile=`)."""
    for line in _config(file).splitlines():
        name, _, value = line.strip().partition("=")
        if not name.startswith(("#", ";")):
            yield name.strip(), value.strip().strip("\"'")


def _is_sealed(etc: Path, name: str) -> bool:
    try:
        return (etc / SEALED / name).is_file()
    except OSError:
        return False


UNITS: dict[str, Callable[[Path], Iterator[str]]] = {
    "lamppost": _agent, "lamppost-renew": _renew, "lamppost-collector": _collector,
    "lamppost-collector-enroll": _enroll, "lamppost-collector-alarms": _alarms,
}  # fmt: skip
WITH_KEYS = ("lamppost", "lamppost-renew")


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _config(path: Path, *, follow: bool = True) -> str:
    """A file that is perhaps not root's: neither a pipe, which would stop the boot, nor without end."""
    return read_plain(path, MAX_FILE, follow=follow).decode()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
