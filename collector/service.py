"""`lamppost-collector run`: the broker's messages through one database thread, until SIGTERM."""

import asyncio
import logging
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from buffer.keys import SigningKey
from collector import metrics
from collector.broker import Address, Connection
from collector.errors import DatabaseBusy, UsageError
from collector.metrics import Metrics
from collector.notify import notify, watchdog_seconds
from collector.receiving.inbox import Inbox
from collector.receiving.receive import Receiver
from collector.tables.database import Database, Target

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.2
MAX_RETRY_SECONDS = 10.0
REPEAT_SECONDS = 3600.0  # a keyring that waits for a gateway is missing no longer; a kilobyte an hour for each
LOOK_SECONDS = 30.0  # what a collector that died had left to be decoded waits no longer, though nothing comes in
STOP_SECONDS = 1.0  # for the broker's farewell

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """What `run` needs."""

    database: Target
    key: Path
    address: Address
    metrics: tuple[str, int] | None = None
    """Host and port of `/metrics`, if it is wanted."""


def utc_ms() -> int:
    """The platform's clock, in ms since the epoch."""
    return time.time_ns() // 1_000_000


class Service:
    """Owns the database thread; the event loop never waits on the disk."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._inbox = Inbox(self._metrics)
        self._connection = Connection(settings.address, self._inbox.put)
        self._thread = ThreadPoolExecutor(1, "database")
        self._busy = False

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; raises what cannot be mended by waiting."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        page = None if self._settings.metrics is None else await self._tell(*self._settings.metrics)
        try:
            database, receiver = await self._call(self._open)
            try:
                await self._serve(stop, receiver)
            finally:
                await self._call(database.close)
        finally:
            if page is not None:
                page.close()
            self._thread.shutdown(wait=False)

    async def _tell(self, host: str, port: int) -> asyncio.Server:
        try:
            page = await metrics.serve(host, port, self._metrics, self._gauges)
        except OSError as error:
            raise UsageError(f"--metrics {host}:{port}: {error.strerror or error}") from error
        logger.info("metrics at http://%s:%d/metrics", *page.sockets[0].getsockname()[:2])
        return page

    def _gauges(self) -> dict[str, float]:
        return {
            "inbox_messages": self._inbox.messages,
            "inbox_bytes": self._inbox.bytes,
            "connected": self._connection.connected,
            "database_busy": self._busy,
        }

    async def _serve(self, stop: asyncio.Event, receiver: Receiver) -> None:
        notify("READY=1")
        ends = asyncio.create_task(stop.wait())
        connection = asyncio.create_task(self._connection.run())
        work = asyncio.create_task(self._work(receiver))
        watchdog = asyncio.create_task(self._feed_watchdog())
        repeating = asyncio.create_task(self._repeat(receiver))
        tasks = {ends, connection, work, watchdog, repeating}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        notify("STOPPING=1")
        receiver.stop()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for task in done:
            task.result()

    def _open(self) -> tuple[Database, Receiver]:
        key = SigningKey.load(self._settings.key)
        database = Database.open(self._settings.database)
        return database, Receiver(database, key, self._settings.address.root, utc_ms, self._metrics)

    async def _work(self, receiver: Receiver) -> None:
        """Store groups and answer them; between groups, decode what was waiting."""
        ready = True
        while True:
            if ready and self._inbox.empty:
                ready = await self._patiently(receiver.settle) > 0
                continue
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    group = await self._inbox.group()
            except TimeoutError:
                ready = True
                continue
            replies = await self._patiently(partial(receiver.take, group))
            await self._connection.publish(replies)
            ready = True

    async def _repeat(self, receiver: Receiver) -> None:
        """Retain the newest keyrings anew: another message may have taken their place at the broker."""
        while True:
            if not self._connection.connected:
                await asyncio.sleep(FIRST_RETRY_SECONDS)
                continue
            await self._connection.publish(await self._patiently(receiver.keyrings))
            await asyncio.sleep(REPEAT_SECONDS)

    async def _patiently(self, job: Callable[[], T]) -> T:
        """Do a job in the database thread, again and again while the disk is full or the database is locked."""
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                done = await self._call(job)
            except DatabaseBusy as error:
                if not self._busy:
                    logger.error("nothing can be stored, and nothing is acknowledged: %s", error)
                self._busy = True
            else:
                if self._busy:
                    logger.warning("storing goes on")
                self._busy = False
                return done
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, MAX_RETRY_SECONDS)

    async def _call(self, job: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    async def _feed_watchdog(self) -> None:
        """Tell the service manager that the database thread still takes jobs."""
        seconds = watchdog_seconds()
        if seconds is None:
            await asyncio.Event().wait()
            return
        while True:
            await self._call(lambda: None)
            notify("WATCHDOG=1")
            await asyncio.sleep(seconds)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    asyncio.run(Service(settings).run())
