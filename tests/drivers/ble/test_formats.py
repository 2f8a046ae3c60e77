"""Self-describing formats: nothing raises but what is promised, and nothing sealed can be altered."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.ble import formats
from drivers.ble.formats.report import Report
from drivers.errors import BadAnswer
from ext import GOOD

ADDRESS = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
SEALED = bytes.fromhex("41a47266c95f730011223378237214")  # bthome.io/encryption: 25.06 Cel, 50.55 %RH
SHOWN_BYTES = 2  # of what was heard, at most; a key as short as that may be among them
MOST_READINGS = 200  # of 256 bytes: the shortest object that says anything has two

NAMES = formats.names()


@dataclass(frozen=True)
class Sealed:
    """An encrypted advertisement that was published, with its key."""

    format: str
    address: str
    data: bytes
    key: bytes


def sealed() -> list[Sealed]:
    found = []
    for file in sorted((Path(__file__).parent / "vectors").glob("*.json")):
        for group in json.loads(file.read_text()):
            name = {"fcd2": "bthome", "fe95": "mibeacon", "181a": "atc-encrypted"}[group["service"]]
            for _, address, data, key, _ in group["cases"]:
                if len(key) == 32:
                    found.append(Sealed(name, address, bytes.fromhex(data), bytes.fromhex(key)))
    return found


PUBLISHED = sealed()


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(max_size=256), key=st.none() | st.binary(min_size=16, max_size=16) | st.binary(max_size=20))
def test_any_bytes_are_read_or_refused(name: str, data: bytes, key: bytes | None) -> None:
    try:
        report = formats.load(name).decode(ADDRESS, data, key)
    except BadAnswer as error:
        refused = str(error)
    else:
        check(report)
        return
    assert refused.startswith(f"{name}: ")
    assert key is None or len(key) <= SHOWN_BYTES or key.hex() not in refused


HEADS = {
    "ruuvi": b"",
    "bthome": b"\x40",
    "mibeacon": bytes.fromhex("4050980012"),
    "eddystone": b"",
    "teltonika-eye": b"\x01",
}


@pytest.mark.parametrize("name", sorted(HEADS))
@given(
    data=st.binary(max_size=80), lead=st.sampled_from([b"", b"\x03", b"\x06", b"\xe1", b"\x20\x00", b"\x10", b"\x00"])
)
def test_anything_behind_a_right_head(name: str, data: bytes, lead: bytes) -> None:
    try:
        check(formats.load(name).decode("", HEADS[name] + lead + data))
    except BadAnswer:
        return


def check(report: Report) -> None:
    assert len(report.readings) <= MOST_READINGS
    assert len({one.point for one in report.readings}) == len(report.readings)
    for one in report.readings:
        assert (one.value is None) == (one.quality != GOOD)
        assert one.point.replace("-", "").isalnum()


@given(data=st.binary(min_size=1, max_size=60))
@example(data=bytes.fromhex("02ca0903bf"))
@example(data=bytes.fromhex("02ca0990ff"))
def test_readings_come_from_their_own_bytes(data: bytes) -> None:
    """What stands behind an object changes nothing of what it says, and what is cut off says nothing."""
    decode = formats.load("bthome").decode
    try:
        whole = decode("", b"\x40" + data).readings
    except BadAnswer:
        whole = ()
    for end in range(len(data)):
        try:
            part = decode("", b"\x40" + data[:end]).readings
        except BadAnswer:
            continue
        assert part == whole[: len(part)]


@given(st.sampled_from(PUBLISHED), st.data())
def test_nothing_sealed_can_be_altered(one: Sealed, data: st.DataObject) -> None:
    """A bit turned anywhere that is sealed: no reading comes of it. Four bytes of check value: 2**-32 of luck."""
    bit = data.draw(st.integers(0, len(one.data) * 8 - 1))
    altered = bytearray(one.data)
    altered[bit // 8] ^= 1 << bit % 8
    try:
        report = formats.load(one.format).decode(one.address, bytes(altered), one.key)
    except BadAnswer:
        return
    if report.counter is None:  # the bit made a plain frame of it, which a device with a key is not believed
        return
    assert altered[:2] != one.data[:2], "frame control of MiBeacon alone is sealed by nothing"
    assert report.readings == formats.load(one.format).decode(one.address, one.data, one.key).readings


@given(st.sampled_from(PUBLISHED), st.binary(min_size=16, max_size=16))
def test_another_key_opens_nothing(one: Sealed, key: bytes) -> None:
    if key != one.key:
        with pytest.raises(formats.Locked):
            formats.load(one.format).decode(one.address, one.data, key)


@pytest.mark.parametrize("address", ["", "54:48:E6:8F:80:A6"])
def test_another_address_or_none_opens_nothing(address: str) -> None:
    with pytest.raises(formats.Locked):
        formats.load("bthome").decode(address, SEALED, KEY)


def test_the_number_of_objects_is_as_bounded_as_their_bytes() -> None:
    report = formats.load("bthome").decode("", b"\x40" + b"\x57\x01" * 127)
    assert len(report.readings) == 127
    assert report.readings[-1].point == "temperature-127"


def test_an_unknown_object_ends_what_can_be_said() -> None:
    report = formats.load("bthome").decode("", bytes.fromhex("4001617702ca09"))
    assert [(one.point, one.value) for one in report.readings] == [("battery", 97)]
    assert str(report.error) == "bthome: object 0x77 is unknown, and so is where the next one begins"


def test_bthome_states_its_address() -> None:
    decode = formats.load("bthome").decode
    stated = bytes.fromhex("42a5808fe64854" + "0161")
    assert decode(ADDRESS, stated).readings == decode("", stated).readings
    with pytest.raises(BadAnswer, match="address of another device"):
        decode("54:48:E6:8F:80:A6", stated)


def test_an_address_inside_is_part_of_what_is_sealed() -> None:
    nonce = bytes.fromhex("5448e68f80a5" + "d2fc43" + "01000000")
    ciphered = AESCCM(KEY, tag_length=4).encrypt(nonce, bytes.fromhex("0161"), None)
    data = bytes.fromhex("43a5808fe64854") + ciphered[:-4] + bytes.fromhex("01000000") + ciphered[-4:]
    report = formats.load("bthome").decode("", data, KEY)
    assert [(one.point, one.value) for one in report.readings] == [("battery", 97)]
    assert report.counter == 1


def test_states_and_events_that_are_none_have_no_value() -> None:
    decode = formats.load("bthome").decode
    for data in ("400f02", "403a7f", "403c0501", "405301ff"):
        (one, *_) = decode("", bytes.fromhex(data)).readings
        assert one.value is None
        assert one.quality != GOOD


def test_what_is_not_configured_is_not_loaded() -> None:
    program = (
        "import sys, drivers.ble.driver; from drivers.ble import formats; formats.load('eddystone'); "
        "ours = {name.rpartition('.')[2] for name in sys.modules if name.startswith('drivers.ble.formats.')}; "
        "print(*sorted(ours | {name for name in sys.modules if name.startswith(('bleak.', 'cryptography.'))}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["eddystone", "fields", "keys", "replay", "report", "session"]
    with pytest.raises(KeyError):
        formats.load("nothing")


@pytest.mark.parametrize("name", NAMES)
def test_formats_claim_what_they_are_of(name: str) -> None:
    one = formats.load(name)
    claimed: list[int | str] = [*one.companies, *one.services]
    assert len(claimed) == 1
    assert claimed[0] in (0x0499, 0x089A, "fcd2", "fe95", "181a", "feaa")
    assert [found.name for found in formats.claiming(*_sender(claimed[0]))] == [name]


def test_nothing_claims_what_comes_of_nobody() -> None:
    assert list(formats.claiming(None, None)) == []


def _sender(claimed: int | str) -> tuple[int | None, str | None]:
    return (claimed, None) if isinstance(claimed, int) else (None, claimed)


def test_uuids_are_written_in_one_way() -> None:
    assert formats.short("0000FCD2-0000-1000-8000-00805F9B34FB") == "fcd2"
    assert formats.short("6E400001-B5A3-F393-E0A9-E50E24DCCA9E") == "6e400001-b5a3-f393-e0a9-e50e24dcca9e"
