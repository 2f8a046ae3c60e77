"""The configuration that came from afar, as the gateway keeps it: a file beside the store, whole or not at all."""

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cbor2

from buffer import cbor
from buffer.configuration import MAX_TEXT_BYTES, Text, check_texts
from buffer.errors import BatchFormatError
from gateway.files import save

log = logging.getLogger(__name__)

NAME = "configuration.cbor"
VERSION = 1
MAX_FILE = 2 * (MAX_TEXT_BYTES + (64 << 10))
"""One that is kept and one on trial, with their names."""
MAX_FIELD = 4096


@dataclass(frozen=True, slots=True)
class Push:
    """A configuration, its fingerprint, and that of the gateway's own files in whose place it is used (`local`)."""

    number: int
    fingerprint: str
    local: str
    texts: tuple[Text, ...]
    who: str
    why: str
    key: str


@dataclass(frozen=True, slots=True)
class State:
    """`highest` is the last number taken; `last` what the platform is told of it."""

    highest: int = 0
    kept: Push | None = None
    trial: Push | None = None
    last: tuple[int, str, str] | None = None
    """(number, status, reason)"""

    def ended(self, status: str, reason: str) -> "State":
        """The trial is over, and it was not good."""
        number = 0 if self.trial is None else self.trial.number
        return replace(self, trial=None, last=(number, status, reason))


def beside(store: Path) -> Path:
    """The file that belongs to the store at this path."""
    return store.with_name(NAME)


def load(path: Path) -> State:
    """What the file holds; nothing where there is none, or it makes no sense: then it is set aside."""
    try:
        with path.open("rb") as file:
            return _loads(file.read(MAX_FILE + 1))
    except FileNotFoundError:
        return State()
    except OSError as error:
        log.error("%s cannot be read; the gateway's own files count: %s", path, error)
    except (BatchFormatError, cbor2.CBORError, ValueError, TypeError, LookupError, RecursionError) as error:
        log.error("%s is not what was written; set aside, the gateway's own files count: %s", path, error)
        with suppress(OSError):
            path.replace(path.with_name(NAME + ".damaged"))
    return State()


def keep(path: Path, state: State) -> None:
    """Put it on the disk; raises `OSError`, then that is as it was. Blocks."""
    save(path, cbor2.dumps([VERSION, state.highest, _items(state.kept), _items(state.trial), _last(state.last)]))


def _last(last: tuple[int, str, str] | None) -> list[Any] | None:
    return None if last is None else list(last)


def _items(push: Push | None) -> list[Any] | None:
    if push is None:
        return None
    texts = [list(text) for text in push.texts]
    return [push.number, push.fingerprint, push.local, texts, push.who, push.why, push.key]


def _loads(data: bytes) -> State:
    if len(data) > MAX_FILE:
        raise ValueError(f"more than {MAX_FILE} bytes")
    version, highest, kept, trial, last = cbor2.loads(data)
    if version != VERSION:
        raise ValueError(f"version {version!r}")
    told = None if last is None else (cbor.integer(last[0], "number"), _text(last[1]), _text(last[2]))
    return State(cbor.integer(highest, "number"), _push(kept), _push(trial), told)


def _push(items: Any) -> Push | None:  # noqa: ANN401 - what a file held
    if items is None:
        return None
    number, fingerprint, local, texts, *people = items
    who, why, key = map(_text, people)
    checked = check_texts([(str(name), str(text)) for name, text in texts])
    return Push(cbor.integer(number, "number"), _text(fingerprint), _text(local), checked, who, why, key)


def _text(value: object) -> str:
    return cbor.text(value, "a text", MAX_FIELD)
