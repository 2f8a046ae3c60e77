"""A technician's locks: nothing is written to a device while somebody has their hands in it.

Held by bus and address, in a file beside the store: renaming the device, a reboot or another store does not end one.
It does not replace electrical isolation.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from os.path import realpath
from pathlib import Path
from typing import Any

from buffer.errors import NotAllowed
from buffer.header import ClockState
from drivers.base import DeviceSetup, Driver
from gateway.clock import AgentClock
from gateway.files import save

log = logging.getLogger(__name__)

NAME = "locks.json"
VERSION = 1
MAX_FILE = 1 << 20
MAX_LOCKS = 1000
"""As many devices as somebody may work on."""
MAX_TEXT = 200
ENDPOINT = ("host", "port", "adapter")
"""The options of buses that say where one goes, whatever it is called here."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a device is."""

    bus: str
    endpoint: str
    address: str

    def same(self, other: "Place") -> bool:
        """Whether it is one device, by any name that its bus had."""
        bus = self.bus == other.bus or _meet(self.endpoint, other.endpoint)
        return bus and self.address.casefold() == other.address.casefold()

    def perhaps(self, other: "Place") -> bool:
        """Whether it may be one device all the same: two names of hosts or ports may be of one."""
        driver = self.endpoint.split()[:1] == other.endpoint.split()[:1]
        return driver and self.address.casefold() == other.address.casefold()


@dataclass(frozen=True, slots=True)
class Lock:
    """`until_ms` is UTC, 0 for no end or one that only this boot's clock knows: `boot`, `boot_ms`."""

    device: str
    bus: str
    endpoint: str
    address: str
    reason: str
    who: str
    since_ms: int
    until_ms: int = 0
    boot: str = ""
    boot_ms: int = 0

    @property
    def place(self) -> Place:
        """Where the device is."""
        return Place(self.bus, self.endpoint, self.address)

    def json(self) -> dict[str, Any]:
        """What people are told of it."""
        names = ("device", "bus", "address", "reason", "who", "since_ms")
        told: dict[str, Any] = {name: getattr(self, name) for name in names}
        return told | {"until_ms": self.until_ms or None, "ends": bool(self.until_ms or self.boot)}


def beside(store: Path) -> Path:
    """The file that belongs to the store at this path."""
    return store.with_name(NAME)


def place(driver: Driver, device: DeviceSetup) -> Place:
    """Where a configured device is."""
    bus = driver.setup.bus
    endpoint = " ".join(str(bus.options[key]) for key in ENDPOINT if key in bus.options)
    return Place(bus.id, f"{bus.driver} {endpoint}" if endpoint else "", str(device.device.options.get("address", "")))


def _meet(one: str, other: str) -> bool:
    """Whether two endpoints are one: a port that is left out may be any, and a link goes where it goes."""
    words = [[realpath(word) if word.startswith("/") else word.casefold() for word in e.split()] for e in (one, other)]
    return one != "" != other and all(a == b for a, b in zip(*words, strict=False))


