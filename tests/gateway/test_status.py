"""A value as JSON can say it."""

import json
import math
from decimal import Decimal

import pytest

from ext import Value
from gateway.status import value_json


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None), (True, True), (7, 7), (2**70, 2**70), (21.5, 21.5), ("on", "on"), (b"\x00\xff", "00ff"),
        (Decimal("21.5"), 21.5), (Decimal("0.1"), 0.1), (Decimal("-0.0"), -0.0),
        (Decimal("9007199254740993.5"), "9007199254740993.5"), (Decimal("1E+30"), 1e30),
        (math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan"),
    ],
)  # fmt: skip
def test_every_value_has_a_form_in_json_that_loses_no_digit(value: Value, shown: object) -> None:
    found = value_json(value)
    assert found == shown
    assert type(found) is type(shown)
    assert json.loads(json.dumps(found, allow_nan=False)) == shown
