"""What the uplink asks of a form that is not our own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.keeping.history import Sample

MESSAGE_BYTES = 65_536
"""Of one message, about: what brokers of cloud platforms take at least (AWS IoT Core: 128 kB)."""


@dataclass(frozen=True, slots=True)
class Publish:
    """A message for the broker, never retained."""

    topic: str
    payload: bytes


class Form(Protocol):
    """Makes messages of samples, in the order in which they must go; used by one task."""

    topics: tuple[str, ...]
    """What to subscribe to."""
    chained: bool
    """Whether what follows a message that the broker refused cannot be understood."""

    def will(self) -> Publish | None:
        """What the broker says when a link that is about to begin is gone; None: our own status."""

    def greeting(self) -> list[Publish]:
        """What goes first over a new link."""

    def convert(self, samples: Sequence[Sample]) -> list[Publish]:
        """Messages that say all that the form can say of the samples of one batch; they are dated."""

    def received(self, topic: str, payload: bytes) -> list[Publish]:
        """The answer to what arrived; hostile input is nothing."""

    def farewell(self) -> list[Publish]:
        """What goes last before the link is closed on purpose."""
