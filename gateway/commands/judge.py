"""Whether a message may be obeyed: envelope, key, addressee, time. Pure; what cannot be proved is refused."""

from dataclasses import dataclass
from typing import Protocol

from buffer import cose
from buffer.command import MAX_COMMAND_BYTES, Command
from buffer.errors import BatchFormatError, NotAllowed, SignatureError
from buffer.keyring import Keyring, RingKey

MAX_MESSAGE = MAX_COMMAND_BYTES + 256
"""A command with its envelope; keyrings are bounded by themselves."""
EARLY_MS = 60_000
"""An operator's clock may run ahead of ours by so much."""
AHEAD_MS = 86_400_000
"""Numbers that only go up stay below the time in ms, but for this: nobody can use them up for those who come later."""


@dataclass(frozen=True, slots=True)
class Here:
    """To whom a command must be addressed: `stream` is this life of the store."""

    gateway: str
    site: str
    stream: bytes


@dataclass(frozen=True, slots=True)
class Moment:
    """`now_ms` is UTC by a clock without GNSS, never below the newest signed time; None while nobody told it.

    `answered`: the platform has acknowledged something that was sent in this life of the agent.
    """

    now_ms: int | None
    answered: bool


@dataclass(frozen=True, slots=True)
class Verified:
    """A command whose signature is good; whether it may be done is another question."""

    command: Command
    key: RingKey
    message: bytes


def verify(message: bytes, ring: Keyring | None, *, retained: bool) -> Verified:
    """The command, signed by a command key of `ring`; raises `NotAllowed` for anything else."""
    if retained:
        raise NotAllowed("retained", "a broker that keeps a command would give it to us again and again")
    if ring is None:
        raise NotAllowed("key", "no keyring has come yet")
    if len(message) > MAX_MESSAGE:
        raise NotAllowed("format", f"{len(message)} bytes are no command")
    try:
        envelope = cose.read(message)
        key = command_key(ring, envelope.kid)
        return Verified(Command.read(envelope, key), key, message)
    except SignatureError as error:
        raise NotAllowed("signature", str(error)) from error
    except BatchFormatError as error:
        raise NotAllowed("format", str(error)) from error


def command_key(ring: Keyring, kid: bytes) -> RingKey:
    """The key that commands by this id; raises `NotAllowed` (`role`, `key`)."""
    try:
        return ring.find(kid, "command", 0)
    except NotAllowed:
        others = [key for key in ring.keys if key.public.kid == kid]
        if others:
            raise NotAllowed("role", f"{others[0].name} may {others[0].role}, not command") from None
        raise


def authorise(verified: Verified, here: Here, moment: Moment) -> None:
    """Raise `NotAllowed` unless it is meant for us, now, and its key may ask for all of it."""
    admit(verified.command, verified.key, here, moment)


class Signed(Protocol):
    """What somebody has signed for one gateway, to be taken between two moments."""

    @property
    def gateway(self) -> str: ...
    @property
    def stream(self) -> bytes: ...
    @property
    def issued_ms(self) -> int: ...
    @property
    def expires_ms(self) -> int: ...


class Addressed(Signed, Protocol):
    """The same about `points`."""

    @property
    def points(self) -> tuple[str, ...]: ...


def admit(command: Addressed, key: RingKey, here: Here, moment: Moment) -> None:
    """The same for anything that is signed by a command key."""
    meant(command, key, here, moment)
    for point in command.points:
        if not key.covers(here.site, here.gateway, *point.split("/")):
            raise NotAllowed("scope", f"{key.name} may not command {point}")


def leaves_room(number: int, moment: Moment) -> bool:
    """Whether others can still go on counting: from 1, by the date or by the time in ms."""
    return number <= (moment.now_ms or 0) + AHEAD_MS


def meant(signed: Signed, key: RingKey, here: Here, moment: Moment) -> None:
    """Raise `NotAllowed` unless it is meant for us, now, and its key has not ended."""
    if signed.gateway != here.gateway:
        raise NotAllowed("addressee", f"it is for {signed.gateway}")
    if signed.stream != here.stream:
        raise NotAllowed("stream", f"it is for stream {signed.stream.hex()} of this gateway, which has another now")
    if not moment.answered:
        raise NotAllowed("waiting", "the platform has acknowledged nothing since the agent was started")
    if moment.now_ms is None:
        raise NotAllowed("clock", "nobody has told the time yet, so nobody knows whether it has expired")
    if moment.now_ms >= signed.expires_ms:
        raise NotAllowed("expired", f"it expired {(moment.now_ms - signed.expires_ms) / 1000:.1f} s ago")
    if signed.issued_ms > moment.now_ms + EARLY_MS:
        raise NotAllowed("early", f"it was issued {(signed.issued_ms - moment.now_ms) / 1000:.1f} s from now")
    if moment.now_ms >= key.ends_ms:
        raise NotAllowed("key", f"the key of {key.name} has ended")
