"""Find profiles by name in folders, and load them."""

from collections.abc import Sequence
from pathlib import Path

from config.build import Builder, Raw, Shelved, point, point_tables, split
from config.errors import ConfigErrors, quote_key
from config.merge import Entry
from config.models import Profile, ProfileTest
from config.source import is_file, is_folder, read
from config.suggest import choice

_OWN = frozenset({"tests", "untested", "base"})  # what a profile says of itself, and not for those that add to it


class Shelf:
    """The profiles of some folders, each read once; the first folder that has a name wins."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._read: dict[str, Shelved | None] = {}

    def names(self) -> set[str]:
        """Every profile that there is."""
        return {file.stem for folder in self._folders if is_folder(folder) for file in folder.glob("*.toml")}

    def files(self, name: str) -> list[Path]:
        """The files of that name: the one that counts, then those that it replaces."""
        return [file for folder in self._folders if is_file(file := folder / f"{name}.toml")]

    def find(self, builder: Builder, user: Entry, name: str) -> Shelved | None:
        """The profile of a proper id; None after noting, once, what is wrong with its file, or that there is none."""
        if name in self._read:
            return self._read[name]
        files = self.files(name)
        if not files:
            message = f"unknown profile; {choice(name, self.names())}"
            builder.problem(user.file, f"{user.path}.profile", message, name)
            return None
        self._read[name] = self.load(files[0], builder)
        return self._read[name]

    def load(self, file: Path, builder: Builder, above: tuple[Path, ...] = ()) -> Shelved | None:
        """The profile in one file, on top of its base; None after noting what is wrong.

        `above` are the files whose base this is: a base is looked for in the others, so that a profile may add to one
        of its own name in a later folder, and none to itself.
        """
        source = read(file, builder.problems)
        if source is None:
            return None
        before = len(builder.problems)
        table = self._on_base(Entry(file, "", source.table), builder, (*above, file))
        shelved = None if table is None else _shelved(Entry(file, "", table), builder)
        return None if len(builder.problems) > before else shelved

    def _on_base(self, entry: Entry, builder: Builder, above: tuple[Path, ...]) -> Raw | None:
        name = entry.table.get("base")
        if not isinstance(name, str):  # none, or one that the profile's own check tells
            return entry.table
        file = next((file for file in self.files(name) if file not in above), None)
        if file is None:
            builder.problem(entry.file, "base", f"no other profile has this name; {choice(name, self.names())}", name)
            return None
        base = self.load(file, builder, above)
        return None if base is None else _added(base.table, entry.table)


def load_profile(file: Path, folders: Sequence[Path] = ()) -> Profile:
    """The profile in one file, with its base from `folders`; raises `ConfigErrors` with all its problems at once."""
    builder = Builder([])
    shelved = Shelf(folders).load(file, builder)
    if shelved is None:
        raise ConfigErrors(builder.problems)
    return shelved.profile


def _added(base: Raw, own: Raw) -> Raw:
    """The tables of `own` on top of those of `base`, points key by key."""
    table = {key: value for key, value in base.items() if key not in _OWN} | own
    points, mine = base.get("points", {}), own.get("points", {})
    if isinstance(mine, dict):
        table["points"] = points | {
            name: {**points.get(name, {}), **one} if isinstance(one, dict) else one for name, one in mine.items()
        }
    return table


def _shelved(entry: Entry, builder: Builder) -> Shelved | None:
    tables = point_tables(builder, entry)
    points = {name: point(builder, one, "", name, one.table) for name, one in tables.items()}
    ours, options = split(Profile, entry.table, frozenset({"points", "tests"}))
    profile = builder.table(Profile, entry, {**ours, "name": entry.file.stem, "options": options})
    update: Raw = {"points": points, "tests": _tests(builder, entry, set(tables))}
    return None if profile is None else Shelved(profile.model_copy(update=update), entry.file, entry.table, tables)


def _tests(builder: Builder, profile: Entry, points: set[str]) -> tuple[ProfileTest, ...]:
    raw = profile.table.get("tests", [])
    if not isinstance(raw, list) or not all(isinstance(one, dict) for one in raw):
        builder.problem(profile.file, "tests", "must be tables, each under [[tests]]", raw)
        return ()
    found = []
    for number, table in enumerate(raw):
        entry = Entry(profile.file, f"tests[{number}]", table)
        ours, given = split(ProfileTest, table)
        test = builder.table(ProfileTest, entry, {**ours, "given": given})
        for name in () if test is None else test.names:
            if name not in points:
                builder.problem(entry.file, f"{entry.path}.{quote_key(name)}", f"no such point; {choice(name, points)}")
        found += [] if test is None else [test]
    return tuple(found)
