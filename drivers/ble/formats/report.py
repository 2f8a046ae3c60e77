"""What a format makes of one advertisement."""

from dataclasses import dataclass

from drivers.decoding import Reading
from drivers.errors import BadAnswer


class Locked(BadAnswer):
    """An encrypted advertisement that the key, or having none, does not open."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one advertisement says.

    `error` is why its last bytes were not understood; the readings before them are good. `counter` is the sender's
    count of an advertisement that was authenticated by the key, `counter_bits` how far it counts; None for one that
    anybody may have sent.
    """

    readings: tuple[Reading, ...]
    error: BadAnswer | None = None
    counter: int | None = None
    counter_bits: int = 32
