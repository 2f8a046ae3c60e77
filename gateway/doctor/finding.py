"""What the doctor says: one sentence and one remedy for each thing that is wrong."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


EXIT = {Level.OK: 0, Level.WARNING: 1, Level.FAILURE: 2}
"""The exit code for the worst of all findings."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One. `fault` is its name in docs/doctor.md ("" when all is well), `about` the bus, device or file."""

    check: str
    level: Level
    message: str
    fault: str = ""
    about: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Finding":
        """What `json` made."""
        texts = (told[name] or "" for name in ("message", "fault", "about", "remedy"))
        return cls(told["check"], Level(told["level"]), *texts)

    def json(self) -> dict[str, Any]:
        """As docs/cli-json.md has it."""
        return {
            "check": self.check,
            "level": self.level.value,
            "fault": self.fault or None,
            "about": self.about or None,
            "message": self.message,
            "remedy": self.remedy or None,
        }


def well(check: str, message: str) -> Finding:
    """Nothing is wrong with it."""
    return Finding(check, Level.OK, message)


def failure(check: str, fault: str, message: str, remedy: str, about: str = "") -> Finding:
    """It does not work."""
    return Finding(check, Level.FAILURE, message, fault, about, remedy)


def warning(check: str, fault: str, message: str, remedy: str, about: str = "") -> Finding:
    """It works, and will not for long, or not well."""
    return Finding(check, Level.WARNING, message, fault, about, remedy)


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level among them."""
    return max((finding.level for finding in findings), key=EXIT.__getitem__, default=Level.OK)


def told(findings: Sequence[Finding]) -> list[Finding]:
    """Failures first, each kind in the order of the checks."""
    return sorted(findings, key=lambda finding: -EXIT[finding.level])
