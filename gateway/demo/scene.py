"""The demo's folder: keys, configuration, and how each process is started."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from buffer.keyring import Keyring, RingKey
from buffer.keys import SigningKey
from drivers.simulated.dbus import program

GATEWAY, SITE = "gw-demo", "demo"
COMMIT_MS = 1_000
LIGHT, LEVEL = "light/level", 40

CONFIG = """\
[gateway]
id = "{gateway}"
site = "{site}"
key = "batch.key"

[uplink]
brokers = ["mqtt://127.0.0.1:{link}"]
authority = "authority.json"
batch = "2s"

[buffer]
path = "buffer.db"
commit = "{commit}ms"

[buses]
panel = {{ driver = "modbus", transport = "tcp", host = "127.0.0.1", port = {modbus} }}
mast = {{ driver = "nmea", port = "{mast}", baud = 4800 }}
house = {{ driver = "p1", port = "{p1}" }}

[devices]
light = {{ bus = "panel", address = 2, profile = "street-light", every = "1s", labels = {{ street = "Main" }} }}
wind = {{ bus = "mast", profile = "nmea-mwv" }}
weather = {{ bus = "mast", profile = "nmea-mda" }}
place = {{ bus = "mast", profile = "nmea-gnss" }}
power = {{ bus = "house", profile = "dsmr-three-phase" }}
gas = {{ bus = "house", points.volume = {{ obis = "0-n:24.2.1", equipment = "gas", unit = "m3" }} }}

[devices.meter]
bus = "panel"
address = 1
profile = "eastron-sdm630"
every = "1s"
asset_id = "E-1044"
location = [43.589, -79.644]
points.pulses = {{ table = "input", register = 512, type = "uint32" }}
points.energy-wh = {{ table = "input", register = 514, type = "uint64", unit = "Wh" }}
points.phase-angle = {{ table = "input", register = 518, type = "int16", scale = 0.1, unit = "deg" }}
"""

BEACONS = """\

[buses.air]
driver = "ble"

[devices.bin]
bus = "air"
address = "C4:11:22:33:44:55"
profile = "ruuvi-df5"
every = "1s"

[devices.room]
bus = "air"
address = "C4:11:22:33:44:56"
format = "bthome"
every = "1s"
points.temperature = {{ reading = "temperature", unit = "Cel" }}
points.humidity = {{ reading = "humidity", unit = "%RH" }}
points.battery = {{ reading = "battery", unit = "%" }}
points.rssi = {{ source = "rssi", unit = "dBm" }}
"""
"""Needs a D-Bus where a simulated BlueZ lives."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The files and commands of one demo in `folder`."""

    folder: Path

    @property
    def config(self) -> Path:
        """The agent's configuration."""
        return self.folder / "lamppost.toml"

    @property
    def store(self) -> Path:
        """The agent's buffer."""
        return self.folder / "buffer.db"

    @property
    def database(self) -> Path:
        """The collector's database."""
        return self.folder / "collector.db"

    @property
    def device_log(self) -> Path:
        """What the simulated devices said."""
        return self.folder / "devices.ndjson"

    @property
    def public_key(self) -> Path:
        """The gateway's public key."""
        return self.folder / "gateway.json"

    @property
    def authority(self) -> Path:
        """The public key whose keyrings the gateway believes."""
        return self.folder / "authority.json"

    @property
    def keyring(self) -> Path:
        """Who may do what, signed by the authority."""
        return self.folder / "keyring.cose"

    @property
    def history(self) -> Path:
        """What happened, for an account that is made again."""
        return self.folder / "demo.json"

    def prepare(self) -> None:
        """Make the keys; the platform pins the gateway's, the gateway the authority's, who signs for the others."""
        batch = SigningKey.create(self.folder / "batch.key").public(GATEWAY, SITE, "batch")
        self.public_key.write_text(batch.to_json() + "\n")
        platform = SigningKey.create(self.folder / "platform.key").public(role="acknowledge")
        operator = SigningKey.create(self.folder / "operator.key").public(role="command")
        keys = (
            RingKey("collector", "acknowledge", platform.raw),
            RingKey("operator", "command", operator.raw, ((SITE, GATEWAY, *LIGHT.split("/")),)),
        )
        authority = SigningKey.create(self.folder / "authority.key")
        self.authority.write_text(authority.public(role="authority").to_json() + "\n")
        self.keyring.write_bytes(Keyring(1, time.time_ns() // 1_000_000, keys).sign(authority))

    def configure(self, modbus: int, mast: str, p1: str, link: int, ble: str = "") -> None:
        """Write the agent's configuration; `ble` is the address of the Bluetooth sensors' D-Bus, if there are any."""
        ports = {"modbus": modbus, "mast": mast, "p1": p1, "link": link}
        text = CONFIG + BEACONS if ble else CONFIG
        self.config.write_text(text.format(gateway=GATEWAY, site=SITE, commit=COMMIT_MS, **ports))

    def simulators(self) -> list[str]:
        """The devices."""
        beacons = ["--ble"] if self.bluetooth else []
        return [sys.executable, "-m", "drivers.simulated", "--log", str(self.device_log), *beacons]

    @property
    def bluetooth(self) -> bool:
        """Whether there is what Bluetooth sensors need here: no radio, but a D-Bus daemon."""
        return program() is not None

    def agent(self, run_dir: Path) -> list[str]:
        """The agent."""
        return [sys.executable, "-m", "gateway", "run", "--config", str(self.config), "--run-dir", str(run_dir)]

    def web(self, run_dir: Path) -> list[str]:
        """The technician's page."""
        words = ["--address", "127.0.0.1", "--port", "0", "--for", "24h", "--json", "--run-dir", str(run_dir)]
        return [sys.executable, "-m", "gateway", "web", "open", *words]

    def collector(self, *words: str) -> list[str]:
        """A verb of the collector."""
        return [sys.executable, "-m", "collector", *words]

    def collector_run(self, broker: int, *, shared: bool) -> list[str]:
        """The collector's service."""
        words = ["run", "--database", str(self.database), "--key", str(self.folder / "platform.key")]
        words += ["--broker", f"mqtt://127.0.0.1:{broker}"]
        return self.collector(*words, *([] if shared else ["--no-share"]))

    def add_gateway(self) -> list[str]:
        """Make the gateway known to the collector."""
        return self.collector("gateways", "add", str(self.public_key), "--database", str(self.database))

    def relay_keyring(self, broker: int) -> list[str]:
        """Tell the gateway whom to believe."""
        words = ["keyring", "relay", str(self.keyring), "--authority", str(self.authority)]
        return self.collector(*words, *self._platform(broker), "--yes")

    def dim(self, broker: int) -> list[str]:
        """Dim the street light: signed by the operator, relayed by the collector; waits for the gateway's result."""
        words = ["command", "send", "--key", str(self.folder / "operator.key"), "--gateway", GATEWAY]
        words += ["--write", f"{LIGHT}={LEVEL}", "--who", "the demo", "--why", "it is late", "--wait", "20s"]
        return self.collector(*words, *self._platform(broker), "--yes", "--json")

    def audit(self) -> list[str]:
        """Prove what was changed, by whom and on whose authority."""
        words = ["audit", "--verify", "--authority", str(self.authority), "--database", str(self.database), "--json"]
        return self.collector(*words)

    def _platform(self, broker: int) -> list[str]:
        return ["--database", str(self.database), "--broker", f"mqtt://127.0.0.1:{broker}"]
