"""A small real installation: agent, line, adapter, TLS broker, collector; faults are made from outside."""

import asyncio
import os
import random
import secrets
import shutil
import signal
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest

from drivers.simulated.bluez import SYSTEMD, SimulatedBluez
from drivers.simulated.dbus import PROGRAM, PrivateBus
from gateway.doctor.doctor import examined
from gateway.doctor.finding import Finding, Level
from gateway.setup.installation import LOCAL_PROFILES
from tests.authority import Authority
from tests.gateway.doctor.line import Line, Unit
from tests.integration.harness import GATEWAY, SITE, Rig
from tests.mosquitto import PATH, free_port

CONFIG = """\
[gateway]
id = "{gateway}"
site = "{site}"
key = "batch.key"
[uplink]
brokers = ["mqtts://127.0.0.1:{link}"]
tls = {{ ca = "ca.pem", cert = "gw.pem", key = "gw.key" }}
authority = "authority.json"
batch = "300ms"
version = "5"
[buffer]
path = "{buffer}"
commit = "100ms"
keep_free = "0B"
[buses.cable]
driver = "modbus"
transport = "rtu"
port = "{port}"
timeout = "40ms"
{devices}
[buses.air]
driver = "ble"
"""
DEVICE = """
[devices.{name}]
bus = "cable"
address = {address}
every = "{every}"
order = {order}
profile = "{profile}"
"""
PROFILE = """\
driver = "modbus"
untested = "for a test of the doctor"
points.volts = { table = "input", register = 0, type = "float32", unit = "V", limits = { min = 0, max = 1000 } }
points.amps = { table = "input", register = 2, type = "float32", unit = "A" }
"""
BROKER = """\
acl_file {folder}/acl
listener {port} 127.0.0.1
allow_anonymous true
cafile {folder}/good.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
require_certificate true
use_identity_as_username true
"""
NO_USER = "no-such-user"
"""So the doctor looks with the eyes of this process: another user may not look into the folders of tests."""
MAY = "topic readwrite #\nuser gw\ntopic readwrite lamppost/#\n"
MAY_NOT = "topic readwrite #\nuser gw\ntopic read lamppost/#\n"
YEAR = timedelta(days=365)
CARD_BYTES = 24_000_000


class Cabinet(Rig):
    """A rig with a line of four devices at random addresses, TLS and an adapter."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.tls_port = free_port()
        self.mount = folder / "card"
        super().__init__(
            folder,
            buffer=self.mount / "buffer.db",
            broker=BROKER.format(folder=folder, port=self.tls_port).splitlines(),
        )
        self.draw = random.Random(seed)
        addresses = self.draw.sample(range(1, 100), 4)
        self.line = Line([Unit(address, (230.0 + n / 10, 1.5 + n)) for n, address in enumerate(addresses)])
        self.names = [f"meter{n}" for n in range(4)]
        self.profile = LOCAL_PROFILES / f"doctor-{secrets.token_hex(4)}.toml"
        self.every = "150ms"
        self.env: dict[str, str] = {}
        self.bluez = SimulatedBluez()
        self._dbus: PrivateBus | None = None
        self.full = False
        """Whether the buffer is on a file system of its own, that can be filled up."""

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._prepare)
        await self.bluez.start(SYSTEMD)
        self.bluez.add_adapter()
        self.line.start()
        await super().__aenter__()
        self.link.target = self.tls_port
        await self.restart()
        return self

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        await self.bluez.stop()
        self.line.stop()
        await asyncio.to_thread(self._clear)

    # what a test does ----------------------------------------------------------------------------------------------

    async def restart(self, **env: str) -> None:
        """Write the configuration and start the agent with it, with further environment."""
        await self.stop_agent()
        await asyncio.to_thread(self.write)
        self._env = {**self.env, **env}
        await self.start_agent()

    def write(self, more: str = "") -> None:
        """The configuration, with more lines at its end. Blocks."""
        devices = "".join(
            DEVICE.format(
                name=name, address=unit.address, order=order, every=self.every, profile=self.profile.stem
            )
            for order, (name, unit) in enumerate(zip(self.names, self.line.units, strict=True), 1)
        )  # fmt: skip
        text = CONFIG.format(
            gateway=GATEWAY, site=SITE, link=self.link.port, buffer=self.buffer,
            port=self.line.path, devices=devices,
        )  # fmt: skip
        self.config.write_text(text + more)

    async def findings(self, user: str = NO_USER) -> list[Finding]:
        """What the doctor says, but for what is well."""
        found = await asyncio.to_thread(examined, self.config, self.run_dir, user, 0.1)
        return [one for one in found if one.level is not Level.OK]

    async def faults(self) -> list[str]:
        """The names of the failures, in their order."""
        return [one.fault for one in await self.findings() if one.level is Level.FAILURE]

    async def until_faults(self, *wanted: str, seconds: float = 25.0) -> list[Finding]:
        """Ask the doctor until it names these failures and no other; what it says."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            found = await self.findings()
            named = [one.fault for one in found if one.level is Level.FAILURE]
            if sorted(named) == sorted(wanted):
                return found
            if loop.time() > deadline:
                raise AssertionError(f"{named} in place of {wanted}: {found}")

    def broker_reloads(self) -> None:
        """SIGHUP: it reads its access list and certificates again."""
        os.kill(self.broker.pid, signal.SIGHUP)

    async def until_served(self) -> None:
        """Wait until the broker shows the certificate that lies in its file."""
        wanted = ssl.PEM_cert_to_DER_cert((self.folder / "broker.pem").read_text())
        while wanted != ssl.PEM_cert_to_DER_cert(
            await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", self.tls_port))
        ):
            self.broker_reloads()
            await asyncio.sleep(0.1)

    def drop_link(self) -> None:
        """End the connections of the agent."""
        for writer in tuple(self.link._open):
            writer.transport.abort()

    # ---------------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        program = shutil.which(PROGRAM, path=PATH)
        if program is None:
            pytest.skip(f"{PROGRAM} is not installed (Debian package dbus-daemon; see debian-packages.txt)")
        try:
            LOCAL_PROFILES.mkdir(parents=True, exist_ok=True)
            self.profile.write_text(PROFILE)
        except OSError as error:
            pytest.skip(f"no profile of our own can be installed: {error}")
        self._dbus = PrivateBus(program, self.folder)
        self.env = {"DBUS_SYSTEM_BUS_ADDRESS": self._dbus.address}
        os.environ.update(self.env)
        self.mount.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={CARD_BYTES},mode=0700", "lamppost-test", str(self.mount)]
        self.full = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        good = Authority(self.folder, "good")
        Authority(self.folder, "other")
        (self.folder / "ca.pem").write_bytes(good.file.read_bytes())
        for name, who in (("gw", "gw"), ("broker", "broker")):
            self.install(good, name, who, YEAR)
        self.authority = good
        (self.folder / "acl").write_text(MAY)

    def install(self, authority: Authority, name: str, who: str, ends: timedelta) -> None:
        """A certificate of `who`, valid for so long, as `NAME.pem` and `NAME.key`."""
        cert, key = authority.issue(who, ends)
        (self.folder / f"{name}.pem").write_bytes(cert.read_bytes())
        (self.folder / f"{name}.key").write_bytes(key.read_bytes())

    def _clear(self) -> None:
        self.profile.unlink(missing_ok=True)
        if self.full:
            subprocess.run(["umount", "--lazy", str(self.mount)], check=True)
        os.environ.pop("DBUS_SYSTEM_BUS_ADDRESS", None)
        if self._dbus is not None:
            self._dbus.kill()
