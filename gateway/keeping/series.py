"""Turns a configured point into what the kernels judge and pack: a `Series` under its number."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from buffer.catalogue import SeriesDefinition
from config import Point, format_duration
from drivers.base import DeviceSetup, Driver, Options, PointSetup, points_of
from ext import AGGREGATES, Layout, ScanPlan, Series
from ext.layout import WIDTHS

UNSTORED = 0
"""The number of a series of which only aggregates are kept: no catalogue has it."""


def definitions(drivers: Sequence[Driver]) -> dict[str, SeriesDefinition]:
    """What the catalogue says of every series that is kept, by the full id of its point."""
    kept: dict[str, SeriesDefinition] = {}
    for driver in drivers:
        for device, point in points_of(driver.setup):
            kept.update(_kept(point.point, _definition(device, point)))
    return kept


def compile_series(points: Mapping[str, Point], numbers: Mapping[str, int]) -> dict[str, Series]:
    """A `Series` for each point, by its full id; `numbers` are those of what `definitions` names."""
    return {name: _series(point, numbers.__getitem__) for name, point in points.items()}


def trial(driver: Driver) -> Iterator[tuple[str, str, object]]:
    """(key path, message, value found) of what does not fit how points are read: a sentinel beyond its type, say."""
    points = {point.point.id: point.point for _, point in points_of(driver.setup)}
    for read in filter(lambda read: read.points, driver.reads()):
        try:
            ScanPlan([(layout, _series(points[name], lambda _: 1)) for name, layout in read.points], read.every)
        except (ValueError, OverflowError) as error:
            yield f"devices.{read.device}", str(error), None
        for name, layout in read.points:
            yield from _misfits(points[name], layout, read.every)


def _misfits(point: Point, layout: Layout, every: int) -> Iterator[tuple[str, str, object]]:
    where = f"devices.{point.id.replace('/', '.points.')}"
    bits = layout.bits or 8 * WIDTHS[layout.type]
    if point.counter is not None and layout.type == "bool":
        yield f"{where}.counter", "a bool does not count", layout.type
    elif point.rollover is not None and not layout.type.startswith("float") and point.rollover > 2**bits * point.scale:
        yield f"{where}.counter.rollover", f"{bits} bits run over before that", point.counter and point.counter.rollover
    length = point.report.window
    if length is not None and length < every:
        message = f"a window is shorter than the {format_duration(every)} after which the point is read again"
        yield f"{where}.report.window", message, format_duration(length)


def _kept(point: Point, definition: SeriesDefinition) -> dict[str, SeriesDefinition]:
    if point.report.on != "window":
        return {point.id: definition}
    return {f"{point.id}.{name}": one for name, one in definition.aggregates().items() if name in point.report.keep}


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


def _series(point: Point, number: Callable[[str], int]) -> Series:
    report = point.report
    if report.window is None:
        return _compiled(point, number(point.id))
    kept = [Series(number(f"{point.id}.{name}")) if name in report.keep else None for name in AGGREGATES]
    return _compiled(point, UNSTORED, kept)


def _compiled(point: Point, number: int, aggregates: Sequence[Series | None] = ()) -> Series:
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
        counter=None if point.counter is None else (point.rollover, point.counter.max_step),
        window=report.window or 0,
        aggregates=aggregates,
    )
