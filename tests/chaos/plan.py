"""Which fault comes when: drawn before anything starts, from a seed alone."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

AGAIN = 5  # each kind comes at least as often, where there is time for it
SHORTEST_S, LONGEST_S = 0.5, 9.0  # of a fault: 9 s are more than 1.5 keepalives of the shortest, 5 s
SLOT_S = 8.0  # to the next fault of the same part, at least: it is to work in between
CALM = 0.1  # of the time, at the end

LANES: Mapping[str, Sequence[str]] = {
    "link": ("link down", "link hole", "link slow"),
    "broker": ("broker kill -9", "broker restart", "broker SIGSTOP"),
    "agent": ("agent kill -9", "agent SIGSTOP", "agent SIGTERM"),
    "collector": ("collector kill -9", "both collectors kill -9", "collector SIGSTOP"),
}
DATABASES: Mapping[str, Sequence[str]] = {
    "postgresql": ("database crash", "database refuses", "database restart"),
    "sqlite": ("database locked",),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `kind` from `at_s` after the start, for `seconds`; `which` of two collectors."""

    lane: str
    kind: str
    at_s: float
    seconds: float
    which: int


def kinds(database: str) -> list[str]:
    """All that there are."""
    return [kind for lane in (*LANES.values(), DATABASES[database]) for kind in lane]


def plan(seconds: float, seed: int, database: str) -> list[Fault]:
    """Faults of each part one after the other, of different parts at any time; by the time they begin."""
    dice = random.Random(seed)
    lanes = {**LANES, "database": DATABASES[database]}
    found = [fault for lane, names in lanes.items() for fault in _lane(dice, lane, names, seconds * (1 - CALM))]
    return sorted(found, key=lambda fault: fault.at_s)


def _lane(dice: random.Random, lane: str, names: Sequence[str], seconds: float) -> list[Fault]:
    again = max(1, min(AGAIN, int(seconds / SLOT_S / len(names))))
    drawn = [name for name in names for _ in range(again)]
    dice.shuffle(drawn)
    slot = seconds / len(drawn)
    most = min(LONGEST_S, slot / 2)
    return [_fault(dice, lane, name, index * slot, slot, most) for index, name in enumerate(drawn)]


def _fault(dice: random.Random, lane: str, name: str, begin: float, slot: float, most: float) -> Fault:
    lasts = dice.uniform(SHORTEST_S, most)
    return Fault(lane, name, begin + dice.uniform(0, slot - lasts) / 2, lasts, dice.randrange(2))
