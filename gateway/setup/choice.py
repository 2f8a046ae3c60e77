"""Which configuration runs: the gateway's own files, or the one from afar that was made for them."""

from dataclasses import dataclass, replace
from pathlib import Path

from config import ConfigErrors
from gateway.commands import pushed
from gateway.commands.pushed import State
from gateway.setup import installation
from gateway.setup.installation import Installation

DROPPED = "dropped"
ROLLED_BACK = "rolled-back"
CUT_SHORT = "the agent was started anew before it was known to be good"
EDITED = "the gateway's own files were changed since"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to run, the fingerprint of the gateway's own files, and what is kept of the one from afar."""

    installation: Installation
    own: str
    state: State


def choose(own: Installation, state: State) -> Choice:
    """The configuration from afar is used while the gateway's own files are those in whose place it was taken.

    A trial that the end of the agent has cut short is not begun again. Blocks.
    """
    local = own.config.fingerprint
    if state.trial is not None:
        state = state.ended(ROLLED_BACK, CUT_SHORT)
    if state.kept is None:
        return Choice(own, local, state)
    if state.kept.local != local:
        return Choice(own, local, _dropped(state, EDITED))
    try:
        return Choice(installation.read_pushed(Path(own.config.where("")), state.kept.texts), local, state)
    except ConfigErrors as errors:
        return Choice(own, local, _dropped(state, f"it cannot be used any longer: {errors.problems[0]}"))


def at_start(own: Installation) -> Choice:
    """What a life of the agent begins with."""
    return choose(own, pushed.load(pushed.beside(own.config.buffer.path)))


def _dropped(state: State, reason: str) -> State:
    number = state.kept.number if state.kept is not None else 0
    return replace(state, kept=None, last=(number, DROPPED, reason))
