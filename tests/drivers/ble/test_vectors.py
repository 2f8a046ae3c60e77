"""Published advertisements and what their publishers read in them, decoded as `lamppost decode ble` does."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.ble.decode import decode
from drivers.conformance import exact_text
from drivers.decoding import Reading
from ext import GOOD

VECTORS = Path(__file__).parent / "vectors"


def published() -> Iterator[object]:
    for file in sorted(VECTORS.glob("*.json")):
        for group in json.loads(file.read_text()):
            for name, address, data, key, expected in group["cases"]:
                said = {"service": group["service"], "address": address, "key": key}
                yield pytest.param(said, data, expected, id=f"{file.stem}: {name}")


@pytest.mark.parametrize(("said", "data", "expected"), list(published()))
def test_published(said: dict[str, str], data: str, expected: dict[str, str]) -> None:
    found = list(decode(bytes.fromhex(data), None, **said))
    readings = [one for one in found if isinstance(one, Reading)]
    assert [one for one in found if not isinstance(one, Reading)] == []
    assert {one.point: f"{exact_text(one.value)} {one.unit}".strip() for one in readings} == expected
    assert {one.quality for one in readings} == {GOOD}
