"""The simulated devices as a process of their own, and their account."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Devices:
    """Where the devices are, and the file that they account in."""

    process: subprocess.Popen[str]
    port: int
    mast: str
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
            yield Devices(process, where["modbus"], where["mast"], log)
        finally:
            process.terminate()
            assert process.wait(10) == 0


def number(value: object) -> object:
    """A value of the account as the number it is, to compare with what was decoded."""
    return Decimal(value) if isinstance(value, str) else value
