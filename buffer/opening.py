"""Open the store whatever became of its file: a damaged one is set aside, named in the ledger, and a new one begins."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from buffer import recovery
from buffer.errors import StoreCorrupt
from buffer.header import STREAM_BYTES, ClockState, LedgerEntry
from buffer.keys import SigningKey
from buffer.pages import Pages
from buffer.spool import Spool
from buffer.store import Store, set_aside

log = logging.getLogger(__name__)

FIRST_PAGES = 64  # the row of the store's own state is in one of the first pages of the file


@dataclass(frozen=True, slots=True)
class Opened:
    """A store that works, and what is salvaged from damaged ones before it, if there are any."""

    store: Store
    spool: Spool | None

    def close(self, *, clean: bool = True) -> None:
        """Close both."""
        if self.spool is not None:
            self.spool.close()
        self.store.close(clean=clean)


def open_store(
    path: Path,
    gateway: str,
    key: SigningKey,
    boot: bytes,
    *,
    size_limit: int,
    keep_free: int = 0,
    now_ms: Callable[[], int] = recovery.boot_now_ms,
) -> Opened:
    """Open as `Store.open` does, but a damaged file is set aside and a new stream begins.

    The first ledger entry of the new stream names the stream before. Raises `StoreMismatch`, `StoreFull`, `StoreError`.
    """

    def opened() -> Store:
        return Store.open(path, gateway, key, boot, size_limit=size_limit, keep_free=keep_free, now_ms=now_ms)

    try:
        store = opened()
    except StoreCorrupt as error:
        log.critical("buffer: %s; set aside as %s, a new one begins", error, set_aside(path))
        store = opened()
    try:
        spool = Spool.beside(path)
        for aside in spool.new() if spool is not None else ():
            stream = stream_of(aside)
            name = stream.hex() if stream else "unknown"
            reason = f"stream {name} was damaged and set aside as {aside.name}"
            store.note(LedgerEntry(boot, 0, now_ms(), 0, ClockState.UNSET, None, reason))
            if spool is not None:
                spool.add(aside, stream)
    except BaseException:  # the store must not stay open behind a failure
        store.close(clean=False)
        raise
    return Opened(store, spool)


def stream_of(path: Path) -> bytes:
    """The stream of a store that may be damaged; empty when it is not to be found."""
    try:
        with Pages(path) as pages:
            for page in range(1, min(pages.count, FIRST_PAGES) + 1):
                for _, values in pages.rows(page):
                    stream = values[2] if len(values) > 8 and isinstance(values[1], str) else None
                    if isinstance(stream, bytes) and len(stream) == STREAM_BYTES:
                        return stream
    except OSError:  # the salvage that follows says so
        return b""
    return b""
