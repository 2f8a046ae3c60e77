"""`lamppost decode line|query|frame --profile`: what a profile says of captured bytes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from config import load_profile
from drivers import decoding, rehearsal
from drivers.errors import SetupError
from gateway.cli.decode import command

DRIVERS = Path(decoding.__file__).parent

# the examples of their makers: hekmon/linkytic, SDI-12 1.4, avaldebe/PyPMS
LINKY = b"\nEAST\t003519703\t+\r\nURMS1\t241\tA\r\nEAST\t003519704\t+\r"
SDI12 = b"00012\r\n0\r\n0+3.14+2.718IWO\r\n"
NOVA = bytes.fromhex("aac00600060058d93dab")


def decoded(kind: str, profile: str, given: bytes, code: int = 0) -> list[dict[str, object]]:
    file = DRIVERS / kind / "profiles" / f"{profile}.toml"
    done = CliRunner().invoke(command, [kind, "--raw", "--profile", str(file)], input=given)
    assert done.exit_code == code, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def reading(point: str, value: object, unit: str) -> dict[str, object]:
    return {"point": point, "value": value, "unit": unit, "quality": "good"}


def test_lines() -> None:
    assert decoded("line", "linky-standard", LINKY, code=65) == [
        reading("energy", 3519703.0, "Wh"),
        reading("voltage", 241.0, "V"),
        {"error": "line: wrong checksum"},
    ]


def test_answers() -> None:
    found = decoded("query", "sdi12-meter-teros21", SDI12)
    assert found == [reading("water-potential", 3.14, "kPa"), reading("temperature", 2.718, "Cel")]


def test_frames() -> None:
    found = decoded("frame", "nova-sds011", b"\x00" + NOVA + NOVA[:-1] + b"\x00", code=65)
    assert found == [reading("pm2-5", 0.6, "ug/m3"), reading("pm10", 0.6, "ug/m3"),
                     {"error": "frame: no end where it should be"}]  # fmt: skip


def test_the_profile_of_another_driver_is_told() -> None:
    with pytest.raises(SetupError, match="not of the driver frame"):
        list(decoding.load("frame")(NOVA, load_profile(DRIVERS / "line" / "profiles" / "linky-standard.toml")))


@pytest.mark.parametrize("kind", ["line", "query", "frame"])
def test_without_a_profile_nothing_is_said(kind: str) -> None:
    with pytest.raises(SetupError, match="name the profile's file"):
        list(decoding.load(kind)(b"", None))


def registers(*words: str, code: int = 0) -> list[dict[str, object]]:
    done = CliRunner().invoke(command, ["modbus", *words])
    assert done.exit_code == code, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_registers() -> None:
    # an ET112 answers 233.1 V: https://github.com/ioBroker/ioBroker.modbus/issues/286
    found = registers("--profile", "carlo-gavazzi-em340", "--table", "input", "--address", "0", "09 1B 00 00")
    assert found == [reading("voltage-l1", 233.1, "V")]


def test_coils_are_packed_as_in_an_answer() -> None:
    assert registers("--profile", "street-light", "--table", "coil", "--address", "0", "05") == [
        reading("on", True, "")
    ]


def test_registers_of_no_point() -> None:
    (told,) = registers("--profile", "abb-b23", "--table", "holding", "--address", "1", "0000", code=65)
    assert told == {"error": "no point of the profile lies there"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--profile", "abb-b23", "0000"), "table: is missing"),
        (("--profile", "abb-b23", "--table", "input", "--address", "0", "00"), "registers: must be registers in hex"),
        (("--table", "input", "--address", "0", "0000"), "--profile: is needed"),
        (("--profile", "linky-standard", "--table", "input", "--address", "0", "0000"), "--profile: is needed"),
    ],
)
def test_what_is_needed_for_registers_is_told(words: tuple[str, ...], told: str) -> None:
    done = CliRunner().invoke(command, ["modbus", *words])
    assert isinstance(done.exception, SetupError)
    assert told in str(done.exception)


def test_bytes_that_have_no_address() -> None:
    with pytest.raises(SetupError, match="say by themselves what they are"):
        rehearsal.decoder("nmea", {"address": 0})
