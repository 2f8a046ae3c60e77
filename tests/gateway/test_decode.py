"""`lamppost decode`: captured bytes in, a line of JSON a value out."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.decode import command

# Vaisala WMT700 User's Guide, E.3: an example of MWV
WIND = b"$WIMWV,39,R,1.3,M,A*06"
READ = [
    {"point": "mwv.angle", "value": 39.0, "unit": "", "quality": "good"},
    {"point": "mwv.speed", "value": 1.3, "unit": "", "quality": "good"},
    {"point": "mwv.status", "value": "A", "unit": "", "quality": "good"},
]


def decoded(*arguments: str, given: bytes = b"", code: int = 0) -> list[dict[str, object]]:
    done = CliRunner().invoke(command, arguments, input=given)
    assert done.exit_code == code, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mast.log"
    file.write_bytes(WIND + b"\r\n")
    assert decoded("nmea", str(file)) == READ


@pytest.mark.parametrize("text", [WIND.hex(), WIND.hex(" ").upper(), "0x" + WIND.hex(":")])
def test_hex(text: str) -> None:
    assert decoded("nmea", text) == READ


def test_standard_input_as_it_is_and_as_hex() -> None:
    assert decoded("nmea", given=WIND) == READ
    assert decoded("nmea", "-", given=WIND.hex(" ").encode() + b"\n") == READ


def test_an_error_among_values_says_itself_and_the_exit_code() -> None:
    found = decoded("nmea", given=WIND + b"\r\n$WIMWV,39,R,1.3,M,A*07\r\n", code=65)
    assert found == [*READ, {"error": "NMEA sentence: wrong checksum"}]


def test_raw_bytes_that_look_like_hex() -> None:
    assert decoded("nmea", "--raw", given=b"3132") == []


def test_neither_file_nor_hex() -> None:
    done = CliRunner().invoke(command, ["nmea", "no-such-file"])
    assert done.exit_code == 2  # of click; the process leaves with 64
    assert "neither a file nor hex" in done.output
