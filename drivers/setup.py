"""Check the driver's own options in a configuration: what `config` kept raw."""

from collections.abc import Callable
from typing import TypeVar, cast

from pydantic import ValidationError

from config import Bus, Config, Device, Point, explain
from drivers.base import BusSetup, DeviceSetup, Driver, Options, PointSetup
from drivers.errors import SetupError, UnknownDriver

Found = list[tuple[str, str, object]]
Checked = TypeVar("Checked", bound=Options)
Shared = dict[int, Options]
"""What points' raw options (by id) came to: devices of one profile have the same, checked and kept once."""


def prepare(config: Config, load: Callable[[str], type[Driver]]) -> list[Driver]:
    """A driver for each bus, nothing opened; raises one `SetupError` that holds the problems of all of them."""
    problems: Found = []
    drivers = []
    for bus in config.buses.values():
        try:
            drivers.append(_driver(config, bus, load(bus.driver).serving(bus.options)))
        except UnknownDriver as error:
            problems.append((f"buses.{bus.id}.driver", str(error), bus.driver))
        except SetupError as error:
            problems.extend(error.problems)
    if problems:
        raise SetupError(problems)
    return drivers


def _driver(config: Config, bus: Bus, kind: type[Driver]) -> Driver:
    problems: Found = []
    options = check_options(kind.BusOptions, bus.options, f"buses.{bus.id}", Bus.keys(), problems)
    shared: Shared = {}
    devices = [_device(kind, device, problems, shared) for device in config.devices.values() if device.bus == bus.id]
    if options is None:
        raise SetupError(problems)
    try:  # also when there are problems: what the driver finds in the rest is told in the same go
        driver = kind(BusSetup(bus, options, tuple(d for d in devices if d is not None)))
    except SetupError as error:
        raise SetupError([*problems, *error.problems]) from error
    if problems:
        raise SetupError(problems)
    return driver


def _device(kind: type[Driver], device: Device, problems: Found, shared: Shared) -> DeviceSetup | None:
    path = f"devices.{device.id}"
    options = check_options(kind.DeviceOptions, device.options, path, Device.keys(), problems)
    points = []
    for point in device.points.values():
        checked, before = shared.get(id(point.options)), len(problems)
        if checked is None:
            where = f"{path}.points.{point.name}"
            checked = check_options(kind.PointOptions, point.options, where, Point.keys(), problems)
        if checked is not None:
            if len(problems) == before:
                shared[id(point.options)] = checked
            points.append(PointSetup(point, checked))
    return None if options is None else DeviceSetup(device, options, tuple(points))


def check_options(
    model: type[Checked], raw: dict[str, object], path: str, known: frozenset[str], problems: Found
) -> Checked | None:
    """The driver's options checked; `known` are the keys that every driver's table has, to suggest for a typo."""
    model = cast("type[Checked]", model.variant(raw))
    try:
        return model.model_validate(raw, context="file")
    except ValidationError as error:
        problems.extend(explain(error, path, model, known=known))
        unknown = {str(detail["loc"][0]) for detail in error.errors() if detail["type"] == "extra_forbidden"}
        if unknown:  # without them the rest may be sound, and can be looked at further
            return check_options(
                model, {key: value for key, value in raw.items() if key not in unknown}, path, known, []
            )
        return None
