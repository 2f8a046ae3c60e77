"""What a quality byte says: a class in the low two bits, a reason in the other six."""

from typing import Final

GOOD: Final = 0
UNCERTAIN: Final = 1
BAD: Final = 2

STALE: Final = UNCERTAIN | 1 << 2
CLOCK: Final = UNCERTAIN | 2 << 2
LIMITS: Final = UNCERTAIN | 3 << 2
MAINTENANCE: Final = UNCERTAIN | 4 << 2
COUNTER_RESET: Final = UNCERTAIN | 5 << 2
COUNTER_JUMP: Final = UNCERTAIN | 6 << 2

NO_ANSWER: Final = BAD | 1 << 2
EXCEPTION: Final = BAD | 2 << 2
SENTINEL: Final = BAD | 3 << 2
SENSOR_FAULT: Final = BAD | 4 << 2
BAD_ANSWER: Final = BAD | 5 << 2

_CLASSES = ("good", "uncertain", "bad")
_REASONS = {
    STALE: "stale",
    CLOCK: "clock not set",
    LIMITS: "limits",
    MAINTENANCE: "maintenance",
    COUNTER_RESET: "counter fell",
    COUNTER_JUMP: "counter jumped",
    NO_ANSWER: "no answer",
    EXCEPTION: "exception",
    SENTINEL: "sentinel",
    SENSOR_FAULT: "sensor fault",
    BAD_ANSWER: "bad answer",
}


def quality_class(quality: int) -> int:
    """GOOD, UNCERTAIN or BAD: the low two bits."""
    return quality & 3


def describe(quality: int) -> str:
    """The quality in words, such as "good" or "bad (no answer)"; ValueError when it is no quality."""
    if not 0 <= quality <= 0xFF or quality_class(quality) > BAD:
        raise ValueError(f"{quality} is no quality")
    name = _CLASSES[quality_class(quality)]
    if quality in (GOOD, UNCERTAIN, BAD):
        return name
    return f"{name} ({_REASONS.get(quality, f'reason {quality >> 2}')})"
