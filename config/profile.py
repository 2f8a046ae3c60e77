"""Find profiles by name in folders."""

from collections.abc import Sequence
from pathlib import Path

from config.build import Builder, Shelved, point, point_tables, split
from config.errors import ConfigErrors
from config.merge import Entry
from config.models import Profile
from config.source import is_file, is_folder, read
from config.suggest import choice


class Shelf:
    """The profiles of some folders, each read once; the first folder that has a name wins."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._read: dict[str, Shelved | None] = {}

    def names(self) -> set[str]:
        """Every profile that there is."""
        return {file.stem for folder in self._folders if is_folder(folder) for file in folder.glob("*.toml")}

    def find(self, builder: Builder, user: Entry, name: str) -> Shelved | None:
        """The profile of a proper id; None after noting, once, what is wrong with its file, or that there is none."""
        if name in self._read:
            return self._read[name]
        files = (folder / f"{name}.toml" for folder in self._folders)
        file = next((file for file in files if is_file(file)), None)
        if file is None:
            message = f"unknown profile; {choice(name, self.names())}"
            builder.problem(user.file, f"{user.path}.profile", message, name)
            return None
        self._read[name] = _load(file, builder)
        return self._read[name]


def load_profile(file: Path) -> Profile:
    """The profile in one file; raises `ConfigErrors` with all its problems at once."""
    builder = Builder([])
    shelved = _load(file, builder)
    if shelved is None:
        raise ConfigErrors(builder.problems)
    return shelved.profile


def _load(file: Path, builder: Builder) -> Shelved | None:
    source = read(file, builder.problems)
    if source is None:
        return None
    before = len(builder.problems)
    entry = Entry(file, "", source.table)
    tables = point_tables(builder, entry)
    points = {name: point(builder, one, "", name, one.table) for name, one in tables.items()}
    ours, options = split(Profile, source.table, frozenset({"points"}))
    profile = builder.table(Profile, entry, {**ours, "name": file.stem, "options": options})
    if profile is None or len(builder.problems) > before:
        return None
    return Shelved(profile.model_copy(update={"points": points}), file, tables)
