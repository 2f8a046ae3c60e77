"""A D-Bus daemon of the test's own, where only the fake BlueZ lives."""

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.drivers.ble.fake_bluez import FakeBluez

POLICY = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""


class Daemon:
    """A dbus-daemon process."""

    def __init__(self, program: str, folder: Path) -> None:
        config = folder / "bus.conf"
        config.write_text(POLICY.format(socket=folder / "bus"))
        self._process = subprocess.Popen(
            [program, f"--config-file={config}", "--print-address", "--nofork", "--nopidfile", "--nosyslog"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    def kill(self) -> None:
        """End it at once; safe at any time."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@pytest.fixture
def daemon(
    program: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Daemon]:
    made = Daemon(program("dbus-daemon", "dbus-daemon"), tmp_path_factory.mktemp("dbus"))
    monkeypatch.setitem(os.environ, "DBUS_SYSTEM_BUS_ADDRESS", made.address)
    yield made
    made.kill()


@pytest.fixture
async def bluez(daemon: Daemon) -> AsyncIterator[FakeBluez]:
    made = FakeBluez()
    await made.start()
    made.add_adapter()
    yield made
    await made.stop()
