"""The simulated devices as a process of their own, their account, and what a driver makes of what they say."""

import json
import os
import select
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from config import load as load_config
from drivers.base import Driver
from drivers.setup import prepare
from ext import GOOD, Value

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Devices:
    """Where the devices are, and the file that they account in."""

    process: subprocess.Popen[str]
    port: int
    mast: str
    p1: str
    log: Path

    def served(self) -> list[dict[str, Any]]:
        """The lines of the account: all of them once the devices have ended, for an answer is noted after it went."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def devices(folder: Path, *options: str) -> Iterator[Devices]:
    """Running simulated devices; ended with SIGTERM, which they must obey."""
    log = folder / "served.ndjson"
    command = [sys.executable, "-m", "drivers.simulated", "--listen", "127.0.0.1:0", "--log", str(log), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            where = json.loads(process.stdout.readline())
            yield Devices(process, where["modbus"], where["mast"], where["p1"], log)
        finally:
            process.terminate()
            assert process.wait(10) == 0


def number(value: object) -> object:
    """A value of the account as the number it is, to compare with what was decoded."""
    return Decimal(value) if isinstance(value, str) else value


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


def driver_of(folder: Path, kind: type[Driver], bus: str) -> Driver:
    """The driver of that bus in the sample configuration."""
    head, *buses = (ROOT / "drivers" / "simulated" / "sample.toml").read_text().split("[buses.")
    (wanted,) = (text for text in buses if text.startswith(f"{bus}]"))
    file = folder / "lamppost.toml"
    file.write_text(f"{head}[buses.{wanted}")
    assert kind.profiles is not None
    (driver,) = prepare(load_config(file, profiles=[kind.profiles]), lambda _: kind)
    return driver


def listen(path: str, seconds: float) -> list[tuple[float, bytes]]:
    """(time, piece) of what a line says in that time, from when it is opened."""
    line = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(line)
        heard, end = [], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([line], [], [], left)[0]:
                heard.append((time.monotonic(), os.read(line, 4096)))
        return heard
    finally:
        os.close(line)
