"""A recording for machines that have none: the simulated meter and street light of the demo, read every second."""

from collections.abc import Iterator

from bench.recording import Sample
from drivers.simulated.lights import light
from drivers.simulated.meters import meter
from ext import GOOD

ROUNDS = 3000
JITTER_MS = (0, 1, 0, 3, 2, 0, 0, 11, 1, 2)


def record() -> list[Sample]:
    """(series, ts_ms, value, quality) in order of arrival, a scan a device and second; about 100,000 samples."""
    return list(_samples())


def _samples() -> Iterator[Sample]:
    quantities = [[*unit.inputs, *unit.holdings] for unit in (meter("meter", 1), light("light", 2), meter("meter2", 3))]
    for n in range(ROUNDS):
        number = 0
        for device, points in enumerate(quantities):
            ts_ms = 1_000_000 + 1000 * n + 300 * device + JITTER_MS[(n + device) % len(JITTER_MS)]
            for point in points:
                value = point.value(point.registers(n))
                yield number, ts_ms, float(value) if point.digits else value, GOOD
                number += 1
