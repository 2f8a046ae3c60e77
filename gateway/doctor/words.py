"""Whether a device sends the 16-bit words of its numbers in the other order than is configured."""

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from config import Point
from drivers.base import Driver, points_of
from ext import LIMITS, UNCERTAIN, Layout, Value, quality_class

Last = Callable[[str], tuple[int, Value, int] | None]

_FLOATS = {"float32": ">f", "float64": ">d"}
_WHOLE = {"int32": ">i", "uint32": ">I", "int64": ">q", "uint64": ">Q"}
_STRAIGHT = {4: "ABCD", 8: "ABCDEFGH"}
TINY, HUGE = 1e-9, 1e9
"""No quantity of a city's device is smaller (but 0) or larger than these, in the units that devices use."""
LITTLE, MUCH = 1e-3, 1e7
"""Where nearly all of them lie."""
ENOUGH = 2
"""Whole numbers with an empty lower word may be chance, once."""


@dataclass(frozen=True, slots=True)
class Swapped:
    """A device whose numbers make sense the other way round: the points, and the order that they should have."""

    device: str
    points: tuple[str, ...]
    order: str


def swapped(driver: Driver, last: Last) -> Iterator[Swapped]:
    """The devices of a bus that speak so, by their last values."""
    layouts = {name: layout for read in driver.reads() for name, layout in read.points}
    verdicts: dict[str, list[tuple[str, bool, str]]] = {}
    for device, setup in points_of(driver.setup):
        layout, said = layouts.get(setup.point.id), last(setup.point.id)
        if layout is None or said is None:
            continue
        verdict = _verdict(setup.point, layout, said[1], said[2])
        if verdict is not None:
            verdicts.setdefault(device.device.id, []).append((setup.point.id, verdict, _other(layout)))
    for name, found in verdicts.items():
        wrong = [(point, order) for point, is_wrong, order in found if is_wrong]
        certain = any(layouts[point].type in _FLOATS for point, _ in wrong) or len(wrong) >= ENOUGH
        if certain and len(wrong) == len(found):
            yield Swapped(name, tuple(point for point, _ in wrong), wrong[0][1])


def _verdict(point: Point, layout: Layout, value: Value, quality: int) -> bool | None:
    """True: it makes sense only the other way round; False: only as it is; None: nobody can tell."""
    raw = _raw(point, value)
    if raw is None or layout.bits or (quality_class(quality) and quality_class(quality) != UNCERTAIN):
        return None
    outside = quality == LIMITS
    if layout.type in _FLOATS:
        return _float(point, float(raw), _FLOATS[layout.type], outside=outside)
    if layout.type in _WHOLE and raw == int(raw):
        return _whole(int(raw), _WHOLE[layout.type])
    return None


def _float(point: Point, raw: float, form: str, *, outside: bool) -> bool | None:
    other = _turned(raw, form)
    if raw == 0 or other is None:
        return None
    wrong = outside or not _possible(raw)
    if wrong and _ordinary(other) and _within(point, other):
        return True
    return None if wrong or (_possible(other) and _within(point, other)) else False


def _whole(raw: int, form: str) -> bool | None:
    """Small numbers have an empty upper word; only swapped ones have an empty lower word again and again."""
    if raw == 0:
        return None
    size = struct.calcsize(form)
    words = struct.unpack(f">{size // 2}H", struct.pack(form, raw))
    if words[0] == 0:
        return False
    return None if any(words[1:]) else True


def _turned(raw: float, form: str) -> float | None:
    try:
        data = struct.pack(form, raw)
    except OverflowError:
        return None
    pairs = [data[at : at + 2] for at in range(0, len(data), 2)]
    number: float = struct.unpack(form, b"".join(reversed(pairs)))[0]
    return number


def _raw(point: Point, value: Value) -> Decimal | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return value
    if point.scale == 1 and point.offset == 0:
        return value if isinstance(value, float | Decimal) else Decimal(value)
    return (Decimal(value) - point.offset) / point.scale


def _possible(number: float) -> bool:
    return number == 0 or (math.isfinite(number) and TINY <= abs(number) <= HUGE)


def _ordinary(number: float) -> bool:
    return math.isfinite(number) and LITTLE <= abs(number) <= MUCH


def _within(point: Point, raw: float) -> bool:
    value, limits = raw * float(point.scale) + float(point.offset), point.limits
    low = -math.inf if limits is None or limits.min is None else float(limits.min)
    high = math.inf if limits is None or limits.max is None else float(limits.max)
    return low <= value <= high


def _other(layout: Layout) -> str:
    """The order with its words the other way round."""
    order = layout.order or _STRAIGHT[layout.width]
    return "".join(reversed([order[at : at + 2] for at in range(0, len(order), 2)]))
