"""The keyring as the gateway keeps it: a file beside the store, verified at each start, never going back."""

import asyncio
import logging
from pathlib import Path

from buffer import cose, floors
from buffer.errors import BatchFormatError, BufferFault, NotAllowed, SignatureError
from buffer.keyring import Keyring
from buffer.keys import PublicKey
from gateway.commands.judge import Here
from gateway.files import save

log = logging.getLogger(__name__)

NAME = "keyring.cose"
MAX_BYTES = 1 << 18
"""64 keys with 32 scopes each take less."""


def beside(store: Path) -> Path:
    """The file that belongs to the store at this path."""
    return store.with_name(NAME)


class Ring:
    """The newest keyring that the authority signed and this gateway saw."""

    def __init__(self, path: Path, authority: PublicKey) -> None:
        self._path = path
        self._authority = authority
        self.keyring: Keyring | None = None
        self._floor = 0
        self.name = floors.keyring(authority.kid)
        """What the store calls its numbers."""

    def load(self, floor: int) -> None:
        """Read the file; what the authority did not sign counts as none, and is told of.

        `floor` is the highest number that the store remembers: without a file, or with an older one, that counts.
        """
        self._floor = floor
        try:
            with self._path.open("rb") as file:
                found = Keyring.read(file.read(MAX_BYTES + 1), self._authority)
        except FileNotFoundError:
            return
        except (OSError, BufferFault) as error:
            log.error("%s is not used, the next keyring that comes is: %s", self._path, error)
            return
        if found.number < floor:
            log.error("%s is not used: it is keyring %d, and %d was here", self._path, found.number, floor)
            return
        self.keyring = found

    def is_authority(self, message: bytes) -> bool:
        """Whether a message says that it is signed by the authority: it is a keyring, or nothing."""
        try:
            return cose.read(message).kid == self._authority.kid
        except BatchFormatError:
            return False

    def verify(self, message: bytes) -> Keyring | None:
        """A keyring that the authority signed; None for the one that is here already.

        Raises `NotAllowed`: `signature`, `format`, or `keyring` for a lower number, or another of the same.
        """
        try:
            if len(message) > MAX_BYTES:
                raise BatchFormatError(f"{len(message)} bytes are no keyring")
            found = Keyring.read(message, self._authority)
        except SignatureError as error:
            raise NotAllowed("signature", str(error)) from error
        except BatchFormatError as error:
            raise NotAllowed("format", str(error)) from error
        return found if self._is_news(found) else None

    async def take(self, message: bytes, found: Keyring) -> bool:
        """Keep it: on the disk before it counts; whether it was news. Raises `NotAllowed` (`keyring`) or `OSError`."""
        if not self._is_news(found):
            return False
        await asyncio.to_thread(save, self._path, message)
        log.info("keyring %d taken: %d keys", found.number, len(found.keys))
        self.keyring = found
        self._floor = found.number
        return True

    def _is_news(self, found: Keyring) -> bool:
        if found.number < self._floor:
            raise NotAllowed("keyring", f"number {found.number} came, {self._floor} was here")
        if self.keyring is None or found.number > self.keyring.number:
            return True
        if (found.number, found.keys) == (self.keyring.number, self.keyring.keys):
            return False  # signed again
        raise NotAllowed("keyring", f"number {found.number} came, {self.keyring.number} is here")

    def acknowledger(self, message: bytes, here: Here, now_ms: int) -> PublicKey:
        """The acknowledge key that a message names; raises `NotAllowed` or `BatchFormatError`. Nothing is verified."""
        if self.keyring is None:
            raise NotAllowed("key", "no keyring has come yet: nobody can be believed")
        key = self.keyring.find(cose.read(message).kid, "acknowledge", now_ms)
        if not key.covers(here.site, here.gateway):
            raise NotAllowed("scope", f"{key.name} may not acknowledge here")
        return key.public
