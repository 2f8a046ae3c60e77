"""Batches in another platform's words over a link: in their order, delivered when the broker has every message."""

import asyncio
from typing import Literal

from gateway.clock import AgentClock
from gateway.errors import LinkError, PublishRefused
from gateway.northbound.form import Form, Publish
from gateway.northbound.node import SparkplugNode
from gateway.northbound.senml import SenmlForm
from gateway.northbound.translate import Catalogues, Translator
from gateway.uplink.transport import Link, Message, Will

FormatName = Literal["senml-json", "senml-cbor", "sparkplug-b"]


class Outlet:
    """Used by the uplink in the place of publishing batches themselves."""

    def __init__(self, translator: Translator) -> None:
        self._translator = translator
        self._form = translator.form
        self._order = asyncio.Lock()  # Sparkplug counts its messages: nothing may go in between

    def will(self) -> Will | None:
        """The last will of the next link, when the form has one."""
        will = self._form.will()
        return None if will is None else Will(will.topic, will.payload, retain=False)

    async def open(self, link: Link) -> None:
        """Say what goes first over a link; raises `LinkError`."""
        for topic in self._form.topics:
            await link.subscribe(topic)
        async with self._order:
            await _publish(link, self._form.greeting())

    async def send(self, link: Link, data: bytes) -> None:
        """Say a batch; raises `LinkError`, and `BufferFault` or `ValueError` when it cannot be said."""
        async with self._order:
            await _publish(link, await self._translator.messages(data))

    async def received(self, link: Link, message: Message) -> None:
        """Answer a host; raises `LinkError`."""
        if not message.retained:
            async with self._order:
                await _publish(link, self._form.received(message.topic, message.payload))

    async def close(self, link: Link) -> None:
        """Say what goes last; raises `LinkError`."""
        await _publish(link, self._form.farewell())


def outlet(name: FormatName, *, prefix: str, site: str, gateway: str, shelf: Catalogues, clock: AgentClock) -> Outlet:
    """The outlet of a configured format."""
    form: Form
    if name == "sparkplug-b":
        form = SparkplugNode(site, gateway, clock.utc_ms, clock.now)
    else:
        form = SenmlForm(prefix, gateway, "json" if name == "senml-json" else "cbor", clock.utc_ms)
    return Outlet(Translator(form, shelf, clock))


async def _publish(link: Link, messages: list[Publish]) -> None:
    for message in messages:
        try:
            await link.publish(message.topic, message.payload)
        except PublishRefused as error:  # what comes after it would not be understood: from the start, over a new link
            raise LinkError(f"publish: {error}") from error
