"""What drivers learned of devices, kept over restarts: a small JSON file beside the store."""

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drivers.base import DeviceSetup, Driver
from gateway.errors import FileDamaged
from gateway.files import save as write

log = logging.getLogger(__name__)

NAME = "quirks.json"
VERSION = 1
MAX_FILE = 4 << 20
"""Bytes: 1,000 devices of which as much was learned as a driver may keep."""
MAX_WHY = 200  # characters that are told of what is wrong with it
MAX_LEARNED = 16 << 10
"""Bytes of one device, as JSON: 256 ranges of each of four tables of Modbus."""
SETTLE_S = 5.0
"""What is learned together goes to the disk together."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What was learned of one device, by which driver; `key` names what it was learned on."""

    driver: str
    key: str
    learned: Any


def beside(store: Path) -> Path:
    """The file that belongs to the store at this path."""
    return store.with_name(NAME)


def key(driver: Driver, device: DeviceSetup) -> str:
    """A name for the bus, the address and the points of a device: another device in its place has another."""
    points = {point.point.name: point.point.options for point in device.points}
    bus, one = driver.setup.bus, device.device
    text = json.dumps([bus.driver, bus.options, one.profile, one.options, points], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def load(path: Path) -> dict[str, Kept]:
    """What the file holds, by device; nothing where there is none. Raises `FileDamaged`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return {}
    try:
        return _kept(data)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"[:MAX_WHY]
        raise FileDamaged(f"{path} is not what was written ({why})", "lamppost run: it sets it aside") from error


def _kept(data: bytes) -> dict[str, Kept]:
    if len(data) > MAX_FILE:
        raise ValueError(f"more than {MAX_FILE} bytes")
    content = json.loads(data)
    if content["version"] != VERSION:
        raise ValueError(f"version {content['version']!r}")
    return {device: Kept(one["driver"], one["key"], one["learned"]) for device, one in content["devices"].items()}


def save(path: Path, kept: dict[str, Kept]) -> None:
    """Put it on the disk, all of it or nothing; raises `OSError`."""
    content = {"version": VERSION, "devices": {device: asdict(one) for device, one in sorted(kept.items())}}
    write(path, json.dumps(content, separators=(",", ":")).encode())


def forget(path: Path, devices: Iterable[str] = ()) -> list[str]:
    """Take these devices out of the file, all of them if none is named; those that were in it."""
    kept = load(path)
    gone = sorted(set(devices) & set(kept)) if devices else sorted(kept)
    if gone:
        save(path, {device: one for device, one in kept.items() if device not in gone})
    return gone


class Quirks:
    """The `Memory` of all drivers. The event loop calls it; a thread writes."""

    def __init__(self, path: Path, drivers: Iterable[Driver]) -> None:
        self._path = path
        self._kept: dict[str, Kept] = {}
        self._know(drivers)
        self._changed = asyncio.Event()
        self._refused = False

    def rearrange(self, drivers: Iterable[Driver]) -> None:
        """Have these drivers from now on; what was learned on another device is left out."""
        self._know(drivers)
        self._kept = {device: one for device, one in self._kept.items() if self._keys.get(device) == one.key}

    def _know(self, drivers: Iterable[Driver]) -> None:
        found = [(driver, device) for driver in drivers for device in driver.setup.devices]
        self._drivers = {device.device.id: driver for driver, device in found}
        self._keys = {device.device.id: key(driver, device) for driver, device in found}

    def load(self) -> None:
        """Read the file; one that makes no sense is set aside, what was learned on another device is left out."""
        try:
            kept = load(self._path)
        except FileDamaged as error:
            aside = self._path.with_name(self._path.name + ".damaged")
            log.error("%s; set aside as %s, devices are learned anew", error, aside.name)
            with contextlib.suppress(OSError):  # then it is written over
                self._path.replace(aside)
            return
        except OSError as error:
            log.error("%s cannot be read, devices are learned anew: %s", self._path, error)
            return
        self._kept = {device: one for device, one in kept.items() if self._keys.get(device) == one.key}

    def recall(self, device: str) -> object:
        """What was kept of `device`; None for nothing."""
        one = self._kept.get(device)
        return None if one is None else one.learned

    def keep(self, device: str, learned: object) -> None:
        """Keep it in place of what was kept; None forgets. What is too much, no JSON or of no device is not kept."""
        if device not in self._drivers:
            return
        try:
            size = len(json.dumps(learned))
        except (TypeError, ValueError) as error:
            log.error("device %s: what was learned cannot be kept: %s", device, error)
            return
        if learned is None:
            self._kept.pop(device, None)
        elif size <= MAX_LEARNED:
            self._kept[device] = Kept(self._drivers[device].setup.bus.driver, self._keys[device], learned)
        self._changed.set()

    async def forget(self, device: str | None) -> list[str]:
        """Have the driver of `device`, or all drivers, ask again; the devices of which something was known."""
        gone = [one for one in (self._drivers if device is None else [device]) if one in self._kept]
        for one in self._drivers if device is None else [device]:
            self._drivers[one].forget(one)
            self.keep(one, None)
        await self._write()
        return sorted(gone)

    def knows(self, device: str) -> bool:
        """Whether there is such a device."""
        return device in self._drivers

    async def run(self) -> None:
        """Write what is learned until cancelled, and once more then."""
        try:
            while True:
                await self._changed.wait()
                await asyncio.sleep(SETTLE_S)
                await self._write()
        finally:
            await self._write()

    async def _write(self) -> None:
        if not self._changed.is_set():
            return
        self._changed.clear()
        try:
            await asyncio.to_thread(save, self._path, dict(self._kept))
        except OSError as error:  # what was learned is learned again: worth a line, and no more
            if not self._refused:
                log.warning("%s cannot be written: %s", self._path, error)
            self._refused = True
        else:
            self._refused = False
