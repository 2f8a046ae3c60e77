"""The daemon: composes the parts and supervises them. The one module that sees everything."""

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from buffer.ack import Ack
from buffer.ack import read as read_ack
from buffer.catalogue import SeriesDefinition
from buffer.errors import StoreCorrupt, StoreError
from buffer.header import Clock
from buffer.keys import PublicKey
from buffer.opening import open_store
from buffer.resend import Resend
from buffer.spool import Spool
from buffer.store import Store
from buffer.thread import StoreThread
from config import Config, ConfigError
from gateway.clock import AgentClock, boot_id
from gateway.commands.office import Office
from gateway.commands.pushed import State
from gateway.commands.schedules import Site
from gateway.control.replaced import Replacements
from gateway.control.replaced import beside as replacements_beside
from gateway.control.server import ControlServer
from gateway.control.sockets import control_socket, status_socket
from gateway.control.verbs import Verbs
from gateway.doctor.prints import prints
from gateway.errors import GatewayError
from gateway.identity import board
from gateway.keeping import series
from gateway.keeping.keeper import Keeper
from gateway.keeping.mender import Mender
from gateway.keeping.outbox import StoreOutbox
from gateway.keeping.recorder import Recorder
from gateway.keeping.stored import StoreView
from gateway.latest import Latest
from gateway.polling.bus import BusTask
from gateway.polling.buses import Buses
from gateway.polling.poller import bus_task
from gateway.polling.quirks import Quirks, beside
from gateway.reporting import system
from gateway.reporting.lamp import shine
from gateway.reporting.lately import Lately
from gateway.reporting.led import Led
from gateway.reporting.notify import notify, watchdog_interval
from gateway.setup.choice import Choice
from gateway.setup.installation import Installation, Keys
from gateway.setup.reload import Reloader
from gateway.uplink.meter import Meter
from gateway.uplink.transport import Connector, Message
from gateway.uplink.uplink import UplinkTask

log = logging.getLogger(__name__)

BATCH_MS = 10_000
"""How often batches are sealed when no uplink says otherwise."""
STOP_S = 4.0
"""SIGTERM to exit takes at most 5 s; the disk gets the last word within this."""
CLOSE_S = 0.5
STUCK_MS = 60_000
"""A part that made no progress for this long is stuck: a driver's longest call is bounded well below it."""
DISK_STUCK_MS = 300_000
"""A bad card may stall for half a minute and more; restarting does not cure it."""


