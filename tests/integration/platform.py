"""The platform's word: authority, keyring, operator's commands, published on a real broker."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import aiomqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer.command import Command, Wanted, Write, new_number
from buffer.configuration import Configuration
from buffer.keyring import Keyring, RingKey
from buffer.keys import SigningKey
from tests.integration.harness import GATEWAY, SITE, Rig

LIFE_MS = 60_000


def new_key() -> SigningKey:
    """A key that lies in no file."""
    return SigningKey(Ed25519PrivateKey.generate())


def raw(key: SigningKey) -> bytes:
    """Its public half."""
    return key.public("", "", "command").raw


def now_ms() -> int:
    """The wall clock of this machine, ms since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass
class Platform:
    """One operator who may command everything, unless the keyring is made otherwise."""

    rig: Rig
    authority: SigningKey = field(default_factory=new_key)
    operator: SigningKey = field(default_factory=new_key)
    collector: SigningKey = field(default_factory=new_key)
    configurer: SigningKey = field(default_factory=new_key)

    def pin(self) -> None:
        """Have the gateway pin the authority. Blocks."""
        self.collector = SigningKey.load(self.rig.folder / "platform.key")
        (self.rig.folder / "authority.json").write_text(self.authority.public("", "", "authority").to_json())

    def ring(self, number: int = 1, more: Sequence[RingKey] = ()) -> bytes:
        """A keyring with the collector's key and the operator's."""
        keys = (
            RingKey("collector", "acknowledge", raw(self.collector)),
            RingKey("anna", "command", raw(self.operator)),
            RingKey("cleo", "configure", raw(self.configurer)),
        )
        return Keyring(number, now_ms(), (*keys, *more)).sign(self.authority)

    def command(
        self, *writes: tuple[str, Wanted | int], stream: bytes, number: int = 0, life_ms: int = LIFE_MS,
        gateway: str = GATEWAY, issued: int = 0, key: SigningKey | None = None, dry_run: bool = False,
    ) -> bytes:  # fmt: skip
        """A signed command."""
        began = issued or now_ms()
        wanted = tuple(Write(point, Decimal(value) if type(value) is int else value) for point, value in writes)  # type: ignore[arg-type]
        made = Command(
            gateway, stream, number or new_number(), began, began + life_ms, wanted, "anna", "a test", dry_run
        )
        return made.sign(key or self.operator)

    def configuration(
        self, *texts: tuple[str, str], base: str, stream: bytes, number: int, gateway: str = GATEWAY,
        issued: int = 0, life_ms: int = LIFE_MS, key: SigningKey | None = None,
    ) -> bytes:  # fmt: skip
        """A signed configuration."""
        began = issued or now_ms()
        made = Configuration(
            gateway, stream, number, began, began + life_ms, bytes.fromhex(base), texts, "cleo", "a test"
        )
        return made.sign(key or self.configurer)

    async def publish(self, *messages: bytes, retain: bool = False) -> None:
        """To the gateway's topic; returns when the broker has them."""
        async with aiomqtt.Client("127.0.0.1", self.rig.broker.port) as client:
            for message in messages:
                await client.publish(f"lamppost/v1/{SITE}/{GATEWAY}/command", message, qos=1, retain=retain)

    async def ready(self, number: int = 1) -> bytes:
        """Publish the keyring, retained, and wait until commands are taken; the stream to name in them."""
        await self.publish(self.ring(number), retain=True)

        def taken() -> bytes | None:
            status = self.rig.status()
            ready = status["commands"]["open"] and status["commands"]["keyring"] is not None
            return bytes.fromhex(status["buffer"]["stream"]) if ready else None

        return await self.rig.until(taken, "commands are taken") or b""
