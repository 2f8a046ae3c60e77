"""`lamppost decode`: captured bytes in, a line of JSON a value out."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.decode import command

# Vaisala WMT700 User's Guide, E.3: an example of MWV
WIND = b"$WIMWV,39,R,1.3,M,A*06"
READ = [
    {"point": "mwv.angle", "value": 39.0, "unit": "deg", "quality": "good"},
    {"point": "mwv.speed", "value": 1.3, "unit": "m/s", "quality": "good"},
    {"point": "mwv.status", "value": "A", "unit": "", "quality": "good"},
    {"point": "mwv.reference", "value": "R", "unit": "", "quality": "good"},
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
    assert decoded("nmea", "--raw", given=b"3132", code=65) == [{"error": "nothing of nmea in 4 bytes"}]


@pytest.mark.parametrize("kind", ["nmea", "mbus", "p1", "iec62056", "sml"])
@pytest.mark.parametrize("data", [b"", b"what is this?\n"])
def test_bytes_that_say_nothing_are_an_error(kind: str, data: bytes) -> None:
    (found,) = decoded(kind, "--raw", given=data, code=65)
    assert list(found) == ["error"]


def test_columns_of_digits_are_no_hex() -> None:
    (found,) = decoded("nmea", given=b"12,34\n", code=65)
    assert found == {"error": "nothing of nmea in 6 bytes"}


@pytest.mark.parametrize("joint", [", 0x", ",0x", " ", "\n", " # what follows is the next byte\n"])
def test_hex_as_people_write_it(joint: str) -> None:
    text = "# a comment\n0x" + joint.join(f"{byte:02X}" for byte in WIND) + "\n"
    assert decoded("nmea", given=text.encode()) == READ


def test_hex_longer_than_a_name_of_a_file() -> None:
    assert decoded("nmea", (WIND + b"\r\n").hex(" ") * 20) == READ * 20


def test_neither_file_nor_hex_and_longer_than_a_name() -> None:
    done = CliRunner().invoke(command, ["nmea", "zz" * 3000])
    assert done.exit_code == 2
    assert "neither a file nor hex" in done.output
    assert len(done.output) < 1000


def test_neither_file_nor_hex() -> None:
    done = CliRunner().invoke(command, ["nmea", "no-such-file"])
    assert done.exit_code == 2  # of click; the process leaves with 64
    assert "neither a file nor hex" in done.output


def test_comments_of_a_log_are_no_sentences() -> None:
    assert decoded("nmea", given=b"# of $WIMWV and $WIMWD\r\n" + WIND + b"\r\n#$WIMWV,39\n") == READ


def test_units_are_those_of_the_sentence() -> None:
    # the letters of NMEA 0183 3.01, XDR and MWV
    given = b"$WIXDR,C,+023.3,C,C,P,1.0095,B,P0,H,50,P,H0\r\n$IIMWV,39,T,2.5,N,A\r\n"
    units = {str(one["point"]): one["unit"] for one in decoded("nmea", given=given)}
    assert units == {
        "xdr.C/C": "Cel", "xdr.P/P0": "bar", "xdr.H/H0": "%RH",
        "mwv.angle": "deg", "mwv.speed": "kn", "mwv.status": "", "mwv.reference": "",
    }  # fmt: skip
