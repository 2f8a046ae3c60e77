"""A D-Bus daemon of the test's own, where only the simulated BlueZ lives."""

import os
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from drivers.simulated.bluez import SYSTEMD, SimulatedBluez
from drivers.simulated.dbus import PROGRAM, PrivateBus


@pytest.fixture
def daemon(
    program: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PrivateBus]:
    made = PrivateBus(program(PROGRAM, PROGRAM), tmp_path_factory.mktemp("dbus"))
    monkeypatch.setitem(os.environ, "DBUS_SYSTEM_BUS_ADDRESS", made.address)
    yield made
    made.kill()


@pytest.fixture
async def bluez(daemon: PrivateBus) -> AsyncIterator[SimulatedBluez]:
    made = SimulatedBluez()
    await made.start(SYSTEMD)
    made.add_adapter()
    yield made
    await made.stop()
