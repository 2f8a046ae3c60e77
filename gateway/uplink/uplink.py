"""The uplink task: keeps a link to a broker, sends what the session says, and takes acknowledgements."""

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from buffer.ack import Ack
from buffer.cose import Kind
from buffer.errors import BufferFault, StoreCorrupt, StoreError, UnknownBatch
from buffer.header import ClockState, Priority
from buffer.resend import MAX_RESEND_BYTES, Resend
from buffer.store import Held
from gateway import VERSION
from gateway.clock import AgentClock
from gateway.errors import LinkError, PublishRefused
from gateway.events import wait_for_event
from gateway.polling.backoff import Backoff
from gateway.uplink.client import Wire
from gateway.uplink.meter import Meter
from gateway.uplink.outbox import Outbox
from gateway.uplink.refill import PAGE, Refill
from gateway.uplink.session import Rank, Session
from gateway.uplink.sizes import SUSPECT_AFTER, Sizes
from gateway.uplink.transport import Connector, Link, Message, Will

if TYPE_CHECKING:
    from gateway.northbound.outlet import Outlet

log = logging.getLogger(__name__)

RECONNECT_FIRST_S = 0.5
RECONNECT_MAX_S = 30.0
FAREWELL_S = 0.5
TEND_S = 1.0
"""How often the link is looked at: whether somebody is there, what it has carried."""
SETTLED_S = 10.0
"""A link that lasts so long is a good one: the next try after it comes at once."""
ACK_MAX_BYTES = 64 * 1024
"""An acknowledgement is under a hundred bytes; ranges of a torn backlog make it longer, never this long."""


@dataclass(slots=True)
class LinkState:
    """What status says of the link. Times are boot ms."""

    up: bool = False
    broker: str = ""
    since: int = 0
    error: str = ""
    connections: int = 0
    sent: int = 0
    sent_bytes: int = 0
    sent_samples: int = 0
    wire: Wire = field(default_factory=Wire)
    refusal: str = ""
    """Why the broker did not take the last message, where it says so (MQTT 5)."""
    acknowledged: int = 0
    last_ack_at: int | None = None
    bad_acks: int = 0


