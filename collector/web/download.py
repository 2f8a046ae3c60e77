"""Files of samples, made while they are sent."""

import asyncio
import io
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from collector.export.reading import Selection, Source
from collector.export.texts import WRITERS
from collector.tables.database import Database, Target

FORMS = {
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
    "senml": "application/senml+json",
}
"""RFC 4180; NDJSON; RFC 8428, 12.3.1."""
AT_ONCE = 500
"""Samples of a piece: some 50 kB."""


class Download(StreamingResponse):
    """An answer whose pieces end with it, however it ends."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], form: str, name: str) -> None:
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        super().__init__(pieces, media_type=FORMS[form], headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._pieces.aclose()


async def sent(target: Target, selection: Selection, form: str) -> AsyncGenerator[bytes, None]:
    """`pieces`, each made in a thread of their own, in which the connection is closed as well."""
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1)
    database = await loop.run_in_executor(thread, Database.read, target)
    try:
        found = pieces(database, selection, form)
        while (piece := await loop.run_in_executor(thread, next, found, None)) is not None:
            yield piece
    finally:
        thread.submit(database.close)  # after what is under way there
        thread.shutdown(wait=False)


def pieces(database: Database, selection: Selection, form: str) -> Iterator[bytes]:
    """Yield the file, some kilobytes at a time."""
    out = io.StringIO(newline="")
    writer = WRITERS[form](out)
    for number, found in enumerate(Source(database, selection).readings(), 1):
        writer.write(found)
        if number % AT_ONCE == 0:
            yield _taken(out)
    writer.close()
    yield _taken(out)


def _taken(out: io.StringIO) -> bytes:
    text = out.getvalue()
    out.seek(0)
    out.truncate()
    return text.encode()
