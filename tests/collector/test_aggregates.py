"""Points with a dot in their names, which are what windows come to, are points like others at the collector."""

from pathlib import Path

from buffer.catalogue import SeriesDefinition
from collector.query import samples
from tests.collector.maker import Bench, Gateway


def test_what_windows_come_to_is_found_by_its_name(tmp_path: Path, gateway: Gateway) -> None:
    bench = Bench(tmp_path / "c.db", gateway)
    kept = SeriesDefinition("meter1", "power", "W", "uint16").aggregates()
    bench.take(gateway.describe([one.numbered(n) for n, one in enumerate(kept.values(), 1)]))
    bench.take(gateway.send([(1, 60_000, 5, 0), (2, 60_000, 5.5, 0), (3, 60_000, 6, 0), (4, 60_000, 2, 0)]))
    for name, value in (("min", 5), ("mean", 5.5), ("max", 6), ("count", 2)):
        (row,) = samples(bench.database, point=f"meter1/power.{name}")
        assert row["value"] == value
    bench.close()
