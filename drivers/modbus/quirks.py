"""What one table of a device turned out to refuse, learned from its answers; JSON for the next life."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from drivers.modbus.pdu import ADDRESSES, MAX_BITS
from drivers.modbus.planner import Group, Range, extent, holds, rest, within

MAX_REFUSED = 256
"""Ranges remembered of one table: a device that refuses more has another profile than it was given."""
_SHORT = 255  # the largest exception code


@dataclass(frozen=True, slots=True)
class Unproved:
    """Why a request seems to have been refused, if that was for good: `unknown` holds an illegal address; None: it was
    too long, `cap` is the longest that was answered."""

    whole: Range
    unknown: Range | None
    cap: int


class Quirks:
    """Ranges that were refused alone, and the most addresses of one request; nothing to begin with."""

    def __init__(self) -> None:
        self.refused: dict[Range, int] = {}
        """By range, the exception code; none holds another."""
        self.cap = 0
        """0: as configured."""
        self.unproved: Unproved | None = None
        """Worth asking for once more."""
        self._open: list[Group] = []
        self._answered: list[Range] = []

    def clear(self) -> None:
        """Nothing is known any more."""
        self.refused, self.cap, self.unproved = {}, 0, None
        self._open, self._answered = [], []

    @property
    def odd(self) -> bool:
        """Whether there is anything that an answer could tell more of."""
        return bool(self.refused or self.cap or self._open)

    def refuse(self, group: Group) -> None:
        """A request for more than one place was refused: why, the answers to come say."""
        self._open.append(group)

    def give_up(self, place: Range, code: int) -> bool:
        """A place alone is refused; whether that is news."""
        self._open = [group for group in self._open if not within(place, extent(group))]
        if holds(place, self.refused) or len(self.refused) >= MAX_REFUSED:
            return False
        self.refused = {one: why for one, why in self.refused.items() if not within(place, one)} | {place: code}
        return True

    def answer(self, place: Range) -> bool:
        """A request was answered; whether that disproves something. What it may prove is in `unproved`."""
        wrong = [one for one in self.refused if within(one, place)]
        for one in wrong:
            del self.refused[one]
        short = 0 < self.cap < place[1]
        if short:
            self.cap = place[1]
        if self._open:
            self._answered = [one for one in self._answered if not within(one, place)] + [place]
            self._settle()
        return bool(wrong) or short

    def _settle(self) -> None:
        """When all that a refused request wanted was answered by others: it was too long, or a gap is not there."""
        for group in sorted(self._open, key=lambda group: extent(group)[1]):
            if self.unproved is None and not any(rest(span.range, self._answered) for span in group):
                self._open.remove(group)
                whole = extent(group)
                shorter = [count for _, count in self._answered if count < whole[1]]
                self.unproved = Unproved(whole, rest(whole, self._answered), max(shorter, default=0))
        if not self._open:
            self._answered = []

    def prove(self, one: "Unproved", *, refused: bool) -> bool:
        """The request was made again: refused again, it says what it seemed to say; whether that is news."""
        self.unproved = None
        if not refused:
            return False
        if one.unknown is not None:
            return self.give_up(one.unknown, 0)
        self.cap = one.cap
        self._open = [group for group in self._open if extent(group)[1] < one.whole[1]]
        return self.cap > 0

    @classmethod
    def of_json(cls, data: object) -> Self:
        """What `json` gave; raises `ValueError` for anything else."""
        found = cls()
        if not isinstance(data, Mapping):
            raise ValueError("is no table")  # noqa: TRY004 - content of a file, not a mistake of the caller
        cap, refused = data.get("cap", 0), data.get("refused", [])
        if not _fits(cap, 0, MAX_BITS) or not isinstance(refused, list) or len(refused) > MAX_REFUSED:
            raise ValueError("cap or refused make no sense")
        found.cap = cap
        for one in refused:
            if not isinstance(one, list) or len(one) != 3 or not _is_place(*one):
                raise ValueError(f"{one!r} is no refused range")
            found.refused[one[0], one[1]] = one[2]
        return found

    def json(self) -> dict[str, Any]:
        """It as JSON; empty where nothing is odd."""
        ranges = [[first, count, code] for (first, count), code in sorted(self.refused.items())]
        return ({"refused": ranges} if ranges else {}) | ({"cap": self.cap} if self.cap else {})


def _is_place(first: object, count: object, code: object) -> bool:
    return _fits(first, 0, ADDRESSES - 1) and _fits(count, 1, MAX_BITS) and _fits(code, 0, _SHORT)


def _fits(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
