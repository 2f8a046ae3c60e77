"""What the parts of a line are called: by template, regular expression, columns or pairs. Sans-IO."""

import csv
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivers.line.pattern import group, linear

MAX_FIELDS = 64  # of one line: more than any protocol prints in the length of one

NAME = r"[a-z][a-z0-9_-]{0,31}"
_HOLE = re.compile(r"\{(?:(" + NAME + r")?(?::(text|[1-9][0-9]?))?)\}")
_ADDRESS = "{address}"

Fields = Mapping[str, str]


class Format(ABC):
    """One shape of line."""

    @property
    @abstractmethod
    def names(self) -> frozenset[str] | None:
        """The fields that it gives; None where the line itself names them."""

    @abstractmethod
    def read(self, line: str) -> Fields | None:
        """The fields of `line`, or None when it has another shape."""


@dataclass(frozen=True, slots=True)
class Pattern(Format):
    """The whole line by a linear regular expression with named groups."""

    regex: re.Pattern[str]

    @property
    def names(self) -> frozenset[str]:
        """Its groups."""
        return frozenset(self.regex.groupindex)

    def read(self, line: str) -> Fields | None:
        """The groups that took part."""
        match = self.regex.fullmatch(line)
        return None if match is None else {key: text for key, text in match.groupdict().items() if text is not None}


@dataclass(frozen=True, slots=True)
class Columns(Format):
    """Values between separators, each with its place; a column without a name is passed over."""

    separator: str
    columns: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """Those of the columns."""
        return frozenset(group(name) for name in self.columns if name)

    def read(self, line: str) -> Fields | None:
        """As many columns as there are names, no more and no less; quotes as RFC 4180 has them."""
        try:
            texts = next(csv.reader([line], delimiter=self.separator, strict=True), [])
        except csv.Error:
            return None
        if len(texts) != len(self.columns):
            return None
        return {group(name): text for name, text in zip(self.columns, texts, strict=True) if name}


@dataclass(frozen=True, slots=True)
class Pairs(Format):
    """`key=value` between separators; keys that no point wants are passed over."""

    separator: str
    assign: str
    wanted: frozenset[str] = frozenset()

    @property
    def names(self) -> None:
        """Whatever the line says."""

    def read(self, line: str) -> Fields | None:
        """Every pair; None when a part is none, or a key stands twice."""
        found: dict[str, str] = {}
        for part in line.split(self.separator) if self.separator else [line]:
            key, assign, text = part.partition(self.assign)
            if not part.strip():
                continue
            if not assign or key.strip() in found:
                return None
            found[key.strip()] = text
        return found or None


def template(text: str, address: str = "") -> Pattern:
    """Text with holes: `{name}` a number, `{name:3}` three digits, `{name:text}` up to the next character of the text.

    A hole without a name is passed over; `{address}` stands for the device's own. Raises `ValueError`.
    """
    text = text.replace(_ADDRESS, address)
    pieces, at = [], 0
    for hole in _HOLE.finditer(text):
        pieces.append(_literal(text[at : hole.start()]))
        pieces.append(_hole(hole[1], hole[2], text[hole.end() : hole.end() + 1]))
        at = hole.end()
    pieces.append(_literal(text[at:]))
    return Pattern(linear("".join(pieces)))


def _literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError("a hole is {name}, {name:text}, {name:3} or without the name")
    return "".join(map(_sign, text))


def _sign(sign: str) -> str:
    """One character, whatever it means in a pattern."""
    return rf"\x{ord(sign):02x}" if ord(sign) < 128 else sign


def _hole(name: str | None, kind: str | None, following: str) -> str:
    if kind is None:
        body = "[+-]?[0-9.]+"
    elif kind == "text":
        if following == "{":
            raise ValueError("a hole for text needs a character behind it that ends it")
        body = f"[^{_sign(following)}]*" if following else ".*"
    else:
        body = f"[0-9]{{{kind}}}"
    return f"(?P<{name}>{body})" if name else f"(?:{body})"


def first(formats: Sequence[Format], line: str) -> Fields | None:
    """What the first of `formats` that has the shape of `line` reads; None when none has."""
    return next((fields for one in formats if (fields := one.read(line)) is not None), None)
