"""Regular expressions that no line can keep busy: a subset, compiled so that nothing is ever tried twice.

Each repetition is possessive and each group atomic: what they took they keep. Only single characters and classes can
be repeated. A match takes at most (length of the pattern) x (length of the line) steps, whatever either holds.
"""

import re
from dataclasses import dataclass, field

MAX_PATTERN = 500  # characters; the longest line of a published protocol needs about 150
MAX_REPEAT = 1000  # times that {m,n} may say: no line is longer

_ESCAPE = re.compile(r"\\(?:[dDwWsSt]|x[0-9A-Fa-f]{2}|[^0-9A-Za-z\s])")
_CLASS = re.compile(r"\[\^?\]?(?:\\(?:[dDwWsSt]|x[0-9A-Fa-f]{2}|[^0-9A-Za-z\s])|[^\]\\\[])*\]")
_NAMED = re.compile(r"\(\?P<([a-z][a-z0-9_-]*)>")
_REPEAT = re.compile(r"[*+]|\{([0-9]{0,4})(?:(,)([0-9]{0,4}))?\}")


def linear(pattern: str) -> re.Pattern[str]:
    """`pattern` compiled, to be matched with whole lines; raises `ValueError` for what is not in the subset."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"longer than {MAX_PATTERN} characters")
    translator = _Translator(pattern)
    translator.run()
    try:
        return re.compile("".join(translator.out), re.ASCII)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error


def group(name: str) -> str:
    """The name of a group as Python has it: "-" is for people."""
    return name.replace("-", "_")


@dataclass(slots=True)
class _Translator:
    """Walks over the pattern once, left to right."""

    pattern: str
    at: int = 0
    out: list[str] = field(default_factory=list)
    open: list[tuple[int, str]] = field(default_factory=list)
    """Where each open group begins in `out`, and how it ends."""

    def run(self) -> None:
        while self.at < len(self.pattern):
            self._step(self.pattern[self.at])
        if self.open:
            raise ValueError("a ( is never closed")

    def _step(self, sign: str) -> None:
        if sign == "(":
            self._begin()
        elif sign == ")":
            self._end()
        elif sign == "|":
            self._copy(1)
        elif sign in "*+?{":
            raise ValueError(f"{sign!r} at {self.at} repeats nothing, or what is repeated already, or a group")
        elif sign in "^$":
            raise ValueError(f"{sign!r} at {self.at} is not needed: the whole line is matched")
        else:
            self._character(sign)

    def _copy(self, size: int) -> None:
        self.out.append(self.pattern[self.at : self.at + size])
        self.at += size

    def _begin(self) -> None:
        named = _NAMED.match(self.pattern, self.at)
        if named is not None:
            text, close, size = f"(?P<{group(named[1])}>(?>", "))", len(named[0])
        elif self.pattern.startswith("(?:", self.at):
            text, close, size = "(?>", ")", 3
        elif self.pattern.startswith("(?", self.at):
            raise ValueError(f"at {self.at}: of the groups with (? only (?P<name>...) and (?:...) are taken")
        else:
            text, close, size = "(?>", ")", 1
        self.open.append((len(self.out), close))
        self.out.append(text)
        self.at += size

    def _end(self) -> None:
        if not self.open:
            raise ValueError(f"the ) at {self.at} closes nothing")
        begin, close = self.open.pop()
        self.out.append(close)
        self.at += 1
        if self.pattern.startswith("?", self.at):  # a choice between it and nothing: no repetition of groups
            self.out.insert(begin, "(?>")
            self.out.append("|)")
            self.at += 1

    def _character(self, sign: str) -> None:
        if sign in "\\[":
            known = (_ESCAPE if sign == "\\" else _CLASS).match(self.pattern, self.at)
            if known is None:
                raise ValueError(f"at {self.at}: an escape or class that is not taken")
            self._copy(len(known[0]))
        else:
            self._copy(1)
        self._repeat(greedy_dot=sign == ".")

    def _repeat(self, *, greedy_dot: bool) -> None:
        if self.pattern.startswith("?", self.at):
            self._copy(1)
            self.out.append("+")
            return
        found = _REPEAT.match(self.pattern, self.at)
        if found is None:
            return
        if any(part and part != "," and int(part) > MAX_REPEAT for part in found.groups()):
            raise ValueError(f"at {self.at}: repeated more than {MAX_REPEAT} times")
        self._copy(len(found[0]))
        self.out.append("+")
        rest = self.pattern[self.at :].lstrip(")?")
        if greedy_dot and rest and not rest.startswith("|"):
            raise ValueError(f"at {self.at}: . repeated takes all the rest of the line; say what it is, as in [^,]*")
