"""The tests in profiles: what the drivers take, what is found, and what is told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config import Profile, load_profile
from drivers import registry
from drivers.errors import SetupError
from drivers.rehearsal import judge, rehearse

Make = Callable[[str], Profile]

# https://docs.ruuvi.com/communication/bluetooth-advertisements/data-format-5-rawv2, test vectors
RUUVI = """
driver = "ble"
advertisement = { company = 0x0499, header = "05", length = 24 }
[points.temperature]
byte = 1
type = "int16"
scale = 0.005
sentinel = [-32768]
[[tests]]
source = "valid data"
device = { address = "CB:B8:33:4C:88:4F" }
recording = "CB:B8:33:4C:88:4F -60 0499 0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F"
values = { temperature = 24.3 }
[[tests]]
source = "invalid values"
device = { address = "CB:B8:33:4C:88:4F" }
recording = "CB:B8:33:4C:88:4F -60 0499 058000FFFFFFFF800080008000FFFFFFFFFFFFFFFFFFFFFF"
missing = ["temperature"]
"""

LAMP = """
driver = "modbus"
[points.on]
table = "coil"
register = 3
[points.failed]
table = "coil"
register = 4
[points.level]
table = "holding"
register = 12
[points.voltage]
table = "input"
register = 0
type = "float32"
"""


@pytest.fixture
def profile(tmp_path: Path) -> Make:
    def made(text: str) -> Profile:
        file = tmp_path / "one.toml"
        file.write_text(text, encoding="utf-8")
        return load_profile(file)

    return made


def faults(profile: Profile) -> list[tuple[str, ...]]:
    return [outcome.faults for outcome in rehearse(registry.load(profile.driver), profile)]


def test_any_driver_takes_its_recordings(profile: Make) -> None:
    assert faults(profile(RUUVI)) == [(), ()]


def test_what_a_device_does_not_say_is_a_fault(profile: Make) -> None:
    one, two = faults(profile(RUUVI.replace("24.3", "24.29").replace("058000", "0512FC")))
    assert one == ("temperature is 24.3 (good), expected 24.29",)
    assert two == ("temperature is 24.3 (good), expected no value",)
    (one, _) = faults(profile(RUUVI.replace("-60 0499 0512", "-60 0499 0612")))
    assert one[-1] == "temperature says nothing, expected 24.3"


TEST = '[[tests]]\nsource = "m"\n'


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ('table = "coil"\naddress = 3\nbits = "10"\nvalues = { on = true, failed = false }', ()),
        ('table = "coil"\naddress = 3\nbits = "11"\nvalues = { failed = false }',
         ("failed is true (good), expected false",)),
        # the digits that the document prints: 0x43663334 is 230.20001220703125
        ('table = "input"\naddress = 0\nregisters = "4366 3334"\nvalues = { voltage = 230.20001 }', ()),
        ('table = "input"\naddress = 0\nregisters = "4366 3334"\nvalues = { voltage = 230.2 }', ()),
        ('table = "input"\naddress = 0\nregisters = "4366 3334"\nvalues = { voltage = 230.20 }', ()),
        ('table = "input"\naddress = 0\nregisters = "4366 3334"\nvalues = { voltage = 230.3 }',
         ("voltage is 230.20001220703125 (good), expected 230.3",)),
        ('table = "input"\naddress = 0\nregisters = "7FC0 0000"\nmissing = ["voltage"]', ()),
        ('table = "holding"\naddress = 12\nregisters = "0001"\nvalues = { level = true }',
         ("level is 1 (good), expected true",)),
        ('table = "holding"\naddress = 11\nregisters = "0001"\nvalues = { level = 1 }',
         ("holding 12 to 12 are not given, but wanted for level", "level says nothing, expected 1")),
    ],
)  # fmt: skip
def test_registers(profile: Make, given: str, found: tuple[str, ...]) -> None:
    assert faults(profile(LAMP + TEST + given)) == [found]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('table = "input"\naddress = 0\nregisters = "436"', "tests[0].registers: must be registers in hex"),
        ('table = "input"\naddress = 0\nbits = "1"', "tests[0]: what a input holds is given as registers"),
        ('table = "coil"\naddress = 0\nbits = "2"', "tests[0].bits: must be bits"),
        ('table = "input"\nadress = 0\nregisters = "4366"', 'tests[0].adress: unknown key; did you mean "address"?'),
        ('table = "input"\naddress = 65536\nregisters = "4366"', "tests[0].address: "),
    ],
)
def test_what_no_device_could_have_said_is_told(profile: Make, given: str, told: str) -> None:
    made = profile(LAMP + TEST + "values = { level = 1 }\n" + given)
    with pytest.raises(SetupError) as caught:
        list(rehearse(registry.load("modbus"), made))
    assert any(f"{path}: {message}".startswith(told) for path, message, _ in caught.value.problems)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[identify]\nvender = 'x'\n", "identify.vender: unknown key"),
        ("[identify]\nregisters = [{ table = 'input', register = 1, equals = 70000 }]\n", "identify.registers[0]."),
        ("[identify]\nserial = { baud = 9600, parity = 'mark' }\n", "identify.serial.parity: must be one of"),
        ("[points.far]\ntable = 'input'\ntyp = 'int16'\n", 'points.far.typ: unknown key; did you mean "type"?'),
    ],
)  # fmt: skip
def test_keys_that_the_driver_does_not_take_are_told(profile: Make, text: str, told: str) -> None:
    found = judge(registry.load("modbus"), profile(LAMP + text))
    assert any(f"{path}: {message}".startswith(told) for path, message, _ in found), found
