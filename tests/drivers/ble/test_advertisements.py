"""What advertisements mean: any bytes from anybody, and Ruuvi's data format 5 against its specification."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.ble import BleDriver
from drivers.ble.advertisements import Listeners
from drivers.ble.options import MAX_HEADER, Advertisement, BleDevice, BlePoint
from drivers.conformance import Heard, exact_text
from tests.drivers.support import make

TAG = "CB:B8:33:4C:88:4F"
CONFIG = f"""
[buses]
air = {{ driver = "ble" }}
[devices]
tag = {{ bus = "air", address = "{TAG}", profile = "ruuvi-df5" }}
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> BleDriver:
    return make(BleDriver, tmp_path_factory.mktemp("ble"), CONFIG)


def signed(data: bytes) -> int | None:
    value = int.from_bytes(data, "big", signed=True)
    return None if value == -0x8000 else value


def unsigned(value: int, invalid: int) -> int | None:
    return None if value == invalid else value


def scaled(raw: int | None, scale: str = "1", offset: str = "0") -> str | None:
    return None if raw is None else exact_text(Decimal(raw) * Decimal(scale) + Decimal(offset))


def ruuvi(data: bytes) -> dict[str, str | None]:
    """Data format 5 as docs.ruuvi.com describes it, field by field, written apart from the profile."""
    power = int.from_bytes(data[13:15], "big")
    return {
        "temperature": scaled(signed(data[1:3]), "0.005"),
        "humidity": scaled(unsigned(int.from_bytes(data[3:5], "big"), 65535), "0.0025"),
        "pressure": scaled(unsigned(int.from_bytes(data[5:7], "big"), 65535), "1", "50000"),
        "acceleration-x": scaled(signed(data[7:9]), "0.001"),
        "acceleration-y": scaled(signed(data[9:11]), "0.001"),
        "acceleration-z": scaled(signed(data[11:13]), "0.001"),
        "battery": scaled(unsigned(power >> 5, 2047), "0.001", "1.6"),
        "tx-power": scaled(unsigned(power & 31, 31), "2", "-40"),
        "movements": scaled(unsigned(data[15], 255)),
        "sequence": scaled(unsigned(int.from_bytes(data[16:18], "big"), 65535)),
    }


@given(st.binary(min_size=23, max_size=23))
def test_every_ruuvi_payload_is_read_as_specified(driver: BleDriver, rest: bytes) -> None:
    data = b"\x05" + rest
    heard = Heard(driver.setup)
    Listeners(driver.setup).take(TAG, -60, {0x0499: data}, {}, heard)
    got = {str(name).removeprefix("tag/"): value for name, value, _ in heard.samples}
    assert got.pop("rssi") == "-60"
    assert got == ruuvi(data)
    for _, value, quality in heard.samples:
        assert quality == ("bad (sentinel)" if value is None else "good")


@given(
    st.text(max_size=20) | st.just(TAG),
    st.integers(-300, 300),
    st.dictionaries(st.integers(0, 65535) | st.just(0x0499), st.binary(max_size=40), max_size=3),
)
def test_nothing_that_is_heard_raises(driver: BleDriver, address: str, rssi: int, data: dict[int, bytes]) -> None:
    heard = Heard(driver.setup)
    Listeners(driver.setup).take(address, rssi, data, {}, heard)
    for text in heard.strangers + [text for _, text in heard.failures]:
        assert text.isprintable()
        assert len(text) < 100
        assert not address or address == TAG or len(address) < 4 or address not in text


def test_strangers_are_of_few_kinds(driver: BleDriver) -> None:
    heard = Heard(driver.setup)
    listeners = Listeners(driver.setup)
    for company in range(0, 65536, 7):
        listeners.take(f"C4:11:22:33:{company >> 8:02X}:{company & 255:02X}", -60, {company: bytes(24)}, {}, heard)
    assert len(set(heard.strangers)) <= 2


