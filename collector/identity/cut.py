"""Ends a gateway's live session at the broker, so that a revoked certificate is asked for at once."""

import aiomqtt

from collector.broker import TIMEOUT_SECONDS, VERSIONS, Address
from collector.errors import BrokerError


def identifiers(gateway: str) -> tuple[str, ...]:
    """What a gateway's session is called: by itself, and where the broker takes the certificate's name for it."""
    return f"lamppost-{gateway}", gateway


async def cut(address: Address, gateway: str) -> None:
    """Connect as the gateway's client id: the broker ends the session that has it (MQTT 3.1.1, 3.1.4-2).

    Raises BrokerError. The broker must refuse the certificate by then, or the gateway is back within seconds.
    """
    context = address.tls_context() if address.broker.tls else None
    version = VERSIONS["3.1.1" if address.version == "auto" else address.version]  # every broker speaks it
    for identifier in identifiers(gateway):
        try:
            async with aiomqtt.Client(
                address.broker.host,
                address.broker.port,
                identifier=identifier,
                protocol=version,
                username=address.username,
                password=address.password,
                timeout=TIMEOUT_SECONDS,
                tls_context=context,
            ):
                pass
        except aiomqtt.MqttError as error:
            raise BrokerError(f"{address.broker.url}: {error}") from error
