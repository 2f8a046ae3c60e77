"""The simulated P1 meter: correct telegrams, at the pace of the line, exactly accounted."""

import os
import re
import select
import time
import tty
from collections import Counter
from pathlib import Path

import pytest

from drivers.p1 import P1Driver
from drivers.simulated.p1 import BAUD, telegram
from drivers.simulated.speaker import BITS
from tests.drivers.simulated.support import Said, devices, driver_of, listen, number

# DSMR 5.0.2 P1, representation of COSEM objects: how many digits, and how many of them behind the point
FORMATS = {
    r"1-0:[12]\.8\.[12]": r"\d{6}\.\d{3}\*kWh",
    r"0-0:96\.14\.0": r"\d{4}",
    r"1-0:(?:[12]|[246][12])\.7\.0": r"\d{2}\.\d{3}\*kW",
    r"1-0:[357]2\.7\.0": r"\d{3}\.\d\*V",
    r"1-0:[357]1\.7\.0": r"\d{3}\*A",
}
TIME = r"\d{12}[SW]"


def replayed(folder: Path, text: str) -> list[tuple[str, object]]:
    said = Said()
    driver_of(folder, P1Driver, "house").replay(text, said)  # type: ignore[arg-type]
    return list(said.samples)


def crc(data: bytes) -> int:
    """x^16 + x^15 + x^2 + 1, least significant bit first, bit by bit: DSMR 5.0.2 P1, 6.2."""
    register = 0
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return register


@pytest.mark.parametrize("n", [0, 1, 7, 299, 40_000, 1_000_000])
def test_every_telegram_says_what_is_noted(tmp_path: Path, n: int) -> None:
    spoken = telegram(n)
    found = replayed(tmp_path, spoken.data.decode())
    assert len(found) == len(spoken.samples) == 20
    assert dict(found) == dict(spoken.samples)


@pytest.mark.parametrize("n", range(0, 900, 13))
def test_telegrams_are_well_formed(n: int) -> None:
    data = telegram(n).data
    body, end, checksum = data.partition(b"!")
    assert checksum == f"{crc(body + end):04X}\r\n".encode()
    identification, empty, *lines, last = body.decode().split("\r\n")
    assert re.fullmatch(r"/[A-Z]{3}5\\.+", identification)
    assert (empty, last) == ("", "")
    for code, form in FORMATS.items():
        values = [line for line in lines if re.match(code + r"\(", line)]
        assert values
        assert all(re.fullmatch(rf"{code}\({form}\)", line) for line in values)
    assert re.fullmatch(rf"0-0:1\.0\.0\({TIME}\)", lines[1])
    assert re.fullmatch(rf"0-1:24\.2\.1\({TIME}\)\(\d{{5}}\.\d{{3}}\*m3\)", lines[-1])


def test_values_change_from_telegram_to_telegram() -> None:
    changed = Counter(
        point
        for n in range(100)
        for (point, before), (_, after) in zip(telegram(n).samples, telegram(n + 1).samples, strict=True)
        if before != after
    )
    unused = {"power/export-power-l2", "power/export-power-l3"}  # there are no panels on these phases
    assert set(changed) == {point for point, _ in telegram(0).samples} - unused
    assert changed["power/import-tariff-1"] == 100


def test_the_line_speaks_at_its_pace_only_while_somebody_listens_and_accounts_exactly(tmp_path: Path) -> None:
    with devices(tmp_path, "--meters", "0", "--lights", "0", "--no-mast", "--interval", "0.1") as running:
        assert running.served() == []
        began = time.monotonic()
        heard = listen(running.p1, 1.5)
        seconds = time.monotonic() - began
    text = b"".join(piece for _, piece in heard)
    size = len(telegram(0).data)
    assert len(text) * BITS / BAUD <= seconds  # a byte takes 87 us at 115200 baud: never faster
    assert max(len(piece) for _, piece in heard) < size  # and not all at once
    found = replayed(tmp_path, text.decode().rpartition("/")[0])
    noted = [(line["point"], number(line["value"])) for line in running.served()]
    assert len(found) >= 20 * 3
    # the last telegram may not be ended
    assert Counter(found) == Counter(noted[: len(found)])
    assert len(noted) - len(found) in {0, 20}


def test_a_telegram_that_was_not_heard_to_its_end_is_not_noted(tmp_path: Path) -> None:
    with devices(tmp_path, "--meters", "0", "--lights", "0", "--no-mast", "--interval", "0.1") as running:
        piece = hang_up_at_once(running.p1)
        assert piece.startswith(b"/")
        assert b"!" not in piece
        ended = time.monotonic() + 3 * len(telegram(0).data) * BITS / BAUD
        while time.monotonic() < ended:
            assert running.served() == []
        listen(running.p1, 0.5)
    energies = [number(line["value"]) for line in running.served() if line["point"] == "power/import-tariff-1"]
    assert energies
    assert dict(telegram(0).samples)["power/import-tariff-1"] not in energies


def hang_up_at_once(path: str) -> bytes:
    """Open the line, and close it as soon as something was said: that."""
    line = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(line)
        assert select.select([line], [], [], 10)[0]
        return os.read(line, 4096)
    finally:
        os.close(line)
