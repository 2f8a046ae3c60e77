"""Find profiles by name or file: an installation's own, then those of the drivers."""

from pathlib import Path

from config import ConfigErrors, Problem, Shelf
from config.suggest import choice
from gateway.setup.installation import profile_folders


def shelf() -> Shelf:
    """Every profile that a configuration may name."""
    return Shelf(profile_folders())


def found(name: str) -> Path:
    """The file of a profile's name, or the file that is named; raises `ConfigErrors` when it is neither."""
    if "/" in name or name.endswith(".toml"):
        return Path(name)
    known = shelf()
    files = known.files(name)
    if not files:
        raise ConfigErrors([Problem(name, "", f"unknown profile; {choice(name, known.names())}")])
    return files[0]
