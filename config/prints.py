"""The fingerprint of a configuration: what `sha256sum lamppost.toml conf.d/*.toml | sha256sum` says in its folder."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from config.source import Source

CONF_D = "conf.d"


def fingerprint(sources: Sequence[Source]) -> str:
    """Of files that were read, the main one first, as 64 digits of hex."""
    return _sum((name_of(source.file, n), source.digest) for n, source in enumerate(sources))


def fingerprint_of(texts: Iterable[tuple[str, str]]) -> str:
    """The same of (name, text) pairs."""
    return _sum((name, hashlib.sha256(text.encode()).hexdigest()) for name, text in texts)


def name_of(file: Path, place: int) -> str:
    """What a file is called in it: the first is the main one, the others are in conf.d."""
    return f"{CONF_D}/{file.name}" if place else file.name


def _sum(lines: Iterable[tuple[str, str]]) -> str:
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in lines).encode()).hexdigest()
