"""The people of the tests: an authority, operators and their key files, and a verb that is called."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buffer.keys import PublicKey
from tests.conftest import ROOT


def call(*arguments: object, text: str | None = None, code: int = 0) -> tuple[str, str]:
    """Standard output and standard error of a verb that ends with `code`."""
    done = subprocess.run(
        [sys.executable, "-m", "collector", *map(str, arguments)],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def data(*arguments: object) -> list[dict[str, Any]]:
    """The NDJSON of a verb that must not fail."""
    return [json.loads(line) for line in call(*arguments, "--json")[0].splitlines()]


@dataclass(frozen=True)
class Person:
    """A private key file, and its public one beside it."""

    private: Path
    role: str

    @property
    def public(self) -> Path:
        """The file with the line that `key new` printed."""
        return self.private.with_suffix(".json")

    @property
    def key(self) -> PublicKey:
        """The public key."""
        return PublicKey.load(self.public)


def person(folder: Path, name: str, role: str) -> Person:
    """Make a key as people do."""
    made = Person(folder / f"{name}.pem", role)
    made.public.write_text(call("key", "new", made.private, "--role", role)[0])
    return made
