"""The schedules as the gateway keeps them: one file beside the store, there wholly or not at all."""

import asyncio
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import cbor2

from buffer import cbor, cose
from buffer.command import MAX_COMMAND_BYTES
from buffer.errors import BatchFormatError, BufferFault
from buffer.keyring import MAX_NAME, RingKey
from buffer.keys import KEY_BYTES
from buffer.schedule import Schedule
from gateway.files import save

log = logging.getLogger(__name__)

NAME = "schedule.cbor"
VERSION = 1
MAX_MESSAGE = MAX_COMMAND_BYTES + 256
MAX_FILE = 2 * MAX_MESSAGE + 1024


@dataclass(frozen=True, slots=True)
class Signed:
    """A schedule whose signature is good, and whose it is."""

    schedule: Schedule
    key: RingKey
    message: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """`edition` is the highest that was ever taken; `before` is the last good one, while `current` is on `trial`."""

    edition: int = 0
    trial: bool = False
    current: Signed | None = None
    before: Signed | None = None

    def taking(self, signed: Signed) -> "Kept":
        """With a new one."""
        return Kept(signed.schedule.edition, True, signed, self.before if self.trial else self.current)

    def proved(self) -> "Kept":
        """With the one that is here as a good one."""
        return replace(self, trial=False, before=None)

    def rolled_back(self) -> "Kept":
        """With the last good one in its old place."""
        return Kept(self.edition, False, self.before, None)


def beside(store: Path) -> Path:
    """The file that belongs to the store at this path."""
    return store.with_name(NAME)


@dataclass(slots=True)
class Shelf:
    """What is kept. What was taken stays taken, also when its key is no longer in the keyring."""

    path: Path
    kept: Kept = field(default_factory=Kept)
    damaged: str = ""

    def load(self) -> None:
        """Read the file, and verify what is in it again; one that is damaged counts as none, and is told of."""
        try:
            with self.path.open("rb") as file:
                self.kept = _loads(file.read(MAX_FILE + 1))
        except FileNotFoundError:
            return
        except (OSError, BufferFault) as error:
            self.damaged = f"{self.path} cannot be read ({error}); remedy: send the schedule again"
            log.critical("no schedule is in force: %s", self.damaged)

    async def put(self, kept: Kept) -> None:
        """Keep it: on the disk when this returns. Raises `OSError`; then all is as it was."""
        await asyncio.to_thread(save, self.path, _dumps(kept))
        self.kept, self.damaged = kept, ""


def _dumps(kept: Kept) -> bytes:
    parts = [
        [] if one is None else [one.key.name, one.key.raw, one.message] for one in (kept.current, kept.before)
    ]  # fmt: skip
    return cbor2.dumps({1: VERSION, 2: kept.edition, 3: kept.trial, 4: parts[0], 5: parts[1]})


def _loads(data: bytes) -> Kept:
    if len(data) > MAX_FILE:
        raise BatchFormatError(f"over {MAX_FILE} bytes")
    found = cbor.fields(cbor.loads(data, "the file"), "the file", range(1, 6))
    if found[1] != VERSION or type(found[3]) is not bool:
        raise BatchFormatError("it is not what was written")
    edition = cbor.integer(found[2], "edition", 0)
    return Kept(edition, found[3], _signed(found[4]), _signed(found[5]))


def _signed(item: object) -> Signed | None:
    if item == []:
        return None
    name, raw, message = cbor.array(item, "a schedule", 3, 3)
    key = RingKey(cbor.text(name, "name", MAX_NAME, 1), "command", cbor.octets(raw, "key", KEY_BYTES))
    sent = cbor.octets(message, "message", limit=MAX_MESSAGE)
    return Signed(Schedule.read(cose.read(sent), key), key, sent)
