"""The folder of updates: the spool that operators write to, and what root alone keeps about the trial under way."""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.errors import FileDamaged
from gateway.files import save

FOLDER = Path("/var/lib/lamppost-update")
MAX_BAD = 16
MAX_FILE = 65536
TRYING, BACK = "trying", "back"
AGENT, LINK, CUTS, INSTALL = "agent", "link", "cuts", "install"
"""Why a version goes back: the agent did not do its work, or only had no link; the trial was cut off; dpkg failed."""


@dataclass(frozen=True, slots=True)
class Last:
    """What became of the last update: `installed`, `refused`, `taken-back`, `untested` or `failed`."""

    version: str
    status: str
    reason: str
    utc_ms: int


@dataclass(frozen=True, slots=True)
class State:
    """What root remembers of all updates; anybody may read it."""

    floor: str = ""
    keyring: int = 0
    """The highest number of a keyring that was believed."""
    bad: tuple[str, ...] = ()
    last: Last | None = None
    doubted: tuple[str, ...] = ()
    """Versions that went back once for what may have come from outside; the second time they are bad."""

    def told(self, last: Last) -> "State":
        """With the outcome of an update."""
        return replace(self, last=last)

    def marked(self, version: str) -> "State":
        """With a version that did no good."""
        return replace(self, bad=_with(self.bad, version))

    def doubting(self, version: str) -> "State":
        """With a version that may have done no good."""
        return replace(self, doubted=_with(self.doubted, version))


@dataclass(frozen=True, slots=True)
class Before:
    """How the agent did when the update came: what it did then, the new version must do."""

    active: bool
    committing: bool
    uplink: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """The update under way, on the disk before anything is changed."""

    version: str
    previous: str
    floor: str
    sha256: str
    before: Before
    phase: str = TRYING
    tries: int = 0
    reason: str = ""
    cause: str = AGENT
    again: bool = False
    """It was doubted before."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are; all but `incoming` are root's."""

    folder: Path = field(default_factory=lambda: Path(os.environ.get("LAMPPOST_UPDATES") or FOLDER))

    @property
    def incoming(self) -> Path:
        """What an operator hands in."""
        return self.folder / "incoming" / "update"

    @property
    def taken(self) -> Path:
        """What was handed in, for the moment between the spool and an open file."""
        return self.folder / "taken"

    @property
    def new(self) -> Path:
        """The package under trial."""
        return self.folder / "new.deb"

    @property
    def previous(self) -> Path:
        """The package that was there before, made anew of what was installed."""
        return self.folder / "previous.deb"

    @property
    def judge(self) -> Path:
        """The environment of the version before, which judges the new one."""
        return self.folder / "judge"

    @property
    def trial_file(self) -> Path:
        """There while an update is under way."""
        return self.folder / "trial.json"

    @property
    def state_file(self) -> Path:
        """What is remembered."""
        return self.folder / "state.json"

    def state(self) -> State:
        """What is remembered; raises `FileDamaged`, for without it a floor could be passed."""
        item = _read(self.state_file)
        return State() if item is None else _state(self.state_file, item)

    def trial(self) -> Trial | None:
        """The trial under way; raises `FileDamaged`."""
        item = _read(self.trial_file)
        try:
            return None if item is None else Trial(**{**item, "before": Before(**item["before"])})
        except (TypeError, KeyError) as error:
            raise FileDamaged(f"{self.trial_file} is not what was written") from error

    def keep(self, one: State | Trial) -> None:
        """Put it on the disk; raises `OSError`."""
        path = self.state_file if isinstance(one, State) else self.trial_file
        save(path, (json.dumps(asdict(one), indent=1) + "\n").encode())
        path.chmod(0o644)


def _with(versions: tuple[str, ...], version: str) -> tuple[str, ...]:
    return (*(one for one in versions if one != version), version)[-MAX_BAD:]


def _state(path: Path, item: dict[str, Any]) -> State:
    try:
        last = item["last"]
        found = State(item["floor"], int(item["keyring"]), tuple(item["bad"]), None if last is None else Last(**last))
        return replace(found, doubted=tuple(item.get("doubted", ())))
    except (TypeError, KeyError, ValueError) as error:
        raise FileDamaged(f"{path} is not what was written") from error


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            item = json.loads(file.read(MAX_FILE))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise FileDamaged(f"{path} is not what was written", f"look at it, then: sudo rm {path}") from error
    if not isinstance(item, dict):
        raise FileDamaged(f"{path} is not what was written", f"look at it, then: sudo rm {path}")
    return item
