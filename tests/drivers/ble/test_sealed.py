"""Devices with a key: what was heard before, or may come from anybody, is refused; and keys stay secret."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import given
from hypothesis import strategies as st

from drivers.ble import BleDriver
from drivers.ble.advertisements import Listeners
from drivers.ble.formats.keys import KeyFileError, load_key
from drivers.ble.formats.replay import MAX_EARLY, RESTART_BELOW, Counter, Verdict
from drivers.conformance import Heard
from drivers.errors import SetupError
from ext import BAD_ANSWER, describe
from tests.drivers.support import make

TAG = "54:48:E6:8F:80:A5"
KEY = "231d39c1d7cc1ab1aee224cd096db932"  # bthome.io/encryption, the example
SIXTEEN = frozenset({16})


def sealed(counter: int, payload: str, key: str = KEY) -> bytes:
    """BTHome as bthome.io/encryption describes it: nonce of address, UUID, device information and counter."""
    count = counter.to_bytes(4, "little")
    nonce = bytes.fromhex(TAG.replace(":", "")) + bytes.fromhex("d2fc41") + count
    ciphered = AESCCM(bytes.fromhex(key), tag_length=4).encrypt(nonce, bytes.fromhex(payload), None)
    return b"\x41" + ciphered[:-4] + count + ciphered[-4:]


def test_sealing_here_is_sealing_there() -> None:
    published = "41a47266c95f730011223378237214"
    assert sealed(int.from_bytes(bytes.fromhex("00112233"), "little"), "02ca0903bf13").hex() == published


@pytest.fixture
def device(tmp_path: Path) -> tuple[Listeners, Heard]:
    file = tmp_path / "bin4.key"
    file.write_text(KEY + "\n")
    file.chmod(0o600)
    driver = make(BleDriver, tmp_path, config(file))
    return Listeners(driver.setup), Heard(driver.setup)


def config(key_file: Path | str) -> str:
    return f"""
