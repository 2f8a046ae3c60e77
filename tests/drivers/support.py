"""What the tests of drivers share: a driver out of TOML text, and a sink that can be waited for."""

import asyncio
from pathlib import Path
from typing import TypeVar

from config import load
from drivers.base import BusSetup, Driver
from drivers.conformance import Heard
from drivers.setup import prepare

D = TypeVar("D", bound=Driver)

GATEWAY = '[gateway]\nid = "gw-1"\nsite = "test"\n\n'
WAIT_SECONDS = 20.0  # a loaded machine; an idle one needs milliseconds


def make(kind: type[D], folder: Path, text: str) -> D:
    """The driver of the one bus in `text` (TOML without [gateway])."""
    file = folder / "lamppost.toml"
    file.write_text(GATEWAY + text)
    folders = [kind.profiles] if kind.profiles is not None else []
    driver = prepare(load(file, profiles=folders), lambda _: kind)[0]
    assert isinstance(driver, kind)
    return driver


class Listener(Heard):
    """A sink of the real kernels that tells when something has come."""

    def __init__(self, setup: BusSetup) -> None:
        super().__init__(setup)
        self._news = asyncio.Event()

    def _keep(self) -> None:
        super()._keep()
        self._news.set()

    def failed(self, device: str, error: Exception) -> None:
        super().failed(device, error)  # type: ignore[arg-type]
        self._news.set()

    def stranger(self, description: str) -> None:
        super().stranger(description)
        self._news.set()

    async def until(self, *, samples: int = 0, failures: int = 0, strangers: int = 0) -> None:
        """Wait until that much has come."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.samples) < samples or len(self.failures) < failures or len(self.strangers) < strangers:
                self._news.clear()
                await self._news.wait()