class Agent:
    """One life of the daemon."""

    def __init__(self, installation: Installation, keys: Keys, run_dir: Path, choice: Choice | None = None) -> None:
        self.choice = choice or Choice(installation, installation.config.fingerprint, State())
        self.config: Config = self.choice.installation.config
        self.wrong = installation.wrong
        self.prints = prints(self.config)
        self.drivers = self.choice.installation.drivers
        self.keys = keys
        self.run_dir = run_dir
        self.stopping = asyncio.Event()
        self.sockets: list[ControlServer] = []
        self.spool: Spool | None = None
        self._reloads = Latest(self._reload)
        self.lately = Lately()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; everything taken by then is committed. Raises what cannot be lived with."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        self.lately.start()
        await self._open()
        loop.add_signal_handler(signal.SIGHUP, self._reloads.wish)
        tasks = [asyncio.ensure_future(work) for work in self._work()]
        stop: asyncio.Future[object] = asyncio.ensure_future(self.stopping.wait())
        try:
            await self._start_control()
            notify("READY=1")
            log.info("running: %d buses, %d points", len(self.buses), len(self.points))
            await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            notify("STOPPING=1")
            await self._close(tasks)
            self.lately.stop()
            stop.cancel()
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        if not self.stopping.is_set():
            raise GatewayError("a part of the agent ended by itself")

    async def _open(self) -> None:
        boot = await asyncio.to_thread(boot_id)
        wanted = series.definitions(self.drivers) | system.definitions()
        try:
            held, floor, numbers = await self._start_store(boot, list(wanted.values()))
        except StoreCorrupt as error:  # found behind the first look: the second try has a new file
            log.critical("buffer: %s; set aside as %s", error, await self._set_aside())
            held, floor, numbers = await self._start_store(boot, list(wanted.values()))
        self.clock = AgentClock(boot, held=held, floor_ms=floor)
        self.points = {p.point.id: p.point for d in self.drivers for dev in d.setup.devices for p in dev.points}
        recorded = self.points | system.points()
        self.series = series.compile_series(recorded, dict(zip(wanted, numbers, strict=True)))
        self.recorder = Recorder(self.clock.now, self.series, recorded)
        self.quirks = Quirks(beside(self.config.buffer.path), self.drivers)
        await asyncio.to_thread(self.quirks.load)
        for driver in self.drivers:
            driver.remember(self.quirks)
        buses = [bus_task(driver, self.recorder, self.clock.now, n) for n, driver in enumerate(self.drivers)]
        self.running = Buses(buses)
        self.keeper = self._keeper()
        self.mender = self._mender()
        self.view = StoreView(self.store, self.config.buffer.path, self.clock, self.keeper.disk)
        await self.store.call(self.view.start)
        self.keeper.hourly = self.view.keep
        self.office = Office(self.store, self.keeper, self.recorder, self.clock, self.buses, self.config.buffer.path)
        gateway = self.config.gateway
        where = Site(gateway.timezone, gateway.location)
        await self.office.open(gateway.id, gateway.site, self.keys.authority, where)
        self.configurations = self.office.configurations(Reloader(self), self.choice)
        path = replacements_beside(self.config.buffer.path)
        self.replaced = Replacements(path, self.points, self.recorder, self.keeper, self.clock)
        self.uplink = self._uplink()
        self._wire()
        await self.replaced.open()

    @property
    def buses(self) -> list[BusTask]:
        """The tasks of the buses that there are now."""
        return self.running.tasks

    async def _start_store(self, boot: bytes, wanted: list[SeriesDefinition]) -> tuple[Clock | None, int, list[int]]:
        """Open the store; the clock and the time it remembers, and the numbers of the series."""
        self.store = StoreThread(lambda: self._open_store(boot))
        await self.store.start()
        return await self.store.call(lambda store: (store.boot_clock, store.floor_ms, store.assign(wanted)))

    async def _set_aside(self) -> Path:
        """Give up the store that is open, and the spool with it."""
        await self._close_spool()
        return await self.store.set_aside()

    async def _close_spool(self) -> None:
        spool, self.spool = self.spool, None
        if spool is not None:
            await self.store.call(lambda _: spool.close())

    def _open_store(self, boot: bytes) -> Store:
        buffer = self.config.buffer
        opened = open_store(
            buffer.path, self.config.gateway.id, self.keys.signing, boot,
            size_limit=buffer.size, keep_free=buffer.keep_free, board=board.read(),
        )  # fmt: skip
        self.spool = opened.spool
        return opened.store

    def _mender(self) -> Mender:
        gateway = self.config.gateway
        return Mender(self.store, self.spool, self.config.buffer.path, gateway.id, gateway.key)

    def _keeper(self) -> Keeper:
        buffer, uplink = self.config.buffer, self.config.uplink
        return Keeper(
            self.store,
            self.recorder,
            self.clock,
            commit_ms=buffer.commit,
            batch_ms=uplink.batch if uplink is not None else BATCH_MS,
            history_ms=buffer.history,
        )

    def _uplink(self) -> UplinkTask | None:
        uplink, gateway = self.config.uplink, self.config.gateway
        if uplink is None:
            return None
        outbox = StoreOutbox(self.store, self.clock, self.spool, self.mender.damaged)
        prefix = f"{uplink.root}/v1/{gateway.site}/{gateway.id}"
        task = UplinkTask(
            Connector(uplink, f"lamppost-{gateway.id}", self.clock),
            outbox,
            self.clock,
            Meter(uplink.budget, uplink.quiet, gateway.timezone),
            prefix=prefix,
            gateway=gateway.id,
            believe=self._believe(),
        )
        if uplink.format != "lamppost":
            from gateway.northbound.outlet import outlet  # few need another platform's words

            site, name = gateway.site, gateway.id
            task.outlet = outlet(uplink.format, prefix=prefix, site=site, gateway=name, shelf=outbox, clock=self.clock)
        return task

    def _believe(self) -> Callable[[bytes], Ack] | None:
        """What verifies acknowledgements; None when the broker's word counts."""
        return None if self.keys.authority is None else lambda message: read_ack(message, self._acknowledger(message))

    def _acknowledger(self, message: bytes) -> PublicKey:
        """Who may acknowledge: the pinned key, or the one of the keyring that it signs."""
        key = self.keys.authority
        return self.office.acknowledger(message) if key is None or self.office.ring is not None else key

    def _wire(self) -> None:
        """Connect the parts that do not know each other."""
        self.recorder.on_heard, self.recorder.on_failed = self.running.heard, self.running.failed
        self.recorder.on_time = self.clock.receiver_time
        self.recorder.on_critical, self.recorder.on_large = self.keeper.critical, self.keeper.large
        self.recorder.on_packed = self.keeper.packed
        if self.uplink is not None:
            self.keeper.on_sealed, self.keeper.stretch = self.uplink.sealed, self.uplink.interval
            self.uplink.on_connected = self._connected
            self.keeper.on_catalogue = self.uplink.named
            self.uplink.on_acknowledged = self._acknowledged
            self.uplink.facts = lambda: {"configuration": self.config.fingerprint}
            if self.office.ring is not None:
                self.uplink.on_command = self._received
            if self.keys.authority is not None:
                self.uplink.believe_request = lambda message: Resend.read(message, self._acknowledger(message))
            self.mender.on_salvaged = self.uplink.salvaged

    def _connected(self) -> None:
        """Have the platform answer something new, where we want to know the time, or that it is there."""
        if self.office.ring is not None and not self.office.desk.answered:
            self.keeper.ask_answer()
        else:
            self.keeper.ask_time()

    def _acknowledged(self, ack: Ack, fresh: bool) -> None:
        self.office.acknowledged(ack, fresh=fresh)
        if fresh:
            self.configurations.acknowledged()

    def _received(self, message: Message) -> None:
        if not self.configurations.received(message):
            self.office.desk.received(message)

    async def _reload(self) -> None:
        """SIGHUP: read the files again; what is wrong with them is in the log, and what runs runs on."""
        try:
            await self.configurations.reload()
        except (ConfigError, GatewayError, StoreError, OSError) as error:
            log.error("not reloaded, what ran runs on: %s", error)

    def _work(self) -> list[asyncio.Future[object]]:
        work = [self.running.run(), self.keeper.run(), self.mender.run(), self.quirks.run(), self.office.run()]
        work.append(self.configurations.run())
        if self.uplink is not None:
            work.append(self.uplink.run())
        if self.config.gateway.led is not None:
            work.append(shine(self, Led(self.config.gateway.led)))
        if (seconds := watchdog_interval()) is not None:
            work.append(self._watch(seconds))
        return [asyncio.ensure_future(w) for w in work]

    async def _start_control(self) -> None:
        verbs = Verbs(self)
        self.sockets = [
            ControlServer(status_socket(self.run_dir), verbs.view),
            ControlServer(control_socket(self.run_dir), verbs.operate),
        ]
        for server in self.sockets:
            await server.start()

    async def _watch(self, seconds: float) -> None:
        """Feed the watchdog only while every part makes progress."""
        while True:
            stuck = self.stuck()
            if stuck:
                log.critical("no progress: %s; the watchdog is not fed", ", ".join(stuck))
            else:
                notify("WATCHDOG=1")
            await asyncio.sleep(seconds)

    def stuck(self) -> list[str]:
        """The parts that have made no progress for too long."""
        now = self.clock.now()
        parts = [(f"bus {bus.bus.id}", bus.progress_at, STUCK_MS) for bus in self.buses]
        parts.append(("buffer", self.keeper.progress_at, DISK_STUCK_MS))
        if self.uplink is not None:
            parts.append(("uplink", self.uplink.progress_at, DISK_STUCK_MS))
        return [name for name, at, limit in parts if now - at > limit]

    async def _close(self, tasks: list[asyncio.Future[object]]) -> None:
        """Stop asking, commit and seal everything, close the store."""
        deadline = asyncio.get_running_loop().time() + STOP_S
        for task in tasks:
            task.cancel()
        ends: list[asyncio.Future[object]] = [asyncio.ensure_future(server.stop()) for server in self.sockets]
        await asyncio.wait([*tasks, *ends], timeout=STOP_S / 2)
        self.recorder.finish()
        if any(_is_damage(task) for task in tasks):
            await self._give_up_store()
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self.keeper.flush()
                await self.store.call(self.view.keep)
                if self.uplink is not None:
                    await self.uplink.keep()
        except (StoreError, TimeoutError) as error:
            log.critical("buffer: the last samples are not committed: %s", error)
        await self._close_store()
        log.info("stopped: %d samples committed in this life", self.keeper.counts.committed)

    async def _give_up_store(self) -> None:
        """Set a damaged file aside: the next life finds none, begins a new one and salvages this."""
        try:
            async with asyncio.timeout(CLOSE_S):
                log.critical("buffer: the store is damaged; set aside as %s", await self._set_aside())
        except (StoreError, TimeoutError) as error:
            log.critical("buffer: not set aside: %s", error)

    async def _close_store(self) -> None:
        """Give the file up, marked as stopped cleanly when everything is in it."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._close_spool()
                await self.store.close(clean=not self.keeper.waiting)
        except (StoreError, TimeoutError) as error:
            log.critical("buffer: not closed: %s", error)


def _is_damage(task: "asyncio.Future[object]") -> bool:
    """Whether a part of the agent ended because the store is damaged."""
    error = None if not task.done() or task.cancelled() else task.exception()
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(StoreCorrupt) is not None
    return isinstance(error, StoreCorrupt)
