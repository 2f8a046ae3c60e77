"""What becomes of a damaged store: those set aside are salvaged in the background, a running one ends this life."""

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from buffer.errors import StoreCorrupt, StoreError
from buffer.salvage_report import Report
from buffer.spool import Salvaged, Spool
from buffer.store import Store
from buffer.thread import StoreThread

log = logging.getLogger(__name__)


class Mender:
    """Salvages by a process of its own: neither sampling nor sending waits for it."""

    def __init__(self, thread: StoreThread, spool: Spool | None, path: Path, gateway: str, key: Path) -> None:
        self._thread = thread
        self._spool = spool
        self._path = path
        self._arguments = (gateway, str(key))
        self._damage: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_salvaged: Callable[[list[int]], None] = lambda _: None
        self.state: list[Salvaged] = []

    def damaged(self, error: StoreCorrupt) -> None:
        """The store that is in use turned out to be damaged: `run` raises it."""
        if not self._damage.done():
            self._damage.set_exception(error)

    async def run(self) -> None:
        """Salvage what is set aside, then wait; raises `StoreCorrupt` when the store in use is damaged."""
        if self._spool is not None:
            await self._salvage(self._spool)
        await self._damage

    async def refresh(self) -> list[Salvaged]:
        """How it stands with the files set aside; what was last known when the disk does not say."""
        if (spool := self._spool) is not None:
            with suppress(StoreError):
                self.state = await self._thread.call(lambda _: spool.state())
        return self.state

    async def _salvage(self, spool: Spool) -> None:
        for file in await self.refresh():
            if not file.done:
                await self._salvage_one(spool, self._path.with_name(file.name))

    async def _salvage_one(self, spool: Spool, aside: Path) -> None:
        report = await self._read(aside)
        if report is None:
            return

        def noted(store: Store) -> None:
            for entry in report.lost:
                store.note(entry)
            spool.done(aside.name, report.samples, report.lost_samples)

        await self._thread.call(noted)
        told = (aside.name, report.batches, report.samples, report.lost_samples)
        log.warning("buffer: salvaged from %s: %d batches, %d samples; known to be lost: %d", *told)
        self.on_salvaged([held.number for held in await self._thread.call(lambda _: spool.held())])

    async def _read(self, aside: Path) -> Report | None:
        """What the process found; None, and one line in the log, when it failed: the next life tries again."""
        command = [sys.executable, "-m", "buffer.salvage", str(self._path), str(aside), *self._arguments]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        try:
            found, errors = await process.communicate()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if process.returncode:
            log.error("buffer: %s is not salvaged: %s", aside.name, errors.decode(errors="replace").strip()[-500:])
            return None
        return Report.loads(found)
