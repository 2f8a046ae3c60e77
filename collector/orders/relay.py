"""Relaying what was signed elsewhere: recorded first, then handed to the broker, then noted as taken."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from buffer.keyring import Keyring
from buffer.keys import PublicKey
from collector.broker import Address
from collector.identity import keyrings
from collector.orders import commands, configurations
from collector.orders.commands import Signed
from collector.orders.publish import Publisher
from collector.tables.database import Database


def keyring(
    database: Database, address: Address, message: bytes, ring: Keyring, authority: PublicKey, gateways: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Send a keyring to gateways, retained; yield a row each. Raises KeyringFault, UnknownGateway or BrokerError."""
    topics = {gateway: _topic(database, address, gateway) for gateway in gateways}
    keyrings.keep(database, message, ring, authority, gateways)
    with Publisher(address) as publisher:
        for gateway, topic in topics.items():
            listening = publisher.publish(topic, message, retain=True)
            keyrings.note_relayed(database, ring, authority, gateway, _now_ms())
            yield {"gateway": gateway, "number": ring.number, "topic": topic, "listening": listening}


def command(database: Database, address: Address, signed: Signed) -> dict[str, Any]:
    """Send a command, never retained; return its row. Raises CommandFault or BrokerError."""
    topic = _topic(database, address, signed.command.gateway)
    commands.enter(database, signed, _now_ms())
    with Publisher(address) as publisher:
        listening = publisher.publish(topic, signed.message)
    commands.note_relayed(database, signed.command, _now_ms())
    return {**signed.row, "topic": topic, "listening": listening}


def configuration(database: Database, address: Address, signed: configurations.Signed) -> dict[str, Any]:
    """Send a configuration, never retained; return its row. Raises BrokerError."""
    made = signed.configuration
    topic = _topic(database, address, made.gateway)
    with Publisher(address) as publisher:
        listening = publisher.publish(topic, signed.message)
    row = {**configurations.describe(made), "kid": signed.key.public.kid.hex(), "name": signed.key.name}
    return {**row, "topic": topic, "listening": listening}


def _topic(database: Database, address: Address, gateway: str) -> str:
    return f"{address.root}/v1/{keyrings.site_of(database, gateway)}/{gateway}/command"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