class Locks:
    """The locks of this box. One that may have ended counts until that is certain."""

    def __init__(self, path: Path, drivers: Iterable[Driver], clock: AgentClock) -> None:
        self._path = path
        self._clock = clock
        self._locks: list[Lock] = []
        self._damaged = ""
        self._turn = asyncio.Lock()
        self.rearrange(drivers)

    def rearrange(self, drivers: Iterable[Driver]) -> None:
        """Know these devices from now on; a lock holds whatever a device is called."""
        self._places = {
            device.device.id: place(driver, device) for driver in drivers for device in driver.setup.devices
        }

    def load(self) -> None:
        """Read the file; while it cannot be understood, everything counts as locked."""
        try:
            self._locks = _load(self._path)
        except (OSError, ValueError) as error:
            self._damaged = (
                f"{self._path} cannot be read ({error}); remedy: see who works on site, then remove the file"
            )
            log.critical("every device is locked: %s", self._damaged)

    def check(self, device: str) -> None:
        """Raise `NotAllowed` (`lock`) when `device` is locked, or is not there any longer."""
        if device not in self._places:
            raise NotAllowed("not-writable", f"there is no device {device} any longer")
        self.check_place(device, self._places[device])

    def check_place(self, device: str, at: Place) -> None:
        """The same of what is, or would be, called `device`."""
        if self._damaged:
            raise NotAllowed("lock", f"every device is locked: {self._damaged}")
        for lock in self.held():
            if lock.place.same(at):
                raise NotAllowed("lock", f"{device} is locked by {lock.who}: {lock.reason}")

    def check_new(self, device: str, at: Place) -> None:
        """The same of what is to be begun: nor may it be a locked device by a name that is new here."""
        self.check_place(device, at)
        if any(_meet(at.endpoint, known.endpoint) for known in self._places.values()):
            return
        for lock in self.held():
            if lock.place.perhaps(at):
                raise NotAllowed("lock", f"{device} may be {lock.device}, locked by {lock.who}, by another name")

    def held(self) -> list[Lock]:
        """The locks that have not ended."""
        return [lock for lock in self._locks if not self._ended(lock)]

    def places(self, device: str) -> bool:
        """Whether there is such a device."""
        return device in self._places

    async def lock(self, device: str, reason: str, who: str, for_ms: int | None) -> Lock:
        """Lock it, in place of a lock that it has; on the disk when this returns. Raises `OSError`, `NotAllowed`."""
        at = self._place(device)
        async with self._turn:
            made = self._made(device, at, reason, who, for_ms)
            kept = [lock for lock in self.held() if not lock.place.same(at)]
            if len(kept) >= MAX_LOCKS:
                raise NotAllowed("full", f"{MAX_LOCKS} devices are locked already")
            before, self._locks = self._locks, [*kept, made]  # at once: nothing is written while the disk takes it
            await self._save(before)
            return made

    async def unlock(self, device: str) -> Lock | None:
        """End its lock; None when it has none. Raises `OSError`, `NotAllowed`."""
        at = self._place(device)
        async with self._turn:
            found = next((lock for lock in self.held() if lock.place.same(at)), None)
            if found is not None:
                kept = [lock for lock in self.held() if lock is not found]
                await asyncio.to_thread(save, self._path, _dumps(kept))
                self._locks = kept  # only now: a power cut must not bring back what is not told
            return found

    def _place(self, device: str) -> Place:
        if self._damaged:
            raise NotAllowed("lock", self._damaged)
        return self._places[device]

    def _made(self, device: str, at: Place, reason: str, who: str, for_ms: int | None) -> Lock:
        now, estimate = self._clock.now(), self._clock.trusted()
        known = estimate.state is not ClockState.UNSET
        return Lock(
            device, at.bus, at.endpoint, at.address, reason, who, self._clock.utc_ms(),
            until_ms=now + estimate.clock_ms + for_ms if for_ms and known else 0,
            boot=self._clock.boot.hex() if for_ms else "", boot_ms=now + for_ms if for_ms else 0,
        )  # fmt: skip

    async def _save(self, before: list[Lock]) -> None:
        try:
            await asyncio.to_thread(save, self._path, _dumps(self._locks))
        except OSError:
            self._locks = before
            raise

    def _ended(self, lock: Lock) -> bool:
        if lock.boot == self._clock.boot.hex():
            return self._clock.now() >= lock.boot_ms
        if not lock.until_ms or self._clock.trusted().state is ClockState.UNSET:
            return False
        return self._clock.trusted_ms() >= lock.until_ms


def _dumps(locks: Iterable[Lock]) -> bytes:
    return json.dumps({"version": VERSION, "locks": [asdict(lock) for lock in locks]}).encode()


def _load(path: Path) -> list[Lock]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return []
    with contextlib.suppress(LookupError, TypeError, AttributeError, RecursionError):
        content = json.loads(data)
        if content["version"] == VERSION and len(data) <= MAX_FILE:
            locks = [Lock(**one) for one in content["locks"]]
            if all(type(getattr(lock, name)) is type_ for lock in locks for name, type_ in _TYPES.items()):
                return locks
    raise ValueError("it is not what was written")


_TYPES = dict.fromkeys(("device", "bus", "endpoint", "address", "reason", "who", "boot"), str) | dict.fromkeys(
    ("since_ms", "until_ms", "boot_ms"), int
)
