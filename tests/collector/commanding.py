"""The people of the tests: an authority, operators and their key files, and a verb that is called."""

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from buffer.catalogue import SeriesEntry
from buffer.keys import PublicKey
from collector.cli import main
from collector.receiving.incoming import Message
from tests.collector.maker import UTC_MS, Gateway


def call(*arguments: object, text: str | None = None, code: int = 0) -> tuple[str, str]:
    """Standard output and standard error of a verb that ends with `code`, called within this process."""
    streams = [io.TextIOWrapper(io.BytesIO((text or "").encode()), "utf-8")]
    streams += [io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n") for _ in range(2)]
    with (
        patch.object(sys, "argv", ["lamppost-collector", *map(str, arguments)]),
        patch.object(sys, "stdin", streams[0]),
        patch.object(sys, "stdout", streams[1]),
        patch.object(sys, "stderr", streams[2]),
        pytest.raises(SystemExit) as left,
    ):
        main()
    out, error = (_written(stream) for stream in streams[1:])
    assert left.value.code in ({0, None} if code == 0 else {code}), error
    return out, error


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


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


RESULT = {
    "status": "verified",
    "reason": "",
    "who": "Anna",
    "why": "a test",
    "key": "anna",
    "source": "remote",
    "dry_run": False,
    "accepted_ms": UTC_MS,
    "finished_ms": UTC_MS + 40,
    "writes": [
        {"point": "lamp7/level", "value": 40, "status": "verified", "read_back": 40, "reason": "", "ms": 40},
    ],
}


def describe_results(gateway: Gateway) -> Message:
    """A gateway's catalogue with the point of results as series 9, of locks as 8, of its end as 7."""
    own = [SeriesEntry(9, "gateway", "command-result", "", "json"), SeriesEntry(8, "gateway", "lock", "", "json")]
    own.append(SeriesEntry(7, "gateway", "decommissioned", "", "json"))
    return gateway.describe([*gateway.lines(), *own])


def answer(gateway: Gateway, number: int | None, *, at_ms: int = 10, **changed: object) -> Message:
    """A batch with the result of a command."""
    said = json.dumps({"number": number, **RESULT, **changed})
    return gateway.send([(1, at_ms, 1.5, 0), (9, at_ms, said, 0)])
