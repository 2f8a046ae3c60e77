"""Fingerprints of the files that an installation was read from: whether what runs is what is written."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from config import Config


def prints(config: Config) -> dict[str, str]:
    """SHA-256 of each file of the configuration, profiles included; "" for one that cannot be read. Blocks."""
    main = Path(config.where(""))
    files = {*config.files.values(), *map(str, main.parent.glob("conf.d/*.toml"))}
    return {file: _print(Path(file)) for file in sorted(files)}


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The files that are not what they were, are gone, or are new."""
    return sorted(file for file in before.keys() | now.keys() if before.get(file) != now.get(file))


def _print(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""
