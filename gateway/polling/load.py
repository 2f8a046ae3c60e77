"""How much of a bus's time its plan takes, before anything is asked."""

from dataclasses import dataclass
from math import ceil

from drivers.base import AskingDriver, Driver


@dataclass(frozen=True, slots=True)
class Load:
    """`share` of the bus's time (1 = all of it) that `known` reads take; those of unknown cost are not in it."""

    known: int
    share: float

    @property
    def too_much(self) -> bool:
        """Whether the plan cannot be met."""
        return self.share > 1

    def __str__(self) -> str:
        """What is too much, for people; rounded up, so that it is never said to be just enough."""
        return f"this plan needs {ceil(10 * self.share) / 10:.1f} s of every 1.0 s"


def load(driver: Driver) -> Load:
    """The load of the driver's reads when every device answers as usual; nothing for one that only listens."""
    if not isinstance(driver, AskingDriver):
        return Load(0, 0.0)
    shares = [driver.cost(read) / read.every for read in driver.reads() if read.every]
    return Load(sum(share > 0 for share in shares), sum(shares))
