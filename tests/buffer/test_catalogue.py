"""Catalogues, good and bad."""

from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buffer import catalogue
from buffer.catalogue import SeriesDefinition, SeriesEntry
from buffer.errors import BatchFormatError

TEXT = st.text(max_size=20)
PLACE = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
LABELS = st.dictionaries(st.text(min_size=1, max_size=9), TEXT, max_size=3).map(
    lambda found: tuple(sorted(found.items()))
)


@st.composite
def tables(draw: st.DrawFn) -> list[SeriesEntry]:
    points = draw(st.sets(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from("uvwxyz")), max_size=12))
    devices = {name: (draw(TEXT), draw(st.none() | PLACE), draw(LABELS)) for name in "abc"}
    entries = []
    for number, (device, point) in enumerate(sorted(points), start=draw(st.integers(1, 1000))):
        asset, place, labels = devices[device]
        definition = SeriesDefinition(device, point, draw(TEXT), draw(TEXT), asset, place, labels, draw(st.booleans()))
        entries.append(definition.numbered(number))
    return entries


@given(tables(), st.randoms())
def test_catalogue_comes_back_and_does_not_depend_on_order(entries: list[SeriesEntry], random: Any) -> None:
    block = catalogue.encode(entries)
    assert catalogue.decode([block]) == tuple(entries)
    random.shuffle(entries)
    assert catalogue.encode(entries) == block


def test_definition_is_the_same_whatever_the_order_of_labels() -> None:
    one = SeriesDefinition("d", "p", "V", "f", labels=(("a", "1"), ("b", "2")), location=(1, 2))
    other = SeriesDefinition("d", "p", "V", "f", labels=(("b", "2"), ("a", "1")), location=(1.0, 2.0))
    assert one.key() == other.key()
    assert one.key() != SeriesDefinition("d", "p", "mV", "f").key()


def test_ten_thousand_points_fit_a_batch() -> None:
    entries = [
        SeriesDefinition(
            f"device-{n // 50:04}",
            f"quantity-{n % 50}",
            "kWh",
            "float32",
            f"E-{n // 50}",
            (43.5, -79.6),
            (("street", "Main"),),
        ).numbered(n + 1)
        for n in range(10_000)
    ]
    assert len(catalogue.encode(entries)) < 350_000


GOOD = ["d", "E-1", [1.0, 2.0], {"a": "b"}, [[1, "p", "V", "f", False]]]


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, "", "a device id is not 1 to 256"),
        (0, 5, "a device id is not a text: 5"),
        (1, None, "asset_id of d is not a text"),
        (2, [1.0], "location of d is not an array of 2"),
        (2, [1, 2], "location of d is not a pair of finite floats"),
        (2, [float("nan"), 0.0], "location of d is not a pair of finite floats"),
        (2, [91.0, 0.0], "location of d is not latitude, longitude"),
        (3, [], "labels of d is not a map"),
        (3, {"": "x"}, "a label of d is not 1 to 256"),
        (3, {"a": 1}, "label a of d is not a text"),
        (3, {str(n): "" for n in range(65)}, "labels of d is not a map of at most 64"),
        (4, {}, "the series of d is not an array"),
        (4, [[1, "p", "V", "f"]], "a series of d is not an array of 5: 4"),
        (4, [[0, "p", "V", "f", False]], "a series number of d is not between 1"),
        (4, [[1, "", "V", "f", False]], "a point of d is not 1 to 256"),
        (4, [[1, "p", "V" * 257, "f", False]], "a unit of d is not 0 to 256"),
        (4, [[1, "p", "V", None, False]], "a type of d is not a text"),
        (4, [[1, "p", "V", "f", 0]], "public of a series of d is not true or false"),
        (
            4,
            [[1, "p", "V", "f", False], [1, "q", "V", "f", False]],
            "a number of the catalogue is not there once",
        ),
        (4, [[1, "p", "V", "f", False], [2, "p", "V", "f", False]], "a point of the catalogue is not there once only"),
    ],
)
def test_bad_catalogues_are_named(at: int, value: object, message: str) -> None:
    device = [*GOOD[:at], value, *GOOD[at + 1 :]]
    with pytest.raises(BatchFormatError, match=message):
        catalogue.decode([cbor2.dumps([device])])


@pytest.mark.parametrize("blocks", [[], [b"\x80", b"\x80"], [b""], [b"\xa0"], [b"\x81\x01"], [b"\x81\x85"]])
def test_noise_is_no_catalogue(blocks: list[bytes]) -> None:
    with pytest.raises(BatchFormatError):
        catalogue.decode(blocks)


def test_too_large_a_catalogue_is_refused() -> None:
    entries = (SeriesDefinition("d", f"{n:0250}", "", "").numbered(n) for n in range(1, 5000))
    with pytest.raises(BatchFormatError, match="is over"):
        catalogue.encode(entries)
