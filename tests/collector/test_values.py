"""A value as columns: the double is the value, or `exact` says what is."""

import math
import sqlite3
import struct
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.tables.values import columns

PAYLOAD_NAN = struct.unpack(">d", bytes.fromhex("7ff8000000001234"))[0]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, (None, None, None)),
        (True, (1.0, None, None)),
        (False, (0.0, None, None)),
        (0, (0.0, None, None)),
        (2**53, (2.0**53, None, None)),
        (2**53 + 1, (2.0**53, "9007199254740993", None)),
        (-(2**63), (-(2.0**63), "-9223372036854775808", None)),
        (10**400, (None, "1" + "0" * 400, None)),
        (230.1, (230.1, None, None)),
        (-0.0, (0.0, "-0.0", None)),
        (math.inf, (None, "inf", None)),
        (-math.inf, (None, "-inf", None)),
        (math.nan, (None, "nan:7ff8000000000000", None)),
        (PAYLOAD_NAN, (None, "nan:7ff8000000001234", None)),
        (Decimal("230.10"), (230.1, None, None)),
        (Decimal("1E+3"), (1000.0, None, None)),
        (Decimal("0.1000000000000000055511151231257827"), (0.1, "0.1000000000000000055511151231257827", None)),
        (Decimal("123456789.123456789012"), (123456789.12345679, "123456789.123456789012", None)),
        (Decimal("1E+400"), (None, "1E+400", None)),
        ("on", (None, None, "on")),
        (b"\x00\xff", (None, None, "00ff")),
    ],
)
def test_columns(value: bool | float | Decimal | str | bytes | None, wanted: object) -> None:
    assert columns(value) == wanted


@given(st.one_of(st.floats(), st.integers(), st.decimals(allow_nan=False, allow_infinity=False)))
@example(5e-324)
@example(Decimal("-0"))
def test_the_value_comes_back_out_of_sqlite(value: float | Decimal) -> None:
    with sqlite3.connect(":memory:") as db:
        double, exact = db.execute("SELECT CAST(? AS DOUBLE), ?", columns(value)[:2]).fetchone()
    db.close()
    if exact is None:
        assert Decimal(repr(double)) == value if isinstance(value, Decimal) else double == value
    elif exact.startswith("nan:"):
        assert isinstance(value, float)
        assert struct.pack(">d", value).hex() == exact[4:]
    else:
        assert Decimal(exact) == (Decimal(value) if isinstance(value, int) else value)
    assert double is None or math.isfinite(double)