[buses]
air = {{ driver = "ble" }}
[devices]
bin4 = {{ bus = "air", address = "{TAG}", profile = "bthome-climate", key_file = "{key_file}" }}
"""


def hear(device: tuple[Listeners, Heard], data: bytes) -> None:
    device[0].take(TAG, -60, {}, {"fcd2": data}, device[1])


def temperatures(device: tuple[Listeners, Heard]) -> list[str | None]:
    return [value for point, value, _ in device[1].samples if point == "bin4/temperature"]


def test_an_old_advertisement_is_refused(device: tuple[Listeners, Heard]) -> None:
    first, second = sealed(1000, "02ca09"), sealed(1001, "02d009")
    for data in (first, second, second, first):
        hear(device, data)
    assert temperatures(device) == ["25.06", "25.12"]
    assert [text for _, text in device[1].failures] == [
        "bthome: an old advertisement (counter 1000): replayed by somebody"
    ]


def test_what_is_not_encrypted_is_not_believed(device: tuple[Listeners, Heard]) -> None:
    hear(device, bytes.fromhex("4002ca09"))
    assert not device[1].samples
    assert [text for _, text in device[1].failures] == ["bthome: not encrypted, although the device has a key"]


def test_nothing_of_another_key_is_told_but_that_it_is(device: tuple[Listeners, Heard]) -> None:
    hear(device, sealed(1000, "02ca09", key="00" * 16))
    hear(device, sealed(1000, "02ca09"))
    assert temperatures(device) == ["25.06"]
    (failure,) = device[1].failures
    assert failure[1] == "bthome: encrypted with another key, or altered"


def test_a_new_battery_counts_from_the_beginning(device: tuple[Listeners, Heard]) -> None:
    early, late = sealed(0, "020100"), sealed(70_000, "02ca09")
    for data in (early, late, early, sealed(1, "02d009"), sealed(2, "02d109")):
        hear(device, data)
    assert temperatures(device) == ["0.01", "25.06", "25.12", "25.13"]
    assert len(device[1].failures) == 1, "the one that was heard before is a replay even so"


def test_points_in_another_unit_and_scaled_ones(tmp_path: Path) -> None:
    points = """{
points.fahrenheit = { reading = "temperature", scale = 1.8, offset = 32, unit = "[degF]" },
points.wrong = { reading = "temperature", unit = "K" },
points.again = { reading = "temperature-2", unit = "Cel" },""".replace("\n", " ")
    driver = make(
        BleDriver,
        tmp_path,
        config("").replace(', key_file = ""', "").replace("bin4 = {", f"bin4 = {points}").replace(", }", " }"),
    )
    heard = Heard(driver.setup)
    Listeners(driver.setup).take(TAG, -60, {}, {"fcd2": bytes.fromhex("4002ca0902d009")}, heard)
    got = {point: [value, quality] for point, value, quality in heard.samples}
    assert got["bin4/fahrenheit"] == ["77.108", "good"]
    assert got["bin4/wrong"] == [None, describe(BAD_ANSWER)]
    assert got["bin4/again"] == ["25.12", "good"]


# -- counters ------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(RESTART_BELOW, 2**31 - 1), min_size=2, max_size=50))
def test_each_counter_is_new_once_and_only_upwards(counters: list[int]) -> None:
    counter, highest = Counter(), -1
    for one in counters:
        verdict = counter.judge(one, b"tag")
        wanted = Verdict.NEW if one > highest else Verdict.REPEATED if one == highest else Verdict.REPLAYED
        assert verdict is wanted
        highest = max(highest, one)


@given(st.lists(st.tuples(st.integers(0, 2 * RESTART_BELOW), st.sampled_from([b"1", b"2"])), max_size=60))
def test_what_a_restarted_sensor_said_once_is_never_new_again(heard: list[tuple[int, bytes]]) -> None:
    counter = Counter()
    new = [one for one in heard if counter.judge(*one) is Verdict.NEW]
    early = [one for one in new if one[0] < RESTART_BELOW]
    assert len(set(early)) == len(early)


def test_memory_is_bounded_and_then_no_restart_is_believed() -> None:
    counter = Counter()
    verdicts = [counter.judge(n % RESTART_BELOW, n.to_bytes(4)) for n in range(3 * MAX_EARLY)]
    assert verdicts.count(Verdict.NEW) == MAX_EARLY
    assert counter.judge(0, b"fresh") is Verdict.REPLAYED
    assert counter.judge(RESTART_BELOW, b"") is Verdict.NEW


def test_short_counters_run_over() -> None:
    counter = Counter()
    assert {counter.judge(number % 256, b"", 8) for number in range(250, 800)} == {Verdict.NEW}
    assert counter.judge((799 - 100) % 256, b"", 8) is Verdict.REPLAYED


# -- key files -----------------------------------------------------------------------------------------------------


def test_keys_come_from_files_that_only_their_owner_reads(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f" {KEY.upper()}\n")
    file.chmod(0o600)
    assert load_key(file, SIXTEEN) == bytes.fromhex(KEY)
    file.chmod(0o640)
    with pytest.raises(KeyFileError, match="mode 0640 lets others in; remedy: chmod 600"):
        load_key(file, SIXTEEN)


@pytest.mark.parametrize("text", ["", KEY[:-2], KEY + "00", KEY[:-1] + "g", KEY + " " + KEY, "x" * 1000])
def test_what_is_no_key_is_not_quoted(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        load_key(file, SIXTEEN)
    assert KEY[:8] not in str(caught.value)


@pytest.mark.parametrize("file", ["relative.key", "/nowhere/at/all.key", os.sep])
def test_a_key_file_that_cannot_be_is_a_problem_of_its_device(tmp_path: Path, file: str) -> None:
    with pytest.raises(SetupError, match=r"devices\.bin4\.key_file"):
        make(BleDriver, tmp_path, config(file))


def test_a_format_without_keys_takes_none(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o600)
    with pytest.raises(SetupError, match="has no encryption"):
        make(BleDriver, tmp_path, config(file).replace("bthome-climate", "eddystone"))
