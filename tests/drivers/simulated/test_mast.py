"""The simulated mast: correct sentences, at the pace of the line, exactly accounted."""

import os
import select
import time
import tty
from functools import reduce
from operator import xor
from pathlib import Path

import pytest

from config import load as load_config
from drivers.nmea import NmeaDriver
from drivers.setup import prepare
from drivers.simulated.mast import BYTE_SECONDS, SENTENCES
from ext import GOOD, Value
from tests.drivers.simulated.support import ROOT, Devices, devices, number


class Said:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.samples: list[tuple[str, Value]] = []

    def scan(self, *told: object) -> None:
        raise AssertionError(told)

    def value(self, *told: object) -> None:
        raise AssertionError(told)

    def failed(self, *told: object) -> None:
        raise AssertionError(told)

    def stranger(self, description: str) -> None:
        raise AssertionError(description)

    def values(self, device: str, values: list[tuple[str, Value, int]]) -> None:
        assert all(point.startswith(f"{device}/") and quality == GOOD for point, _, quality in values)
        self.samples += [(point, value) for point, value, _ in values]


def _driver(folder: Path) -> NmeaDriver:
    sample = (ROOT / "drivers" / "simulated" / "sample.toml").read_text()
    file = folder / "lamppost.toml"
    file.write_text(sample.partition("[buses.plant]")[0] + "[buses.mast]" + sample.partition("[buses.mast]")[2])
    assert NmeaDriver.profiles is not None
    (driver,) = prepare(load_config(file, profiles=[NmeaDriver.profiles]), lambda _: NmeaDriver)
    assert isinstance(driver, NmeaDriver)
    return driver


@pytest.mark.parametrize("n", [0, 1, 7, 299, 40_000, 1_000_000])
def test_every_sentence_says_what_is_noted(tmp_path: Path, n: int) -> None:
    spoken = [sentence(n) for sentence in SENTENCES]
    said = Said()
    _driver(tmp_path).replay("\n".join(s.data.decode().strip() for s in spoken), said)  # type: ignore[arg-type]
    assert [point for point, _ in said.samples] == [point for s in spoken for point, _ in s.samples]
    assert dict(said.samples) == {point: value for s in spoken for point, value in s.samples}


@pytest.mark.parametrize("n", range(0, 900, 13))
def test_sentences_are_well_formed(n: int) -> None:
    for sentence in SENTENCES:
        data = sentence(n).data
        body, _, checksum = data[1:-2].partition(b"*")
        assert data[:1] == b"$"
        assert data[-2:] == b"\r\n"
        assert len(data) <= 82 or body.startswith(b"WIMDA")  # IEC 61162-1, 7.3; MDA is longer on real sensors too
        assert int(checksum, 16) == reduce(xor, body)


def _listen(running: Devices, seconds: float) -> list[tuple[float, bytes]]:
    """(time, piece) of what the line says in that time, from when it is opened."""
    line = os.open(running.mast, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(line)
        heard, end = [], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([line], [], [], left)[0]:
                heard.append((time.monotonic(), os.read(line, 4096)))
        return heard
    finally:
        os.close(line)


def test_the_line_speaks_at_its_pace_only_while_somebody_listens_and_accounts_exactly(tmp_path: Path) -> None:
    with devices(tmp_path, "--meters", "0", "--lights", "0", "--interval", "0.1") as running:
        assert running.served() == []
        heard = _listen(running, 2.5)
    served = running.served()
    text = b"".join(piece for _, piece in heard)
    # a byte takes 2.08 ms at 4800 baud; the line is never faster, and hardly slower
    length = heard[-1][0] - heard[0][0]
    assert 0.8 < length / (len(text) * BYTE_SECONDS) < 1.5
    assert max(len(piece) for _, piece in heard) < 60
    sentences = [line for line in text.decode().split("\r\n")[:-1] if line.startswith("$")]
    said = Said()
    _driver(tmp_path).replay("\n".join(sentences), said)  # type: ignore[arg-type]
    noted = [(line["point"], number(line["value"])) for line in served]
    # the first sentence may have lost bytes to the opening of the line, the last one may not be ended
    assert len(said.samples) > 10
    start = noted.index(said.samples[0])
    assert start <= 6
    assert noted[start : start + len(said.samples)] == said.samples
    assert 0 <= len(noted) - start - len(said.samples) <= 6
