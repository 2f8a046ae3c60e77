"""The catalogue: which device, point, unit and type a series number stands for; one block of a batch of its own.

Block: CBOR array of devices `[device, asset_id, location, labels, [[number, point, unit, type, public], ...]]`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import isfinite
from typing import Any

import cbor2

from buffer import cbor
from buffer.batch import MAX_BLOCK_BYTES
from buffer.errors import BatchFormatError
from ext import AGGREGATES

MAX_SERIES = 1 << 20  # a gateway of 100,000 points that redefines each ten times
MAX_TEXT = 256  # characters of an id, unit, asset id or label
MAX_LABELS = 64  # a device

Location = tuple[float, float]
Labels = tuple[tuple[str, str], ...]
_Device = tuple[str, str, Location | None, Labels]


@dataclass(frozen=True, slots=True)
class SeriesDefinition:
    """What a series is: `point` is its name within the device, `location` latitude and longitude in degrees."""

    device: str
    point: str
    unit: str
    type: str
    asset_id: str = ""
    location: Location | None = None
    labels: Labels = ()
    public: bool = False

    def key(self) -> bytes:
        """The same bytes for the same definition."""
        entry = self.numbered(0)
        place = None if entry.location is None else list(entry.location)
        labels = [list(pair) for pair in entry.labels]
        return cbor2.dumps([self.device, self.point, self.unit, self.type, self.asset_id, place, labels, self.public])

    def aggregates(self) -> dict[str, "SeriesDefinition"]:
        """What windows of this series come to, each a series of its own, by the name of the aggregate.

        Minimum and maximum are values that were measured; the mean is a double; the count has the unit "1".
        """
        found = {name: replace(self, point=f"{self.point}.{name}") for name in AGGREGATES}
        found["mean"] = replace(found["mean"], type="float64")
        found["count"] = replace(found["count"], type="uint32", unit="1")
        return found

    def summed_by(self, statistic: str) -> "SeriesDefinition":
        """The series of one statistic of `STATISTICS`."""
        if statistic == "last":
            return replace(self, point=f"{self.point}.last")
        return self.aggregates()[statistic]

    @classmethod
    def of_key(cls, key: bytes) -> "SeriesDefinition":
        """The definition that has this key; raises `BatchFormatError`."""
        items = cbor.array(cbor.loads(key, "a definition"), "a definition", 8, 8)
        device, point, unit, kind, asset_id, place, labels, public = items
        location = None if place is None else (place[0], place[1])
        tags = tuple((name, tag) for name, tag in labels)
        return cls(device, point, unit, kind, asset_id, location, tags, public)

    def numbered(self, number: int) -> "SeriesEntry":
        """This series in a catalogue."""
        return SeriesEntry(
            number=number,
            device=self.device,
            point=self.point,
            unit=self.unit,
            type=self.type,
            asset_id=self.asset_id,
            location=None if self.location is None else (float(self.location[0]), float(self.location[1])),
            labels=tuple(sorted(self.labels)),
            public=self.public,
        )


STATISTICS = (*AGGREGATES, "last")
"""What a window of samples is summed up by: `point.min` and so on; `last` of texts and bytes only."""


def statistic_of(point: str) -> tuple[str, str | None]:
    """The point that is summed up and by what; (point, None) for one that is as sampled."""
    base, dot, name = point.rpartition(".")
    return (base, name) if dot and name in STATISTICS else (point, None)


@dataclass(frozen=True, slots=True)
class SeriesEntry:
    """A line of a catalogue."""

    number: int
    device: str
    point: str
    unit: str
    type: str
    asset_id: str = ""
    location: Location | None = None
    labels: Labels = ()
    public: bool = False


def encode(entries: Iterable[SeriesEntry]) -> bytes:
    """The block, the same for the same entries in any order; raises `BatchFormatError`."""
    ordered = sorted(entries, key=lambda entry: (entry.device, repr(_device(entry)), entry.number))
    devices = []
    for (device, asset_id, location, labels), lines in groupby(ordered, _device):
        series = [[e.number, e.point, e.unit, e.type, e.public] for e in lines]
        devices.append([device, asset_id, None if location is None else list(location), dict(labels), series])
    block = cbor2.dumps(devices)
    if len(block) > MAX_BLOCK_BYTES:
        raise BatchFormatError(f"a catalogue of {len(block)} bytes ({len(ordered)} series) is over {MAX_BLOCK_BYTES}")
    decode([block])
    return block


def decode(blocks: Sequence[bytes]) -> tuple[SeriesEntry, ...]:
    """The lines of a catalogue by ascending number; raises `BatchFormatError`."""
    if len(blocks) != 1:
        raise BatchFormatError(f"a catalogue is one block, not {len(blocks)}")
    devices = cbor.array(cbor.loads(blocks[0], "the catalogue"), "the catalogue", MAX_SERIES)
    entries = sorted((entry for device in devices for entry in _entries(device)), key=lambda entry: entry.number)
    if len(entries) > MAX_SERIES:
        raise BatchFormatError(f"a catalogue of {len(entries)} series is over {MAX_SERIES}")
    _unique([entry.number for entry in entries], "number")
    _unique([(entry.device, entry.point) for entry in entries], "point")
    return tuple(entries)


def _device(entry: SeriesEntry) -> _Device:
    return entry.device, entry.asset_id, entry.location, entry.labels


def _entries(item: object) -> Iterable[SeriesEntry]:
    device, asset_id, location, labels, series = cbor.array(item, "a device of the catalogue", 5, 5)
    name = cbor.text(device, "a device id", MAX_TEXT, 1)
    asset = cbor.text(asset_id, f"asset_id of {name}", MAX_TEXT)
    place, tags = _location(location, name), _labels(labels, name)
    for line in cbor.array(series, f"the series of {name}", MAX_SERIES):
        number, point, unit, kind, public = cbor.array(line, f"a series of {name}", 5, 5)
        if type(public) is not bool:
            cbor.fail(f"public of a series of {name}", "true or false", public)
        yield SeriesEntry(
            cbor.integer(number, f"a series number of {name}", 1, MAX_SERIES),
            name,
            cbor.text(point, f"a point of {name}", MAX_TEXT, 1),
            cbor.text(unit, f"a unit of {name}", MAX_TEXT),
            cbor.text(kind, f"a type of {name}", MAX_TEXT),
            asset,
            place,
            tags,
            public,
        )


def _location(value: object, device: str) -> Location | None:
    if value is None:
        return None
    latitude, longitude = (_degrees(item, device) for item in cbor.array(value, f"location of {device}", 2, 2))
    if abs(latitude) > 90 or abs(longitude) > 180:
        cbor.fail(f"location of {device}", "latitude, longitude in degrees", value)
    return latitude, longitude


def _degrees(value: object, device: str) -> float:
    if type(value) is not float or not isfinite(value):
        cbor.fail(f"location of {device}", "a pair of finite floats", value)
    return value


def _labels(value: object, device: str) -> Labels:
    if type(value) is not dict or len(value) > MAX_LABELS:
        cbor.fail(f"labels of {device}", f"a map of at most {MAX_LABELS}", value)
    pairs = [
        (cbor.text(name, f"a label of {device}", MAX_TEXT, 1), cbor.text(tag, f"label {name} of {device}", MAX_TEXT))
        for name, tag in value.items()
    ]
    return tuple(sorted(pairs))


def _unique(values: Sequence[Any], what: str) -> None:
    seen = set()
    for value in values:
        if value in seen:
            cbor.fail(f"a {what} of the catalogue", "there once only", value)
        seen.add(value)
