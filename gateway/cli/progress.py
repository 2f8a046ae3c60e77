"""How far long work is, and how long it still takes: one line on stderr that is written over, on a terminal alone."""

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from gateway.cli.words import span
from gateway.plain import plain

T = TypeVar("T")

EVERY_S = 0.2
"""Somebody looks at it: five times a second is enough."""
SURE_S = 1.0
"""Before that, nobody can say how long it takes."""
WIDTH = 79
"""Characters, so that the line is never two."""


class Progress:
    """`with Progress("verify") as progress: progress.at(done, total)`; the line goes when the work ends."""

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic, *, prints: bool = False) -> None:
        """`prints`: the work itself writes on stdout meanwhile; on one terminal both would be in each other's way."""
        self._what = what
        self._clock = clock
        self._shows = sys.stderr.isatty() and not (prints and sys.stdout.isatty())
        self._began = self._shown_at = clock()
        self._first: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shows:
            self._write("\r\x1b[K")

    def at(self, done: float, total: float, note: str = "") -> None:
        """So much of it is done. The first call says where it began, such as a store whose first batches are gone."""
        now = self._clock()
        if self._first is None:
            self._first = int(done)
        if self._shows and now - self._shown_at >= EVERY_S:
            self._shown_at = now
            self._write(f"\r{plain(self._line(done, total, note, now))[:WIDTH]}\x1b[K")

    def each(self, items: Sequence[T], note: Callable[[T], str] = str) -> Iterator[T]:
        """The items, with the line kept up before each."""
        for number, item in enumerate(items):
            self.at(number, len(items), note(item))
            yield item

    def _line(self, done: float, total: float, note: str, now: float) -> str:
        begun, passed = self._first or 0, now - self._began
        part = min((done - begun) / (total - begun), 1.0) if total > begun else 1.0
        left = f", {span(passed / part - passed)} left" if part > 0 and passed >= SURE_S else ""
        return f"{self._what}: {100 * part:.0f} %{left}{f'  {note}' if note else ''}"

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


@contextlib.asynccontextmanager
async def passing(seconds: float, what: str) -> AsyncIterator[None]:
    """Show how much is left of a known time, while the body takes it."""
    import asyncio

    async def tick(progress: Progress) -> None:
        while True:
            progress.at(time.monotonic() - began, seconds)
            await asyncio.sleep(EVERY_S)

    began = time.monotonic()
    with Progress(what) as progress:
        ticking = asyncio.ensure_future(tick(progress))
        try:
            yield
        finally:
            ticking.cancel()
