"""Tells the platform which files run, once each: a box that takes this one's place is given them."""

import asyncio
import json
import logging
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from pathlib import Path

from buffer import running
from buffer.configuration import MAX_FILES, MAX_TEXT_BYTES, Text
from buffer.errors import BatchFormatError, StoreError
from buffer.running import Running
from config import Config, Problem
from config.loader import sources
from config.prints import CONF_D, fingerprint_of
from config.pushed import OURS
from config.source import parse
from gateway.bundle.disclose import disclosed
from gateway.clock import AgentClock
from gateway.commands.book import Book
from gateway.setup.installation import LOCAL_PROFILES

log = logging.getLogger(__name__)

OWN = f"{CONF_D}/own-tables.toml"
"""What the gateway's own conf.d has and a configuration from afar left out is told as this file."""
PROFILES = LOCAL_PROFILES.name


class Runs:
    """Tells of what one agent runs; nothing where no platform is that could read it (`tells`)."""

    def __init__(self, book: Book, clock: AgentClock, *, tells: bool) -> None:
        self._book = book
        self._clock = clock
        self._tells = tells

    async def tell(self, config: Config, main: Path, pushed: Sequence[Text] | None) -> None:
        """Tell of `config`, whose own files are at `main`, unless this stream has the same already."""
        if not self._tells:
            return
        try:
            made = await asyncio.to_thread(look, config, main, pushed, self._clock.utc_ms())
            if made is None or await self._book.ask(running.told) == made.digest:
                return
            self._book.tell_running(made.to_json(), partial(running.note, digest=made.digest))
        except (StoreError, OSError) as error:
            log.warning("the platform is not told which files run: %s", error)


def look(config: Config, main: Path, pushed: Sequence[Text] | None, at_ms: int) -> Running | None:
    """What runs, as it may leave the box; None where the files are not those that were read. Blocks; `OSError`."""
    made = Running(config.fingerprint, "own" if pushed is None else "pushed", at_ms)
    try:
        if pushed is None:
            texts = _texts(main, CONF_D, main.parent / CONF_D)
            if fingerprint_of(texts) != config.fingerprint:
                return None
        else:
            texts = _completed(main, pushed)
        return _hidden(made, [*texts, *_texts(None, PROFILES, LOCAL_PROFILES)])
    except (BatchFormatError, ValueError) as error:
        return made.without(str(error))


def _hidden(made: Running, texts: Sequence[Text]) -> Running:
    """With the texts, secrets hidden; raises `BatchFormatError` or `ValueError` for what cannot be told."""
    shown = [(name, *disclosed(text)) for name, text in texts]
    files = tuple((name, text) for name, text, _ in shown)
    found = Running(made.hash, made.source, made.at_ms, files, sum(count for _, _, count in shown))
    found.to_item()
    return found


def _texts(main: Path | None, folder: str, place: Path) -> list[Text]:
    files = [] if main is None else [(main.name, main)]
    files += [(f"{folder}/{file.name}", file) for file in sorted(place.glob("[!.]*.toml"))]
    if len(files) > MAX_FILES:
        raise ValueError(f"{place} holds more than {MAX_FILES} files")
    room, found = MAX_TEXT_BYTES, []
    for name, file in files:
        with file.open("rb") as stream:
            data = stream.read(room + 1)
        room -= len(data)
        if room < 0:
            raise ValueError(f"the files have more than {MAX_TEXT_BYTES} bytes")
        found.append((name, data.decode()))
    return found


def _completed(main: Path, pushed: Sequence[Text]) -> list[Text]:
    """With the tables that stay as the gateway has them, where a configuration from afar does not repeat them.

    Each goes into a file of the folder that it came from: paths in it are relative to that.
    """
    problems: list[Problem] = []
    parsed = [parse(Path(name), text.encode(), problems) for name, text in pushed]
    there = {name for source in parsed if source is not None for name in source.table}
    own = {True: "", False: ""}
    for source in sources(main, problems):
        missing = [name for name in OURS if name in source.table and name not in there]
        own[source.file == main] += "".join(f"\n[{name}]\n{_lines(source.table[name])}" for name in missing)
    (name, text), *others = pushed
    return [(name, text + own[True]), *others, *([(OWN, own[False])] if own[False] else [])]


def _lines(table: dict[str, object]) -> str:
    return "".join(f"{_quoted(key)} = {_toml(value)}\n" for key, value in table.items())


def _toml(value: object) -> str:
    """A value as TOML writes it, on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_quoted(str(key))} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return str(value).lower() if isinstance(value, int | Decimal) else _quoted(str(value))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
