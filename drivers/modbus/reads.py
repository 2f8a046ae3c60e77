"""The reads of one bus: planned, divided where a device refuses, left alone where that does not help."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from drivers.base import DeviceSetup, Memory, PointSetup, Read
from drivers.errors import DeviceError, ExceptionAnswer
from drivers.modbus.options import DeviceOptions
from drivers.modbus.pdu import DEVICE_FAILURE, ILLEGAL_ADDRESS, ILLEGAL_VALUE, Request, Table
from drivers.modbus.planner import Group, Span, divide, extent, holds, plan, within
from drivers.modbus.point import PointOptions
from drivers.modbus.quirks import Quirks

log = logging.getLogger(__name__)

DEFAULT_EVERY = 10_000  # ms, for points that no table gives a period
STRIKES = 3
"""Times in a row that a place is refused before it counts as refused: some devices refuse while they start."""
BLIND_LEVELS = 3
"""Times that a read is halved while its device answers nothing: down to 16 registers, the least that devices give."""
DAY_S = 86_400.0
RETRY_S = {DEVICE_FAILURE: DAY_S / 24}
"""How long what is refused is left alone, by exception code, else a day: a failure may pass."""

_TOO_WIDE = (ILLEGAL_ADDRESS, ILLEGAL_VALUE)  # to a request with an address or a count that a device has not: APP 7

Tables = dict[Table, Quirks]


@dataclass(slots=True)
class _Asked:
    """One read and how it goes with it."""

    read: Read
    group: Group
    quirks: Quirks
    level: int = 0
    """How often what it is a part of was divided."""
    before: int = 0
    """Answers of the device before the first of these times."""
    strikes: int = 0
    answers: int = 0
    """Of the device, before the first of these strikes."""
    retry_at: float | None = None


class Reads:
    """The reads of the devices of a bus. `now` counts seconds."""

    def __init__(self, devices: Sequence[DeviceSetup], now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._devices = {device.device.id: device for device in devices}
        self._where = {p.point.id: where_of(p) for device in devices for p in device.points}
        self._quirks: dict[str, Tables] = {device: _unknown() for device in self._devices}
        self._answers = dict.fromkeys(self._devices, 0)
        self._doubted: set[str] = set()
        self._memory: Memory | None = None
        self._asked: dict[int, _Asked] = {}  # by id of the read: hashing a hundred layouts at each poll is too dear
        self._plan_all()

    @property
    def all(self) -> tuple[Read, ...]:
        """The reads that stand now: as planned, with those replaced that a device refused."""
        return tuple(one.read for one in self._asked.values())

    def remember(self, memory: Memory) -> None:
        """Plan anew with what earlier lives learned, and keep what this one learns."""
        self._memory = memory
        for device in self._devices:
            learned = memory.recall(device)
            try:
                self._quirks[device] = _unknown() | _tables(learned)
            except ValueError as error:
                log.warning("device %s: what was remembered of it %s; it is learned anew", device, error)
        self._plan_all()

    def forget(self, device: str) -> None:
        """Ask everything again at its next turn."""
        for quirks in self._quirks[device].values():
            quirks.clear()
        for one in self._asked.values():
            if one.read.device == device:
                one.retry_at, one.strikes = None, 0

    def spared(self, read: Read) -> bool:
        """Whether the device is not asked, for it is known to refuse this and its day is not over.

        One that did not answer last is asked: nothing else may stand for a sign of life.
        """
        one = self._asked.get(id(read))
        if one is None or one.retry_at is None or read.device in self._doubted:
            return False
        return self._now() < one.retry_at

    def answered(self, read: Read) -> None:
        """Take note that the device gave what was asked for."""
        self._answers[read.device] += 1
        if self._doubted:
            self._doubted.discard(read.device)
        one = self._asked.get(id(read))
        if one is None:
            return
        one.strikes, one.retry_at = 0, None
        if one.quirks.odd and one.quirks.answer(extent(one.group)):
            self._keep(read.device)

    def unproved(self, read: Read) -> Read | None:
        """What should be asked once more, now that `read` was answered: its refusal may have passed."""
        one = self._asked.get(id(read))
        if one is None or one.quirks.unproved is None:
            return None
        request = cast("Request", read.request)
        return Read(
            read.device, (), replace(request, address=one.quirks.unproved.whole[0], count=one.quirks.unproved.whole[1])
        )

    def prove(self, read: Read, *, refused: bool) -> None:
        """What `unproved` gave was asked."""
        quirks = self._quirks[read.device][cast("Request", read.request).table]
        if quirks.unproved is not None and quirks.prove(quirks.unproved, refused=refused):
            self._keep(read.device)

    def failed(self, read: Read, error: DeviceError) -> None:
        """Take note of what came in place of an answer."""
        if not isinstance(error, ExceptionAnswer):
            self._doubted.add(read.device)
            return
        self._doubted.discard(read.device)
        one = self._asked.get(id(read))
        if one is not None and error.code in (*_TOO_WIDE, DEVICE_FAILURE):
            self._strike(one, error.code)

    def narrower(self, read: Read, error: DeviceError) -> Sequence[Read]:
        """The reads that take the place of one that was refused; nothing where it stays."""
        one = self._asked.get(id(read))
        if one is None or not isinstance(error, ExceptionAnswer):
            return ()
        refused = error.code in _TOO_WIDE
        if not (self._divisible(one) if refused else error.code == DEVICE_FAILURE and self._fails(one)):
            return ()
        groups = divide(one.group, tuple(one.quirks.refused))
        if len(groups) == 1:
            return ()
        if refused:
            one.quirks.refuse(one.group)
        return self._replace(one, groups)

    # Planning -------------------------------------------------------------------------------------------------------

    def _plan_all(self) -> None:
        found = [one for device in self._devices.values() for one in self._plan_device(device)]
        # What others need to be understood goes first; what is refused last, for the first of a device is its probe.
        found.sort(key=lambda one: (one.retry_at is not None, bool(one.read.names)))
        self._asked = {id(one.read): one for one in found}

    def _plan_device(self, device: DeviceSetup) -> Iterator[_Asked]:
        wanted: defaultdict[tuple[int, Table], list[Span]] = defaultdict(list)
        for point in device.points:
            every = point.point.every or device.device.every or DEFAULT_EVERY
            wanted[every, where_of(point).table].append(span_of(point.point.id, where_of(point)))
        for (every, table), spans in wanted.items():
            yield from self._plan(device, every, table, spans)

    def _plan(self, device: DeviceSetup, every: int, table: Table, spans: Sequence[Span]) -> Iterator[_Asked]:
        options, quirks = options_of(device), self._quirks[device.device.id][table]
        cap = options.cap(table)
        if quirks.cap:  # but whatever was learned, each point must fit
            cap = min(cap, max(quirks.cap, *(part.count for span in spans for part in span.apart or (span,))))
        for group in plan(spans, cap, options.gap(table), tuple(quirks.refused)):
            one = _Asked(self._read(device, table, group, every), group, quirks)
            codes = [code for place, code in quirks.refused.items() if within(place, extent(group))]
            if codes:
                one.strikes, one.retry_at = STRIKES, self._now() + min(RETRY_S.get(code, DAY_S) for code in codes)
            yield one

    def _read(self, device: DeviceSetup, table: Table, group: Group, every: int) -> Read:
        first, count = extent(group)
        named = [(span.point, self._where[span.point]) for span in group if span.point]
        fixed = tuple((name, where.layout(first)) for name, where in named if where.fixed)
        beside = tuple(name for name, where in named if not where.fixed)
        return Read(device.device.id, fixed, Request(options_of(device).address, table, first, count), every, beside)

    def _replace(self, one: _Asked, groups: Sequence[Group]) -> list[Read]:
        device = self._devices[one.read.device]
        table = cast("Request", one.read.request).table
        before = one.before if one.level else self._answers[one.read.device]
        reads = [(self._read(device, table, group, one.read.every), group) for group in groups]
        parts = [_Asked(read, group, one.quirks, one.level + 1, before) for read, group in reads]
        known = [part for old in self._asked.values() for part in (parts if old is one else [old])]
        self._asked = {id(part.read): part for part in known}
        return [part.read for part in parts]

    # Learning -------------------------------------------------------------------------------------------------------

    def _strike(self, one: _Asked, code: int) -> None:
        if not one.strikes:
            one.answers = self._answers[one.read.device]
        one.strikes += 1
        if not (self._tried(one) and self._lives(one)) or len(divide(one.group)) > 1:
            return
        device, place, news = one.read.device, extent(one.group), one.retry_at is None
        one.retry_at = self._now() + RETRY_S.get(code, DAY_S)
        if news:
            log.warning(
                "device %s: refuses %s; rarely asked from now on",
                device,
                ", ".join(one.read.names) or "a scale register",
            )
        if one.quirks.give_up(place, code):
            self._keep(device)

    def _divisible(self, one: _Asked) -> bool:
        """Whether to divide now: not on and on while the device gives nothing at all, for it may refuse everything."""
        return one.level < BLIND_LEVELS or self._answers[one.read.device] > one.before or self._tried(one)

    def _fails(self, one: _Asked) -> bool:
        """Whether a failure of the device stays, and is one of this read."""
        return self._tried(one) and (one.level == 0 or self._lives(one))

    @staticmethod
    def _tried(one: _Asked) -> bool:
        return one.strikes >= STRIKES

    def _lives(self, one: _Asked) -> bool:
        """Whether the device gave other things while it refused this: one that refuses everything is only ill."""
        return self._answers[one.read.device] > one.answers

    def _keep(self, device: str) -> None:
        if self._memory is not None:
            tables = {table.value: quirks.json() for table, quirks in self._quirks[device].items() if quirks.json()}
            self._memory.keep(device, tables or None)


def options_of(device: DeviceSetup) -> DeviceOptions:
    """Its options, as what they are."""
    return cast("DeviceOptions", device.options)


def where_of(point: PointSetup) -> PointOptions:
    """Its options, as what they are."""
    return cast("PointOptions", point.options)


def span_of(name: str, where: PointOptions) -> Span:
    """What is read for a point: with its scale register in one go where the device gives that."""
    own = Span(where.address, where.count, name)
    if where.scale_register is None:
        return own
    scale = Span(where.scale_register, 1, "")
    return own if holds(own.range, [scale.range]) else Span(*extent((own, scale)), name, (own, scale))


def describe(learned: object) -> Iterator[str]:
    """What was learned, a line each, in words; raises `ValueError` for what `Memory` was never given."""
    for table, quirks in _tables(learned).items():
        for (first, count), code in sorted(quirks.refused.items()):
            places = str(first) if count == 1 else f"{first} to {first + count - 1}"
            yield f"{table} {places}: " + (f"exception {code}" if code else "not read in one go with its neighbours")
        if quirks.cap:
            yield f"{table}: at most {quirks.cap} in one answer"


def _unknown() -> Tables:
    return {table: Quirks() for table in Table}


def _tables(learned: object) -> Tables:
    """What `_keep` kept; raises `ValueError` for anything else."""
    if learned is None:
        return {}
    if not isinstance(learned, Mapping):
        raise ValueError("is no table")  # noqa: TRY004 - content of a file, not a mistake of the caller
    return {Table(name): Quirks.of_json(quirks) for name, quirks in learned.items()}
