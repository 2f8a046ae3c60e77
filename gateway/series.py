"""Turns a configured point into what the kernels judge and pack: a `Series` under its number."""

from collections.abc import Iterator, Mapping, Sequence

from buffer.catalogue import SeriesDefinition
from config import Point
from drivers.base import DeviceSetup, Driver, Options, PointSetup, points_of
from ext import ScanPlan, Series


def definitions(drivers: Sequence[Driver]) -> dict[str, SeriesDefinition]:
    """What the catalogue says of every point, by its full id."""
    return {
        point.point.id: _definition(device, point) for driver in drivers for device, point in points_of(driver.setup)
    }


def compile_series(points: Mapping[str, Point], numbers: Mapping[str, int]) -> dict[str, Series]:
    """A `Series` for each point, by its full id."""
    return {name: _series(point, numbers[name]) for name, point in points.items()}


def trial(driver: Driver) -> Iterator[tuple[str, str]]:
    """(device, message) of each read whose points do not compile: a sentinel that does not fit its type, say."""
    points = {point.point.id: point.point for _, point in points_of(driver.setup)}
    for read in filter(lambda read: read.points, driver.reads()):
        try:
            ScanPlan([(layout, _series(points[name], 1)) for name, layout in read.points], read.every)
        except (ValueError, OverflowError) as error:
            yield read.device, str(error)


def _definition(device: DeviceSetup, point: PointSetup) -> SeriesDefinition:
    return SeriesDefinition(
        device=device.device.id,
        point=point.point.name,
        unit=point.point.unit,
        type=_type(point.options),
        asset_id=device.device.asset_id or "",
        location=device.device.location,
        labels=tuple(device.device.labels.items()),
        public=point.point.public,
    )


def _type(options: Options) -> str:
    """What the driver reads the point as, a default of its own included; "" where it has no types."""
    return str(getattr(options, "kind", None) or getattr(options, "type", None) or "")


def _series(point: Point, number: int) -> Series:
    multiplier, addend, exponent = point.scaling
    report, limits = point.report, point.limits
    return Series(
        number,
        multiplier=multiplier,
        addend=addend,
        exponent=exponent,
        sentinels=point.sentinel,
        minimum=None if limits is None or limits.min is None else float(limits.min),
        maximum=None if limits is None or limits.max is None else float(limits.max),
        on_change=report.on == "change",
        deadband=float(report.absolute),
        deadband_percent=float(report.percent),
        min_interval=report.min_interval,
        max_interval=report.max_interval,
    )
