"""Open the store whatever became of its file, or of the board under it.

A damaged one, or one that was written on another board, is set aside and named in the ledger, and a new one begins.
"""

import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from buffer import board as boards
from buffer import recovery
from buffer.database import connect, translated
from buffer.errors import StoreCorrupt, StoreError
from buffer.header import STREAM_BYTES, ClockState, LedgerEntry
from buffer.keys import SigningKey
from buffer.pages import Pages
from buffer.recovery import MOVED
from buffer.spool import Spool
from buffer.store import Store, set_aside

log = logging.getLogger(__name__)

FIRST_PAGES = 64  # the row of the store's own state is in one of the first pages of the file
LAST_WORD = "the card is on another board: what follows is of a new stream"


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
    board: Collection[str] = (),
) -> Opened:
    """Open as `Store.open` does, but a damaged file is set aside and a new stream begins.

    So it does where `board`, the prints of this board, is certainly another than the file was written on. The first
    ledger entry of the new stream names the stream before. Raises `StoreMismatch`, `StoreFull`, `StoreError`.
    """

    def opened() -> Store:
        return Store.open(path, gateway, key, boot, size_limit=size_limit, keep_free=keep_free, now_ms=now_ms)

    try:
        store = opened()
        if board and boards.moved(_known(store), board):
            _leave(store, path, boot, now_ms())
            store = opened()
    except StoreCorrupt as error:
        log.critical("buffer: %s; set aside as %s, a new one begins", error, set_aside(path))
        store = opened()
    try:
        spool = Spool.beside(path)
        for aside in spool.new() if spool is not None else ():
            stream = stream_of(aside)
            _follow(store, aside, stream.hex() or "unknown", boot, now_ms())
            if spool is not None:
                spool.add(aside, stream)
        if board:
            _remember(store, board)
    except BaseException:  # the store must not stay open behind a failure
        store.close(clean=False)
        raise
    return Opened(store, spool)


def _known(store: Store) -> frozenset[str]:
    try:
        return store.ask(boards.known)
    except StoreError as error:  # whoever needs the damaged page finds it; until then the stream goes on
        log.error("buffer: on which board it was written cannot be read: %s", error)
        return frozenset()


def _remember(store: Store, board: Collection[str]) -> None:
    with suppress(StoreError):  # the next start tries again
        if not store.ask(boards.known).issuperset(board):
            store.change(lambda connection: boards.remember(connection, board))


def _leave(store: Store, path: Path, boot: bytes, now_ms: int) -> None:
    """End the stream of a store that was written on another board, and set the file aside.

    The end is a number of its own: if the store lives on where it was, as after a copy of the card, the platform gets
    two batches of that number, which is a fork.
    """
    try:
        store.note(_entry(boot, now_ms, LAST_WORD))
        store.seal()
    except BaseException:  # the store must not stay open behind a failure
        store.close(clean=False)
        raise
    store.close()
    aside = recovery.set_aside(path, MOVED)
    log.warning("buffer: this card was on another board before; set aside as %s, a new stream begins", aside)


def _follow(store: Store, aside: Path, stream: str, boot: bytes, now_ms: int) -> None:
    """Name the stream before in the ledger; a new store takes over from a whole one what is not of its stream."""
    if not aside.name.endswith(MOVED):
        reason = f"stream {stream} was damaged and set aside as {aside.name}"
        store.note(LedgerEntry(boot, 0, now_ms, 0, ClockState.UNSET, None, reason))
        return
    if not store.last_number:
        _inherit(store, aside)
    store.note(_entry(boot, now_ms, f"stream {stream} was on another board, and is set aside as {aside.name}"))


def _inherit(store: Store, aside: Path) -> None:
    try:
        before = connect(aside, read_only=True)
        try:
            with translated(aside):
                found = boards.heritage(before)
        finally:
            before.close()
    except StoreError as error:  # without it the gateway works all the same
        log.error("buffer: nothing is taken over from %s: %s", aside, error)
        return
    store.change(lambda connection: boards.inherit(connection, found))
    store.floor_ms = found.floor_ms


def _entry(boot: bytes, now_ms: int, reason: str) -> LedgerEntry:
    """One that tells of something and of no sample."""
    return LedgerEntry(boot, now_ms, now_ms, 0, ClockState.UNSET, 0, reason)


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
