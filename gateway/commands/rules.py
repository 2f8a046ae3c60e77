"""The gateway's own last word: which points may be written, and with what. Pure."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from buffer.command import Wanted, Write
from buffer.errors import NotAllowed
from buffer.orders import Use
from config import Point
from drivers.base import points_of
from drivers.errors import NotWritable
from gateway.commands.task import Planned
from gateway.polling.bus import BusTask
from gateway.polling.poller import PollingTask


class Rules:
    """The points of this installation."""

    def __init__(self, buses: Sequence[BusTask]) -> None:
        self.rearrange(buses)

    def rearrange(self, buses: Sequence[BusTask]) -> None:
        """Go by these buses from now on."""
        self._points: dict[str, tuple[Point, str, BusTask]] = {
            point.point.id: (point.point, device.device.id, bus)
            for bus in buses
            for device, point in points_of(bus.driver.setup)
        }
        self._places = {
            point.point.id: device.device.location for bus in buses for device, point in points_of(bus.driver.setup)
        }

    @property
    def any_goes_back(self) -> bool:
        """Whether there is a point with a safe value to go back to."""
        rules = (point.writable for point, _, _ in self._points.values())
        return any(rule is not None and rule.revert_after is not None for rule in rules)

    def bus_of(self, point: str) -> BusTask:
        """The bus of a point; raises `NotWritable` when there is none any longer."""
        found = self._points.get(point)
        if found is None:
            raise NotWritable(f"there is no point {point} any longer")
        return found[2]

    def plan(self, writes: Sequence[Write]) -> tuple[Planned, ...]:
        """Where each goes; raises `NotAllowed` (`not-writable`, `limits`) when one of them may not be."""
        return tuple(self._planned(write.point, write.value) for write in writes)

    def lasting(self, point: str, value: Wanted) -> Planned:
        """A write of what is to stay so; raises as `plan`, for a pulse too (`not-writable`)."""
        planned = self._planned(point, value)
        if planned.rule.kind == "pulse":
            raise NotAllowed("not-writable", f"{point}: a pulse leaves nothing that could be in force")
        return planned

    def unset(self, point: str) -> Wanted | None:
        """What it gets while nobody has told the time."""
        found = self._points.get(point)
        rule = None if found is None else found[0].writable
        return None if rule is None else rule.unset_value

    def location(self, point: str) -> tuple[float, float] | None:
        """Where the device of a point stands, by its own configuration."""
        return self._places.get(point)

    def safe(self, point: str) -> tuple[Planned, int] | None:
        """The write that takes a point back and after what silence; None when it has no such rule.

        The safe value harms nobody: no interlock holds it back.
        """
        found = self._points.get(point)
        rule = None if found is None else found[0].writable
        if rule is None or rule.revert_after is None or rule.safe_value is None:
            return None
        try:
            planned = self._planned(point, rule.safe_value)
        except NotAllowed:
            return None
        free = rule.model_copy(update={"requires": ()})
        return Planned(point, planned.value, planned.device, planned.bus, free), rule.revert_after

    def _planned(self, name: str, value: Wanted) -> Planned:
        found = self._points.get(name)
        if found is None:
            raise NotAllowed("not-writable", f"there is no point {name}")
        point, device, bus = found
        if point.writable is None:
            raise NotAllowed("not-writable", f"{name} is not writable by the gateway's configuration")
        if not isinstance(bus, PollingTask):
            raise NotAllowed("not-writable", f"{name}: the devices of bus {bus.bus.id} are not asked, only listened to")
        if fault := point.writable.fault(value):
            raise NotAllowed("limits", f"{name}: {fault}")
        return Planned(name, value, device, bus, point.writable)


def uses(writes: Iterable[Planned]) -> list[Use]:
    """The writes that are counted."""
    rates = ((write.point, write.rule.max_rate) for write in writes)
    return [Use(point, rate.count, rate.ms) for point, rate in rates if rate is not None]


def unsafe(writes: Iterable[Planned]) -> list[str]:
    """The points that are to go back some day."""
    return [w.point for w in writes if w.rule.revert_after is not None and not at_safe(w)]


def at_safe(write: Planned) -> bool:
    """Whether it writes the safe value."""
    value = write.value if isinstance(write.value, str) else Decimal(write.value)
    return write.rule.safe_value is not None and value == write.rule.safe_value