@pytest.mark.parametrize("address", ["cb:b8:33:4c:88:4f", "CB-B8-33-4C-88-4F", "CB:B8:33:4C:88:4F"])
def test_addresses_are_written_in_one_way(address: str) -> None:
    assert BleDevice(address=address, advertisement=Advertisement(company=1, length=1)).address == TAG


@pytest.mark.parametrize(
    "address", ["", "CBB8334C884F", "CB:B8:33:4C:88", "CB:B8:33:4C:88:4G", "CB:B8:33:4C:88:4F\n", TAG * 9]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        BleDevice(address=address, advertisement=Advertisement(company=1, length=1))


@pytest.mark.parametrize(
    "make_bad",
    [
        lambda: Advertisement(company=-1, length=1),
        lambda: Advertisement(company=65536, length=1),
        lambda: Advertisement(company=1, length=0),
        lambda: Advertisement(company=1, length=2000),
        lambda: Advertisement.model_validate({"company": 1, "length": 24, "header": "5"}),
        lambda: Advertisement.model_validate({"company": 1, "length": 24, "header": 5}),
        lambda: Advertisement.model_validate({"company": 1, "length": 1, "header": "0505"}),
        lambda: Advertisement.model_validate({"company": 1, "length": 100, "header": "05" * (MAX_HEADER + 1)}),
        BlePoint,
        lambda: BlePoint(byte=1, source="rssi"),
        lambda: BlePoint(byte=1, type="int12"),
        lambda: BlePoint(byte=1, order="BCDA"),
        lambda: BlePoint(byte=-1),
        lambda: BlePoint(byte=1, type="float32", bits=3),
        lambda: BlePoint.model_validate({"byte": 1, "unknown": 2}),
    ],
)
def test_options_that_cannot_be_are_refused(make_bad: Callable[[], object]) -> None:
    with pytest.raises(ValidationError):
        make_bad()


def test_every_problem_is_told_with_its_place(tmp_path: Path) -> None:
    config = (
        CONFIG
        + f"""
[devices.twin]
bus = "air"
address = "{TAG}"
profile = "ruuvi-df5"
points.late = {{ byte = 23, type = "uint32" }}
"""
    )
    with pytest.raises(Exception, match=r"devices\.twin\.points\.late\.byte") as caught:
        make(BleDriver, tmp_path, config)
    assert "devices.twin.address" in str(caught.value)


# https://bthome.io/encryption/, the example with its key and address: temperature 25.06, humidity 50.55
SEALED = bytes.fromhex("41a47266c95f730011223378237214")
SEALED_KEY, SEALED_BY = "231d39c1d7cc1ab1aee224cd096db932", "54:48:E6:8F:80:A5"


def test_a_device_is_known_by_its_key_alone(tmp_path: Path) -> None:
    key = tmp_path / "hall.key"
    key.write_text(SEALED_KEY)
    key.chmod(0o600)
    config = f"""
[buses]
air = {{ driver = "ble" }}
[devices.hall]
bus = "air"
format = "bthome"
key_file = "{key}"
points.temperature = {{ reading = "temperature", unit = "Cel" }}
points.rssi = {{ source = "rssi" }}
"""
    driver = make(BleDriver, tmp_path, config)
    listeners, heard = Listeners(driver.setup), Heard(driver.setup)
    listeners.take("C4:11:22:33:44:55", -60, {}, {"fcd2": SEALED}, heard)
    listeners.take(SEALED_BY, -60, {}, {"fcd2": SEALED[:-1] + b"\x00"}, heard)
    assert heard.strangers == ["advertisement of the format bthome"] * 2
    assert not heard.samples
    listeners.take(SEALED_BY, -60, {}, {"fcd2": SEALED}, heard)
    assert heard.samples == [["hall/temperature", "25.06", "good"], ["hall/rssi", "-60", "good"]]
    listeners.take(SEALED_BY, -60, {}, {"fcd2": SEALED}, heard)  # repeated, which says nothing new
    assert len(heard.samples) == 2
    assert SEALED_KEY not in repr((heard.strangers, heard.failures))
