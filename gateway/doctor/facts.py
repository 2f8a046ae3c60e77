"""Everything that the doctor judges, gathered before any of it is judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from config import Problem
from gateway.setup.installation import Installation


class Service(StrEnum):
    """What became of asking the daemon."""

    RUNS = "runs"
    STOPPED = "stopped"
    STUCK = "stuck"
    DENIED = "denied"
    """It runs, and this user may not ask it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """`seen` is what `examine` of the daemon says, or a probe by `seen_by` where no daemon answers."""

    config: Path
    service: Service
    why: str = ""
    """What the daemon, or the attempt to ask it, said instead of an answer."""
    problems: Sequence[Problem] = ()
    missing: tuple[str, str] = ("", "")
    """What is wrong with a file that the configuration names, and its remedy."""
    installation: Installation | None = None
    seen: Mapping[str, Any] = field(default_factory=dict)
    seen_by: str = "the daemon"
    holders: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For each bus, who else has its port open."""
    store: str = ""
    """What is wrong with the buffer's file, looked at while no daemon has it."""
    forbidden: bool = False
    """This user may not read the configuration."""

    @property
    def status(self) -> Mapping[str, Any] | None:
        """The daemon's `status`; None where it does not answer."""
        found: Mapping[str, Any] | None = self.seen.get("status")
        return found
