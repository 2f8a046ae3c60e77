"""Meters that were exchanged: what the old one said last and the new one first, so that energy stays right.

An event is a sample of `gateway/replacement` in a critical batch: signed and chained like all data (docs/format.md).
A file beside the store keeps the events, for people here and until the disk has each in the chain.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from buffer.errors import StoreError
from buffer.header import ClockState
from config import Point
from gateway.clock import AgentClock
from gateway.errors import BadRequest, FileDamaged, GatewayError
from gateway.files import save
from gateway.keeping.keeper import Keeper
from gateway.keeping.recorder import Recorder
from gateway.reporting.system import REPLACEMENT

log = logging.getLogger(__name__)

NAME = "replacements.json"
VERSION = 1
MAX_FILE = 1 << 20
MAX_EVENTS = 1000
"""Ten meters a year of a thousand, for ten years."""
MAX_AGO_MS = 366 * 86_400_000
COMMIT_S = 2.0
"""A technician does not wait longer for a slow disk."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """Numbers are decimals as text, in the unit of the point; `at_ms` is UTC, 0 where nobody knew the time."""

    id: str
    device: str
    point: str
    final: str
    start: str
    unit: str
    who: str
    why: str
    at_ms: int
    boot: str
    boot_ms: int
    withdrawn: bool = False
    told: bool = False
    """It is in the chain."""

    @property
    def offset(self) -> Decimal:
        """What is added to values of the new meter."""
        return Decimal(self.final) - Decimal(self.start)

    def json(self) -> dict[str, Any]:
        """What people are told of it."""
        names = ("id", "device", "point", "final", "start", "unit", "who", "why", "withdrawn", "told")
        told: dict[str, Any] = {name: getattr(self, name) for name in names}
        return told | {"offset": f"{self.offset:f}", "at_ms": self.at_ms or None}


def beside(store: Path) -> Path:
    """The file that belongs to the store at this path."""
    return store.with_name(NAME)


def load(path: Path) -> list[Replacement]:
    """The events in the file, the oldest first; raises `FileDamaged` or `OSError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return []
    try:
        content = json.loads(data)
        found = [Replacement(**one) for one in content["replacements"]]
        if content["version"] == VERSION and len(data) <= MAX_FILE and all(map(_sound, found)):
            return found
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        raise FileDamaged(f"{path}: it is not what was written", f"mv {path} {path}.damaged") from error
    raise FileDamaged(f"{path}: it is not what was written", f"mv {path} {path}.damaged")


class Replacements:
    """The events of this box; one conversation at a time changes them."""

    def __init__(
        self, path: Path, points: dict[str, Point], recorder: Recorder, keeper: Keeper, clock: AgentClock
    ) -> None:
        self._path = path
        self._points = points
        self._recorder = recorder
        self._keeper = keeper
        self._clock = clock
        self._events: list[Replacement] = []
        self._damaged: GatewayError | None = None
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Read what is kept, and tell what a power cut kept from the chain."""
        try:
            self._events = await asyncio.to_thread(load, self._path)
        except (OSError, FileDamaged) as error:
            self._damaged = GatewayError(str(error), getattr(error, "remedy", ""))
            log.error("no replacement is taken: %s", error)
        if any(not event.told for event in self._events):
            async with self._turn:
                await self._tell_all()

    def rearrange(self, points: dict[str, Point]) -> None:
        """Know these points from now on."""
        self._points = points

    def all(self) -> list[Replacement]:
        """The events, the oldest first."""
        return list(self._events)

    def counter(self, device: str, point: str | None) -> str:
        """The full id of the point that counts; raises `BadRequest` when there is none, or more than one."""
        own = {name: one for name, one in self._points.items() if name.partition("/")[0] == device}
        if not own:
            raise BadRequest("device: no such device")
        if point is not None:
            full = f"{device}/{point.removeprefix(device + '/')}"
            if full not in own:
                raise BadRequest(f"point: {device} has none of that name; it has: {_few(own)}")
            return full
        counters = [name for name, one in own.items() if one.counter is not None]
        if len(counters) == 1:
            return counters[0]
        raise BadRequest(f"point: say which, with --point: {_few(counters or own)}", "lamppost device show " + device)

    async def add(self, full: str, final: str, start: str, ago_ms: int, who: str, why: str) -> Replacement:
        """Take an event of `ago_ms` ago; on the disk when this returns. Raises `OSError` or `GatewayError`."""
        now = self._clock.now()
        known = self._clock.estimate().state is not ClockState.UNSET
        device, _, point = full.partition("/")
        event = Replacement(
            secrets.token_hex(8), device, point, final, start, self._points[full].unit, who, why,
            self._clock.utc_ms() - ago_ms if known else 0, self._clock.boot.hex(), now - ago_ms,
        )  # fmt: skip
        async with self._turn:
            return await self._enter(event)

    async def withdraw(self, full: str) -> Replacement:
        """Take back the last event of a point that stands; raises as `add`."""
        async with self._turn:
            device, _, point = full.partition("/")
            standing = [e for e in self._events if (e.device, e.point) == (device, point) and not e.withdrawn]
            if not standing:
                raise BadRequest(f"{full}: no replacement stands")
            return await self._enter(replace(standing[-1], withdrawn=True, told=False))

    async def _enter(self, event: Replacement) -> Replacement:
        if self._damaged is not None:
            raise self._damaged
        others = [one for one in self._events if one.id != event.id]
        if len(others) >= MAX_EVENTS:
            raise GatewayError(f"{MAX_EVENTS} replacements are kept already")
        await self._save([*others, event])
        await self._tell_all()
        return next(one for one in self._events if one.id == event.id)

    async def _tell_all(self) -> None:
        """Put what is not in the chain there. A crash between the two writes tells it twice: the id says so."""
        told = {event.id for event in self._events if not event.told and self._tell(event)}
        with suppress(StoreError, TimeoutError):  # a disk that takes nothing now: told again by the next life
            async with asyncio.timeout(COMMIT_S):
                await self._keeper.flush()
            await self._save([replace(one, told=one.told or one.id in told) for one in self._events])

    def _tell(self, event: Replacement) -> bool:
        """Whether its moment can be said: not that of another boot before the time is known."""
        if event.boot == self._clock.boot.hex():
            ago = self._clock.now() - event.boot_ms
        elif event.at_ms and self._clock.estimate().state is not ClockState.UNSET:
            ago = self._clock.utc_ms() - event.at_ms
        else:
            return False
        names = ("id", "device", "point", "final", "start", "unit", "who", "why", "withdrawn")
        told: dict[str, Any] = {name: getattr(event, name) for name in names}
        told["ago_ms"] = max(ago, 0)
        self._recorder.value(REPLACEMENT, json.dumps(told, ensure_ascii=False, separators=(",", ":")))
        return True

    async def _save(self, events: list[Replacement]) -> None:
        data = json.dumps({"version": VERSION, "replacements": [asdict(one) for one in events]}).encode()
        await asyncio.to_thread(save, self._path, data)
        self._events = events


def _few(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:20])


def _sound(event: Replacement) -> bool:
    texts = (event.id, event.device, event.point, event.unit, event.who, event.why, event.boot)
    numbers = type(event.at_ms) is int and type(event.boot_ms) is int
    return numbers and all(type(text) is str for text in texts) and event.offset.is_finite()
