"""Patterns mean what Python's do where both match, and no line keeps one busy."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.line.formats import Columns, Pairs, template
from drivers.line.options import MAX_LINE
from drivers.line.pattern import MAX_PATTERN, linear

# expressions known to take exponential or polynomial time with a backtracking matcher (OWASP, ReDoS; CWE-1333)
EVIL = [
    "(a+)+", "([a-zA-Z]+)*", "(a|aa)+", "(a|a?)+", "(.*a){20}", "(?:a*)*b", "(a)*", "(?=a)b", r"(a)\1", "a++",
    "a*?b", "^a$", "(a", "a)", "a{2}{3}", "{3}", "*a", "[a", r"\1", ".*.*x", "a{1001}", "(?i)a", "(?#x)",
    "[[:alpha:]]",
]  # fmt: skip


@pytest.mark.parametrize("pattern", EVIL)
def test_what_could_hang_or_is_not_known_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        linear(pattern)


def test_a_long_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match=f"longer than {MAX_PATTERN}"):
        linear("a" * (MAX_PATTERN + 1))


@pytest.mark.parametrize(
    ("pattern", "line", "groups"),
    [
        (r"T=(?P<t>[+-]?\d+\.\d+),(?P<s>\w+)", "T=-1.50,ok", {"t": "-1.50", "s": "ok"}),
        (r"(?P<a>\d{3})(?P<b>\d)", "0053", {"a": "005", "b": "3"}),
        (r"(?:W|WI)MWV,(?P<a>[^,]*),.*", "WMWV,39,R,1.3", {"a": "39"}),
        (r"a(?:,(?P<b>\d+))?;(?P<c>.*)", "a;rest", {"b": None, "c": "rest"}),
        (r"\x41\$[\]\-]?(?P<x>\S+)", "A$]v", {"x": "v"}),
    ],
)
def test_what_patterns_read(pattern: str, line: str, groups: dict[str, str]) -> None:
    match = linear(pattern).fullmatch(line)
    assert match is not None
    assert match.groupdict() == groups


_PART = st.sampled_from(["a", "b", "[ab]", r"\d", "1", "x"])
_REPEATED = st.builds(str.__add__, _PART, st.sampled_from(["", "+", "*", "?", "{2}", "{1,3}"]))
_PATTERN = st.recursive(
    _REPEATED,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4).map("".join)
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})")
        | inner.map(lambda part: f"(?:{part})?")
    ),
    max_leaves=12,
)


@given(_PATTERN, st.text("ab1x", max_size=12))
def test_whatever_matches_would_match_in_python_too(pattern: str, line: str) -> None:
    if linear(pattern).fullmatch(line):
        assert re.fullmatch(pattern, line)


@settings(deadline=None, max_examples=50)
@given(st.lists(_PATTERN, min_size=1, max_size=10).map("".join).filter(lambda p: len(p) <= MAX_PATTERN), st.data())
def test_the_longest_lines_take_milliseconds(pattern: str, data: st.DataObject) -> None:
    regex = linear(pattern)
    line = data.draw(st.text("ab1x", min_size=1, max_size=4)) * MAX_LINE
    before = time.process_time()
    regex.fullmatch(line[:MAX_LINE])
    assert time.process_time() - before < 0.05


@pytest.mark.parametrize(
    ("text", "line", "fields"),
    [
        ("{a}{b}", "+3.14-2.718", {"a": "+3.14", "b": "-2.718"}),
        ("SMAXSN\t{:text}\t{max}", "SMAXSN\tH240210110331\t00986", {"max": "00986"}),
        ("{address}{seconds:3}{:1}", "00053", {"seconds": "005"}),
        ("$x|(.*)={v}", "$x|(.*)=7", {"v": "7"}),
        ("{a} °C", "21.5 °C", {"a": "21.5"}),
        ("{a},{rest:text}", "1,2,3", {"a": "1", "rest": "2,3"}),
        ("{a}", "x", None),
        ("{a}", "1 ", None),
        ("{address}{a}", "1+2", None),
    ],
)
def test_templates(text: str, line: str, fields: dict[str, str] | None) -> None:
    assert template(text, "0").read(line) == fields


@pytest.mark.parametrize("text", ["{", "}", "{a", "{A}", "{a:float}", "{a}{a}", "{x:text}{y}", "{a:0}"])
def test_a_wrong_template_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        template(text)


def test_columns_and_pairs() -> None:
    columns = Columns(",", ("time", "", "level"))
    assert columns.read('12:00,"a,b",3.5') == {"time": "12:00", "level": "3.5"}
    assert columns.read("12:00,3.5") is None
    assert columns.read("12:00,a,3.5,") is None
    assert columns.read('12:00,"a,3.5') is None
    pairs = Pairs(",", "=")
    assert pairs.read("T=21.5, H = 40,") == {"T": "21.5", "H": " 40"}
    assert pairs.read("T=21.5,T=22") is None
    assert pairs.read("T=21.5,40") is None
    assert pairs.read("") is None
