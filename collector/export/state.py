"""The state of an export that goes on where it ended: a small file beside what it wrote."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from collector.errors import UsageError
from collector.export.reading import Arrival, Selection, Source
from collector.files import read_bounded, write_whole
from collector.receiving.chain import Stream

VERSION = 1
MAX_STATE = 1 << 16  # bytes; thousands of patterns


def load(path: Path, selection: Selection, source: Source) -> int:
    """After which arrival to go on, 0 when there is no file yet.

    Raises UsageError when the file is of another selection, or of a database that does not know what it has seen.
    """
    if not path.exists():
        return 0
    try:
        found = json.loads(read_bounded(path, MAX_STATE))
        version, wanted = found["version"], found["selection"]
        seen = Arrival(int(found["after"]), Stream(found["gateway"], found["stream"]), found["batch"], found["at"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UsageError(f"{path}: not the state of an export: {error}") from error
    if version != VERSION:
        raise UsageError(f"{path}: version {version!r} is not known here")
    if wanted != _plain(selection):
        raise UsageError(f"{path}: is of another selection ({json.dumps(wanted)}); it must stay the same")
    known = source.find(seen.id)
    if known != seen and (known is not None or not source.again(seen.at, seen.number, seen.id)):
        raise UsageError(f"{path}: this database does not know what was exported last (restored?): begin anew")
    return seen.id


def save(path: Path, selection: Selection, newest: Arrival) -> None:
    """Note up to where everything is written; to be called when it is on the disk."""
    found = {
        "version": VERSION,
        "selection": _plain(selection),
        "after": newest.id,
        "gateway": newest.at.gateway,
        "stream": newest.at.stream,
        "batch": newest.number,
        "at": newest.written_at,
    }
    write_whole(path, json.dumps(found).encode() + b"\n")


def _plain(selection: Selection) -> dict[str, Any]:
    return {**asdict(selection), "points": list(selection.points)}
