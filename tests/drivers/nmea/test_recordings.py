"""Recordings of real receivers against what gpsd made of them (ntpsec/gpsd, test/daemon; BSD), where they are."""

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from drivers.nmea.framing import Damage, Framer, Sentence
from drivers.nmea.sentences import FIELDS, read
from ext import quality_class

FOLDER = Path(__file__).parents[4] / "shared" / "vectors" / "nmea"
LOGS = sorted(FOLDER.glob("*.log")) or [FOLDER / "none.log"]

TOLERANCE = Decimal("2e-9")  # gpsd reckons in doubles and prints nine decimals
POSITIONS = ("GGA", "RMC", "GLL", "GNS")
DAMAGED = ("com-1289", "garmin-geko201", "gp-320fw", "isync")  # these receivers, or their lines, lost bytes
UNSUMMED = ("hp58534a", "skytraq-err")  # what these receivers send is no sentence: no checksum

Position = tuple[Decimal, Decimal]


@pytest.fixture(params=LOGS, ids=lambda path: path.stem)
def log(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    if not path.is_file():
        pytest.skip("the folder ../shared/vectors/nmea is not here")
    return path


def sentences(data: bytes) -> Iterator[Sentence | Damage]:
    """What is found in a log, gpsd's comments left out."""
    lines = (line for line in data.splitlines(keepends=True) if not line.startswith(b"#"))
    yield from Framer().feed(b"".join(lines))


def position(sentence: Sentence) -> Position | None:
    fields = FIELDS[sentence.formatter]
    latitude, _ = read(sentence, fields["latitude"])
    longitude, _ = read(sentence, fields["longitude"])
    if isinstance(latitude, Decimal) and isinstance(longitude, Decimal):
        return latitude, longitude
    return None


def near(one: Position, report: dict[str, Decimal]) -> bool:
    return abs(one[0] - report["lat"]) <= TOLERANCE and abs(one[1] - report["lon"]) <= TOLERANCE


def reports(log: Path) -> Iterator[tuple[list[Position], dict[str, Decimal]]]:
    """Each report of gpsd with a position, and the positions read just before it."""
    recent: list[Position] = []
    for line in log.with_suffix(".log.chk").read_bytes().splitlines():
        if line.startswith(b"{"):
            report = json.loads(line, parse_float=Decimal)
            if report.get("class") == "TPV" and "lat" in report:
                yield recent[-4:], report
        for one in sentences(line + b"\r\n"):
            if isinstance(one, Damage):
                continue
            if one.formatter in POSITIONS and (found := position(one)) is not None:
                recent.append(found)


def test_every_sentence_of_a_receiver_is_read(log: Path) -> None:
    found = list(sentences(log.read_bytes()))
    damaged = [one for one in found if isinstance(one, Damage)]
    if log.stem.startswith(UNSUMMED):
        assert damaged == found != []
    else:
        assert damaged == [] or log.stem.startswith(DAMAGED)
        assert len(found) > 2 * len(damaged)


def test_positions_are_those_of_gpsd(log: Path) -> None:
    for positions, report in reports(log):
        assert not positions or any(near(one, report) for one in positions), report


def test_most_reports_of_gpsd_are_compared() -> None:
    if not FOLDER.is_dir():
        pytest.skip("the folder ../shared/vectors/nmea is not here")
    compared = sum(1 for log in LOGS for positions, _ in reports(log) if positions)
    assert compared >= 400


def test_no_position_while_gpsd_has_no_fix(log: Path) -> None:
    """A receiver that gpsd never believed gives no position here either."""
    if any(True for _ in reports(log)):
        return
    for one in sentences(log.read_bytes()):
        if isinstance(one, Sentence) and one.formatter in POSITIONS:
            assert position(one) is None


def test_every_field_of_a_receiver_is_read_or_bad(log: Path) -> None:
    for one in sentences(log.read_bytes()):
        if isinstance(one, Sentence):
            for field in FIELDS.get(one.formatter, {}).values():
                got, quality = read(one, field)
                assert (got is None) == (quality_class(quality) == 2)


Vector = dict[str, Decimal | str]


def told(log: Path, kind: str) -> Iterator[tuple[Sentence, list[Vector]]]:
    """Each sentence of a kind, and the reports that gpsd made of it alone."""
    sentence: Sentence | None = None
    found: list[Vector] = []
    for line in log.with_suffix(".log.chk").read_bytes().splitlines():
        if line.startswith(b"{"):
            found.append(json.loads(line, parse_float=Decimal))
            continue
        if sentence is not None and sentence.formatter == kind and found:
            yield sentence, found
        read_now = [one for one in sentences(line + b"\r\n") if isinstance(one, Sentence)]
        sentence, found = (read_now[0] if read_now else None), []


@pytest.mark.parametrize("field", ["pdop", "hdop", "vdop"])
def test_dilutions_are_those_of_gpsd(log: Path, field: str) -> None:
    for one, made in told(log, "GSA"):
        got, _ = read(one, FIELDS["GSA"][field])
        for report in made:
            if report.get("class") == "SKY" and field in report and got is not None:
                assert Decimal(report[field]) == got, (one, report)


def test_times_are_those_of_gpsd(log: Path) -> None:
    for kind in ("RMC", "ZDA"):
        for one, made in told(log, kind):
            got, _ = read(one, FIELDS[kind]["time"])
            for report in made:
                if report.get("class") == "TPV" and "time" in report and isinstance(got, Decimal):
                    said = datetime.fromisoformat(str(report["time"]))
                    assert abs(got - Decimal(repr(said.timestamp()))) < Decimal("0.0011"), (one, report)


def test_course_and_speed_are_those_of_gpsd(log: Path) -> None:
    for one, made in told(log, "VTG"):
        course, _ = read(one, FIELDS["VTG"]["course"])
        knots, _ = read(one, FIELDS["VTG"]["speed"])
        for report in made:
            if report.get("class") == "TPV" and isinstance(course, Decimal) and "track" in report:
                assert abs(Decimal(report["track"]) - course) < Decimal("0.001"), (one, report)
            if report.get("class") == "TPV" and isinstance(knots, Decimal) and "speed" in report:
                assert abs(Decimal(report["speed"]) - knots * 1852 / 3600) < Decimal("0.02"), (one, report)


def test_many_reports_of_gpsd_are_compared_for_each_kind() -> None:
    if not FOLDER.is_dir():
        pytest.skip("the folder ../shared/vectors/nmea is not here")
    for kind, least in (("GSA", 150), ("RMC", 200), ("ZDA", 20), ("VTG", 50)):
        assert sum(1 for log in LOGS for _ in told(log, kind)) >= least, kind
