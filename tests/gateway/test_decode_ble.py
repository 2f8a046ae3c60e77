"""`lamppost decode ble`: its options, the profile of the guide, and what it never tells."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from drivers import decoding
from drivers.errors import SetupError
from gateway.cli.decode import command

DRIVERS = Path(decoding.__file__).parent
GUIDE = DRIVERS.parent / "docs" / "drivers.md"
RUUVI = "0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F"  # docs.ruuvi.com, data format 5, valid data
SEALED = "41a47266c95f730011223378237214"  # bthome.io/encryption
KEY = "231d39c1d7cc1ab1aee224cd096db932"
ADDRESS = "54:48:E6:8F:80:A5"


def run(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(command, ["ble", *arguments])
    assert done.exit_code == code, done.output
    return done


def lines(*arguments: str, code: int = 0) -> list[dict[str, object]]:
    return [json.loads(line) for line in run(*arguments, code=code).stdout.splitlines()]


@pytest.mark.parametrize("company", ["0x0499", "0499", "0x499", "1177"])
def test_company_data(company: str) -> None:
    found = lines("--company", company, RUUVI)
    assert found[0] == {"point": "temperature", "value": 24.3, "unit": "Cel", "quality": "good", "format": "ruuvi-df5"}
    assert [one["point"] for one in found][-1] == "sequence"


@pytest.mark.parametrize("service", ["fcd2", "0xFCD2", "0000FCD2-0000-1000-8000-00805F9B34FB"])
def test_service_data(service: str) -> None:
    assert lines("--service", service, SEALED, "--key", KEY, "--address", ADDRESS) == [
        {"point": "temperature", "value": 25.06, "unit": "Cel", "quality": "good", "format": "bthome"},
        {"point": "humidity", "value": 50.55, "unit": "%RH", "quality": "good", "format": "bthome"},
    ]


def test_what_cannot_be_read_is_said() -> None:
    sealed = ("--service", "fcd2", SEALED)
    assert lines(*sealed, code=65) == [{"error": "bthome: encrypted, and the address is needed to open it"}]
    assert lines(*sealed, "--address", ADDRESS, code=65) == [{"error": "bthome: encrypted, and there is no key"}]
    altered = lines(*sealed, "--address", ADDRESS, "--key", KEY[::-1], code=65)
    assert altered == [{"error": "bthome: encrypted with another key, or altered"}]
    assert lines("--company", "0x004c", "1005", code=65) == [
        {"error": "no format is known of company 0x004c in 2 bytes"}
    ]
    assert lines("--profile", "ruuvi-df5", "--company", "0x004c", "1005", code=65) == [
        {"error": "the bytes are of company 0x004c; the profile is of company 0x0499, header 05"}
    ]


def test_a_profile_by_name_or_by_file() -> None:
    by_name = lines("--profile", "ruuvi-df5", RUUVI)
    assert by_name == lines("--profile", str(DRIVERS / "ble" / "profiles" / "ruuvi-df5.toml"), RUUVI)
    assert by_name == lines("--company", "0x0499", RUUVI)
    (only,) = lines("--profile", "bthome-climate", "40026400")
    assert only == {"point": "temperature", "value": 1.0, "unit": "Cel", "quality": "good", "format": "bthome-climate"}


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("00",), "--company"),
        (("--company", "0x0499", "--service", "fcd2", "00"), "--service"),
        (("--company", "ruuvi", "00"), "--company"),
        (("--service", "fcd", "00"), "--service"),
        (("--service", "fcd2", "--key", KEY[:-1], "00"), "--key"),
        (("--service", "fcd2", "--address", "bin4", "00"), "--address"),
    ],
)
def test_options_that_cannot_be(arguments: tuple[str, ...], wrong: str) -> None:
    with pytest.raises(SetupError, match=f"^{wrong}: ") as caught:
        CliRunner().invoke(command, ["ble", *arguments], catch_exceptions=False)
    assert KEY[:-1] not in str(caught.value)


def test_options_of_ble_are_its_own() -> None:
    done = CliRunner().invoke(command, ["nmea", "--key", KEY, "00"])
    assert done.exit_code == 2
    assert "--key is not for the kind nmea" in done.output
    assert KEY not in done.output


def test_the_profile_of_the_guide_in_ten_lines(tmp_path: Path) -> None:
    section = GUIDE.read_text().split("## A Bluetooth sensor as a profile, in ten lines\n")[1].split("\n## ")[0]
    blocks = dict(re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    assert len([line for line in blocks["toml"].splitlines() if line]) <= 10
    _, _, *arguments = shlex.split(blocks["sh"])
    file = tmp_path / arguments[arguments.index("--profile") + 1]
    file.write_text(blocks["toml"])
    shown = CliRunner().invoke(command, [str(file) if one == file.name else one for one in arguments])
    assert shown.stdout == blocks["json"]
    assert lines("--profile", str(file), "0080")[0]["quality"] == "bad (sentinel)"