class UplinkTask:
    """Owns the link for the life of the agent."""

    def __init__(
        self, connector: Connector, outbox: Outbox, clock: AgentClock, meter: Meter, *, prefix: str, gateway: str,
        believe: Callable[[bytes], Ack] | None,
    ) -> None:  # fmt: skip
        self._connector = connector
        self._outbox = outbox
        self._clock = clock
        self._prefix = prefix
        self._gateway = gateway
        self._believe = believe
        """Verifies an acknowledgement; None: the broker's PUBACK counts as delivered."""
        self.session = Session()
        self.refill = Refill()
        self.meter = meter
        self._carried = Wire()
        self.state = LinkState(since=clock.now())
        self.progress_at = clock.now()
        self._wake = asyncio.Event()
        self._sizes = Sizes()
        self.on_connected: Callable[[], None] = lambda: None
        self.on_acknowledged: Callable[[Ack, bool], None] = lambda _ack, _fresh: None
        """Told of each acknowledgement of this store, and whether it answers what was sent once, in this life."""
        self.on_command: Callable[[Message], None] | None = None
        """Takes what arrives on the topic `command`; None: nobody asks for it."""
        self.outlet: Outlet | None = None
        """Says batches in another platform's words; None: they go as they are signed."""
        self.believe_request: Callable[[bytes], Resend] | None = None
        """Verifies the platform's request for delivered batches, which comes where acknowledgements do."""

        self.facts: Callable[[], dict[str, str | int | None]] = dict
        """What the status says beside."""

    @property
    def connector(self) -> Connector:
        """What makes the links."""
        return self._connector

    @property
    def only_critical(self) -> bool:
        """Whether the budget or the hour lets nothing else through."""
        return self.meter.metered and self.meter.only_critical(self._clock.now(), self._utc_ms())

    def interval(self, batch_ms: int) -> int:
        """How long the next batch is, in ms, where `batch_ms` is configured."""
        return self.meter.interval(batch_ms, self._clock.now(), self._utc_ms())

    async def run(self) -> None:
        """Connect, serve, and connect again, until cancelled."""
        self.meter.begin(await self._outbox.usage())
        async for page in self._outbox.held():
            self.session.hold(((batch.number, _rank(batch)) for batch in page), doubtful=True)
        backoff = Backoff(RECONNECT_FIRST_S, RECONNECT_MAX_S)
        while True:
            try:
                async with self._connector.link(self._will()) as link:
                    await self._converse(link, backoff)
            except LinkError as error:
                self._down(str(error))
            self.progress_at = self._clock.now()
            await asyncio.sleep(backoff.next())

    async def keep(self) -> None:
        """Have the store remember what the link has carried; raises `StoreError`."""
        usage = self.meter.usage
        await self._outbox.keep(usage)
        self.meter.kept(usage)

    def sealed(self, numbers: Sequence[int], critical: Collection[int] = ()) -> None:
        """Batches were sealed, `critical` among them: send them when there is a link."""
        self.session.hold((number, Rank.CRITICAL if number in critical else Rank.COMMON) for number in numbers)
        self._wake.set()

    def named(self, number: int) -> None:
        """A catalogue was sealed: what follows cannot be read without it."""
        self.session.hold([(number, Rank.CATALOGUE)])
        self._wake.set()

    def salvaged(self, numbers: Sequence[int]) -> None:
        """Batches of a damaged store were salvaged, which may have been sent before."""
        self.session.hold(((number, Rank.COMMON) for number in numbers), doubtful=True)
        self._wake.set()

    async def _converse(self, link: Link, backoff: Backoff) -> None:
        try:
            await self._serve(link, backoff)
        except asyncio.CancelledError:
            await self._farewell(link)
            raise

    async def _serve(self, link: Link, backoff: Backoff) -> None:
        self._carried = Wire()
        if self._believe is not None:
            await link.subscribe(self._topic("ack"))
        if self.on_command is not None:
            await link.subscribe(self._topic("command"))
        with suppress(PublishRefused):  # nobody depends on it
            await link.publish(self._topic("status"), self._status(online=True), retain=True)
        if self.outlet is not None:
            await self.outlet.open(link)
        self._up()
        self.session.connected()
        self.on_connected()
        settled = asyncio.get_running_loop().call_later(SETTLED_S, backoff.reset)
        lost: ExceptionGroup | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(link))
                group.create_task(self._send(link, group))
                group.create_task(self._tend(link))
        except* (LinkError, StoreError) as errors:
            lost = errors  # raised here, CPython 3.11.2 would wrap it in a group once more
        finally:
            settled.cancel()
            self.session.disconnected()
            self.refill.cut()
            self._count(link)
        if lost is not None:
            if await self._broke():
                backoff.reset()
            raise LinkError(str(lost.exceptions[0])) from lost

    async def _farewell(self, link: Link) -> None:
        """Say that we go, as the last will would; a broker that does not take it in time learns it by our silence."""
        with suppress(LinkError, PublishRefused, TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                if self.outlet is not None:
                    await self.outlet.close(link)
                await link.publish(self._topic("status"), self._status(online=False), retain=True)

    async def _send(self, link: Link, group: asyncio.TaskGroup) -> None:
        while True:
            now = self._clock.now()
            self.progress_at = now
            number = self.session.next(now, critical_only=self.only_critical)
            if number is None and not self.only_critical:
                number = await self._from_history(now)
            if number is not None:
                group.create_task(self._send_one(link, number))
                continue
            self._wake.clear()
            due = self.session.next_due()
            wait = 1.0 if due is None else min(max(due - now, 0) / 1000, 1.0)
            await wait_for_event(self._wake, wait)

    async def _tend(self, link: Link) -> None:
        """Leave a link on which nobody is, and one that a better can replace; count what it carries."""
        while True:
            await asyncio.sleep(TEND_S)
            self._count(link)
            if self.meter.unkept:
                await self.keep()
            if link.silent():
                raise LinkError("the broker is silent: nothing came for one and a half keepalives")
            if await self._connector.better():
                raise LinkError(f"left for {self._connector.broker.url}")

    def _count(self, link: Link) -> None:
        wire = link.wire()
        new, self._carried = wire - self._carried, wire
        self.state.wire += new
        self.meter.add(new.metered, self._clock.now(), self._utc_ms())

    async def _send_one(self, link: Link, number: int) -> None:
        try:
            data, samples = await self._outbox.message(number, self.session.flying)
        except UnknownBatch:  # acknowledged and dropped meanwhile
            self.session.release([number])
            return
        except StoreCorrupt as error:  # the others must not wait for it
            log.error("buffer: batch %d is not sent: %s", number, error)
            self.session.release([number])
            return
        if self.outlet is not None:
            await self._tell(self.outlet, link, number, data, samples)
        elif await self._fits(link, number, len(data)):
            await self._publish(link, number, data, samples)

    async def _tell(self, outlet: "Outlet", link: Link, number: int, data: bytes, samples: int) -> None:
        """Say a batch in other words; it is delivered when the broker has all of them, and else tried again."""
        try:
            await outlet.send(link, data)
        except PublishRefused as error:
            self._refused(error)
            return
        except (BufferFault, ValueError) as error:
            await self._outbox.refuse(number, str(error))
            self.session.release([number])
            return
        self.state.refusal = ""
        self.state.sent += 1
        self.state.sent_bytes += len(data)
        self.state.sent_samples += samples
        await self._outbox.acknowledge_numbers([number])
        self._released([number])

    async def _fits(self, link: Link, number: int, size: int) -> bool:
        """Whether the broker takes it, as far as is known; if not, others have taken its place or it is set aside."""
        room = link.room(self._topic("batch"))
        if room is not None and size > room:
            await self._too_large(number, room, f"too large for the broker, which takes {room} bytes")
            return False
        room = self._sizes.too_large(number, size, self._clock.now())
        return room is None or not await self._split(number, room)

    async def _publish(self, link: Link, number: int, data: bytes, samples: int) -> None:
        """Hand a batch over; one that the broker refuses is tried again, as one that nobody acknowledges."""
        self._sizes.handed(number, len(data))
        try:
            await link.publish(self._topic("batch"), data)
        except PublishRefused as error:
            self._refused(error)
            self._sizes.confirmed(number)
            return
        self.state.refusal = ""
        self._sizes.confirmed(number)
        self.state.sent += 1
        self.state.sent_bytes += len(data)
        self.state.sent_samples += samples
        if self._believe is None:
            await self._outbox.acknowledge_numbers([number])
            self._released([number])

    def _refused(self, error: PublishRefused) -> None:
        if not self.state.refusal:
            log.error("uplink: the broker does not take batches: %s", error)
        self.state.refusal = str(error)

    async def _too_large(self, number: int, room: int, reason: str) -> None:
        """Split a batch that the broker does not take, or set it aside: it must not hold up what is behind it."""
        if not await self._split(number, room):
            await self._outbox.refuse(number, reason)
            self.session.release([number])

    async def _split(self, number: int, room: int) -> bool:
        """Have batches of at most `room` bytes in the place of one; whether it is done with."""
        try:
            made = await self._outbox.split(number, room)
        except UnknownBatch:  # delivered, or another has taken its place meanwhile
            self.session.release([number])
            return True
        if made:
            log.warning("uplink: batch %d is too large for the broker: split into %d", number, len(made))
            self.sealed(made, made if self.session.rank(number) is Rank.CRITICAL else ())
            self.session.release([number])
        return bool(made)

    async def _broke(self) -> bool:
        """Do something about a batch that is the cause, when it seems to be one; whether it was."""
        found = self._sizes.broke(self._clock.now())
        if found is None:
            return False
        number, size, room = found
        try:
            await self._too_large(
                number, room, f"too large: the link broke {SUSPECT_AFTER} times with its {size} bytes"
            )
        except StoreError as error:  # told of by the store's own state; it is found out again
            log.error("uplink: batch %d is not split: %s", number, error)
        return True

    async def _receive(self, link: Link) -> None:
        async for message in link.messages():
            if self._believe is not None and message.topic == self._topic("ack"):
                if not await self._asked(message):
                    await self._answered(message, self._believe)
            elif self.on_command is not None and message.topic == self._topic("command"):
                self.on_command(message)
            elif self.outlet is not None:
                await self.outlet.received(link, message)
        raise LinkError("the broker ended the session")

    async def _from_history(self, now: int) -> int | None:
        """A batch that the platform asked for once more; it goes when nothing else does."""
        while (span := self.refill.span) is not None:
            self.refill.found(span, await self._outbox.history(*span, PAGE))
        return self.refill.next(now)

    async def _asked(self, message: Message) -> bool:
        """Whether it is a request for batches of the history, and verifies; it is taken when it is about this store."""
        if self.believe_request is None or message.retained or len(message.payload) > MAX_RESEND_BYTES:
            return False
        try:
            request = self.believe_request(message.payload)
        except BufferFault:
            return False  # an acknowledgement, or nothing that is believed: told of there
        here = request.gateway == self._gateway and request.stream == await self._outbox.stream()
        if here and self._clock.trusted_ms() < request.expires_ms and self.refill.ask(request):
            log.info("uplink: the platform asks for %d ranges of delivered batches", len(request.ranges))
            self._wake.set()
        return True

    async def _answered(self, message: Message, believe: Callable[[bytes], Ack]) -> None:
        ack = self._read(message, believe)
        if ack is None:
            return
        answers = await self._outbox.local(ack.stream, ack.answers)
        sent_at = None if answers is None else self.session.sent_at(answers)
        freed = await self._outbox.acknowledge(ack)
        if freed is None:
            return
        if sent_at is not None:
            self._clock.signed_time(ack.time, sent_at)
        self.on_acknowledged(ack, sent_at is not None)
        self.refill.answered(ack)
        self._released(freed)
        for named, reason in ack.refused:
            if (number := await self._outbox.local(ack.stream, named)) is not None:
                await self._outbox.refuse(number, reason)
                self.session.release([number])
        for number in await self._outbox.find(ack.want):
            self.session.again(number)
        self._wake.set()

    def _read(self, message: Message, believe: Callable[[bytes], Ack]) -> Ack | None:
        try:
            if message.retained or len(message.payload) > ACK_MAX_BYTES:
                raise ValueError("retained or too long")
            ack = believe(message.payload)
            if ack.gateway != self._gateway:
                raise ValueError(f"addressed to {ack.gateway!r}")
        except (BufferFault, ValueError) as error:
            if not self.state.bad_acks:
                log.error("uplink: an acknowledgement does not verify: %s", error)
            self.state.bad_acks += 1
            return None
        return ack

    def _released(self, numbers: Sequence[int]) -> None:
        self.session.release(numbers)
        self.state.acknowledged += len(numbers)
        self.state.last_ack_at = self._clock.now()
        self._wake.set()

    def _up(self) -> None:
        self.state.connections += 1
        self.state.broker = self._connector.broker.url
        log.info("uplink: connected to %s", self.state.broker)
        self.state.up, self.state.error, self.state.since = True, "", self._clock.now()

    def _down(self, error: str) -> None:
        if self.state.up or not self.state.error:
            log.warning("uplink: %s", error)
            self.state.since = self._clock.now()
        self.state.up, self.state.error = False, error

    def _will(self) -> Will:
        will = None if self.outlet is None else self.outlet.will()
        return will or Will(self._topic("status"), self._status(online=False))

    def _utc_ms(self) -> int | None:
        """The time, to count days by; None while nobody knows it."""
        return None if self._clock.estimate().state is ClockState.UNSET else self._clock.utc_ms()

    def _topic(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _status(self, *, online: bool) -> bytes:
        status = {"online": online, "version": VERSION, "boot": self._clock.boot.hex(), "time": self._clock.utc_ms()}
        return json.dumps(status | self.facts(), separators=(",", ":")).encode()


def _rank(batch: Held) -> Rank:
    if batch.kind is Kind.CATALOGUE:
        return Rank.CATALOGUE
    return Rank.CRITICAL if batch.priority is Priority.CRITICAL else Rank.COMMON
