"""What answers say beside their scans: texts, names, and numbers that a register scales."""

from collections import defaultdict
from collections.abc import Sequence
from typing import cast

from drivers.base import DeviceSetup, Read, Sink
from drivers.modbus import values
from drivers.modbus.pdu import Request, Table
from drivers.modbus.point import PointOptions
from drivers.modbus.reads import where_of
from drivers.numbers import Scaling
from ext import GOOD


class Answers:
    """Gives the answers of the devices of a bus to a sink, and holds the scale registers that came with others."""

    def __init__(self, devices: Sequence[DeviceSetup]) -> None:
        self._beside: dict[str, tuple[PointOptions, Scaling]] = {}
        self._scales: defaultdict[tuple[str, Table], dict[int, int | None]] = defaultdict(dict)
        for device in devices:
            for point in device.points:
                where = where_of(point)
                if not where.fixed:
                    self._beside[point.point.id] = where, Scaling.of(point.point)
                if where.scale_register is not None:
                    self._scales[device.device.id, where.table][where.scale_register] = None

    def give(self, read: Read, payload: bytes, sink: Sink) -> None:
        """Give `sink` all that `payload` says."""
        if self._scales:
            self._note_scales(read, payload)
        if read.points:
            sink.scan(read, payload)
        if read.values:
            sink.values(read.device, [(name, *self._value(name, read, payload)) for name in read.values])

    def exponent(self, device: str, where: PointOptions) -> int | None:
        """What the scale register of a point said last; None where it was never read, or the point has none."""
        if where.scale_register is None:
            return None
        return self._scales[device, where.table][where.scale_register]

    def _note_scales(self, read: Read, payload: bytes) -> None:
        request = cast("Request", read.request)
        scales = self._scales.get((read.device, request.table), {})
        for address in scales:
            at = 2 * (address - request.address)
            if 0 <= at < len(payload):
                scales[address] = int.from_bytes(payload[at : at + 2], "big", signed=True)

    def _value(self, name: str, read: Read, payload: bytes) -> values.Said:
        where, scaling = self._beside[name]
        first = cast("Request", read.request).address
        if where.stored == "string":
            at = 2 * (where.address - first)
            return values.text(where, payload[at : at + 2 * where.count]), GOOD
        if where.values is not None:
            return values.named(where, scaling, payload, first)
        return values.scaled(where, scaling, payload, first, self.exponent(read.device, where))
