"""Sums of hours and days, samples that are let go, and roles that read one site; on both databases where both can."""

from collections.abc import Callable
from statistics import fmean

import pytest

from collector.receiving import derive
from collector.tables import rollups
from tests.collector.commanding import call, data
from tests.collector.maker import OFFSET_MS, POSTGRESQL, SQLITE, Bench, Gateway

HOUR, DAY = rollups.HOUR_MS, rollups.DAY_MS
START = OFFSET_MS // DAY * DAY + 2 * DAY - OFFSET_MS
"""The begin of a day, as boot time."""

SUMS = (
    "SELECT number, period_ms, start_ms, count, min, mean, max FROM rollups JOIN series ON id = series ORDER BY 1, 2, 3"
)


def sums(bench: Bench) -> list[tuple[int, int, int, int, float, float, float]]:
    return [(n, p, (s - OFFSET_MS - START), c, low, mean, high) for n, p, s, c, low, mean, high in bench.rows(SUMS)]


def fill(bench: Bench, gateway: Gateway) -> None:
    bench.take(gateway.describe())
    bench.take(gateway.send([(1, START + at, value, 0) for at, value in ((0, 1.0), (HOUR - 1, 3.5), (HOUR, 9.0))]))
    bench.take(gateway.send([(1, START + DAY, 7.0, 0), (2, START, None, 6), (2, START + 1, "text", 0)]))


WANTED = [
    (1, HOUR, 0, 2, 1.0, 2.25, 3.5),
    (1, HOUR, HOUR, 1, 9.0, 9.0, 9.0),
    (1, HOUR, DAY, 1, 7.0, 7.0, 7.0),
    (1, DAY, 0, 3, 1.0, fmean([1.0, 3.5, 9.0]), 9.0),
    (1, DAY, DAY, 1, 7.0, 7.0, 7.0),
]


def test_sums_are_those_of_the_samples_however_late_they_come(bench: Bench, gateway: Gateway) -> None:
    fill(bench, gateway)
    assert rollups.renew(bench.database) == 3
    assert sums(bench) == WANTED
    assert rollups.renew(bench.database) == 0
    bench.take(gateway.send([(1, START + 5, 0.5, 0)]))
    assert rollups.renew(bench.database) == 1
    *_, count, low, mean, high = sums(bench)[0]
    assert (count, low, high) == (3, 0.5, 3.5)
    assert mean == pytest.approx(5 / 3)
    assert sums(bench)[3][3] == 4


def test_no_value_of_one_gateway_stops_the_sums_of_all(open_bench: Callable[..., Bench], gateway: Gateway) -> None:
    """Doubles from registers in the wrong order: sums that overflow, means that are no number, quotients too small."""
    other = Gateway("gw-0018", stream=bytes([2]) * 16)
    bench = open_bench(gateway, other)
    bench.take(gateway.describe())
    huge = [1.7e308, 1.7e308, 1e200, -1e200]
    bench.take(gateway.send([(1, START + at, value, 0) for at, value in enumerate([*huge, 2.0])]))
    bench.take(gateway.send([(1, START + HOUR + at, -1.7e308, 0) for at in range(3)]))
    bench.take(gateway.send([(2, START, 5e-324, 0), *((2, START + HOUR + at, 0.0, 0) for at in range(9))]))
    bench.take(gateway.send([(3, START + at, value, 0) for at, value in enumerate([1e140, -1e140, 1e140])]))
    bench.take(other.describe())
    bench.take(other.send([(1, START, 1.0, 0)]))
    rollups.renew(bench.database)
    days = {(row[0], row[3]): row[4:] for row in sums(bench) if row[1] == DAY}
    assert days[1, 1] in {(2.0, 2.0, 2.0), (1.0, 1.0, 1.0)}
    assert days[2, 10][1] == 0.0
    assert days[3, 3][1] == pytest.approx(1e140 / 3)
    assert bench.rows("SELECT count(*) FROM rollups JOIN series ON id = series WHERE gateway = 'gw-0018'") == [(2,)]


def test_samples_are_let_go_and_their_sums_stay(bench: Bench, gateway: Gateway) -> None:
    fill(bench, gateway)
    path = bench.database.path
    before = OFFSET_MS + START + DAY
    (row,) = data("retention", "--keep", str(before), "--yes", "--database", path)
    assert row["samples"] == 5
    assert [row[3] for row in bench.samples()] == [before]
    assert sums(bench) == WANTED
    derive.rebuild(bench.database)
    assert [row[3] for row in bench.samples()] == [before], "a rebuild brings back nothing"
    assert sums(bench) == WANTED
    bench.take(gateway.send([(1, START + 5, 0.5, 0)]))
    assert data("rollup", "--database", path) == [{"hours": 1}]
    assert sums(bench) == WANTED, "what comes later of such an hour changes no sum"


@SQLITE
def test_a_file_has_no_roles(bench: Bench, gateway: Gateway) -> None:
    said = call("access", "grant", "anna", "--site", "nord", "--database", bench.database.path, code=64)[1]
    assert "PostgreSQL" in said


@POSTGRESQL
def test_a_role_reads_its_site_and_nothing_else(bench: Bench) -> None:
    import psycopg

    one, two = Gateway("gw-1", "nord"), Gateway("gw-2", "sued")
    for gateway in (one, two):
        gateway.add_to(bench.database)
        bench.take(*gateway.hello(2))
    url = str(bench.database.path)
    role = f"reader_{bench.rows('SELECT current_database()')[0][0]}"
    bench.rows(f"CREATE ROLE {role} LOGIN")
    for name, site in (("nobody", "nord"), (role, "ost")):
        assert call("access", "grant", name, "--site", site, "--database", url, code=64)
    call("access", "grant", role, "--site", "sued", "--database", url)
    assert data("access", "list", "--database", url) == [{"role": role, "site": "sued"}]
    with psycopg.connect(url.replace("postgres@", f"{role}@"), autocommit=True) as reader:
        assert reader.execute("SELECT DISTINCT gateway FROM series").fetchall() == [("gw-2",)]
        assert reader.execute("SELECT count(*) FROM samples").fetchall() == [(4,)]
        assert reader.execute("SELECT count(*) FROM batches").fetchall() == [(3,)]
        for statement in (
            "SELECT * FROM public.samples", "SELECT * FROM public.gateways", "DELETE FROM samples",
            "CREATE TABLE public.mine (x int)", "INSERT INTO gateways SELECT * FROM gateways",
        ):  # fmt: skip
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)):
                reader.execute(statement)
        call("access", "revoke", role, "--site", "sued", "--database", url)
        with pytest.raises(psycopg.errors.UndefinedTable):
            reader.execute("SELECT * FROM samples")
