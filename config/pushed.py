"""A configuration from afar in the place of the local one: buses and devices are its own, who the gateway is is not."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from config.errors import Problem, key_path
from config.loader import assemble
from config.models import Config
from config.prints import fingerprint_of
from config.source import Source, parse

FOLDER = Path("pushed")
"""What the files of a pushed configuration are told of as: `pushed/lamppost.toml`."""
OURS = ("gateway", "uplink", "buffer")
"""Tables that stay as the gateway's own files have them: identity, keys, authority, the way out, the disk."""
FREE = {"uplink": frozenset({"batch"})}
"""... but for these keys."""


def together(
    local: Sequence[Source], texts: Sequence[tuple[str, str]], profiles: Sequence[Path], problems: list[Problem]
) -> Config:
    """The installation of pushed `texts` (name, text) at a gateway whose own files are `local`; raises `ConfigErrors`.

    In the tables `OURS` a pushed key must be what it is in the gateway's own files, or be left out.
    """
    pushed = [s for name, text in texts if (s := parse(FOLDER / name, text.encode(), problems)) is not None]
    kept, changed = _kept(local, pushed, problems)
    own = [replace(source, table={k: v for k, v in source.table.items() if k not in OURS}) for source in pushed]
    config = assemble([*kept, *own], profiles, problems)
    return config.model_copy(
        update={"fingerprint": fingerprint_of(texts), "files": {**config.files, **changed}},
    )


def _kept(
    local: Sequence[Source], pushed: Sequence[Source], problems: list[Problem]
) -> tuple[list[Source], dict[str, str]]:
    """The local files, only `OURS` left of them, with the free keys of the pushed ones; and where those came from."""
    kept = [replace(s, table={name: _copy(s.table[name]) for name in OURS if name in s.table}) for s in local]
    changed: dict[str, str] = {}
    for source in pushed:
        for name in OURS:
            given = source.table.get(name, {})
            mine = next((s.table[name] for s in kept if isinstance(s.table.get(name), dict)), None)
            for key, value in given.items() if isinstance(given, dict) else [("", given)]:
                path = key_path(name, key)
                if mine is not None and key in FREE.get(name, ()):
                    mine[key] = value
                    changed[path] = str(source.file)
                elif mine is None or key not in mine or mine[key] != value:
                    message = "is not what the gateway has; it is changed on the gateway alone"
                    problems.append(Problem(str(source.file), path, message, value))
    return kept, changed


def _copy(table: Any) -> Any:  # noqa: ANN401 - whatever stands in a file
    return dict(table) if isinstance(table, dict) else table
