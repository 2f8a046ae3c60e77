"""Which files a gateway runs, as it said last: for whoever changes them, and for the box that takes its place."""

from pathlib import Path

from buffer.errors import BatchFormatError
from buffer.running import Running
from collector.errors import ConfigurationFault, FileFault
from collector.files import write_whole
from collector.tables.database import Database

NEWEST = """
    SELECT x.text FROM series s
    JOIN samples x ON x.series = s.id
    JOIN streams t ON t.gateway = s.gateway AND t.stream = s.stream
    WHERE s.gateway = ? AND s.device = 'gateway' AND s.point = 'running' AND x.text IS NOT NULL
    ORDER BY t.first_seen DESC, x.batch DESC, x.ts_ms DESC LIMIT 1"""
"""By the order in which they were told, in the newest life of its store: no clock of a gateway is asked."""


def find(database: Database, gateway: str) -> Running:
    """What it said last, of any box that was it; raises `ConfigurationFault` where that is nothing."""
    with database.errors():
        row = database.connection.execute(NEWEST, (gateway,)).fetchone()
    if row is None:
        raise ConfigurationFault(f"{gateway} has not said which files it runs")
    try:
        return Running.from_json(row[0])
    except BatchFormatError as error:
        raise ConfigurationFault(
            f"{gateway} has said which files it runs, but not so that it can be read: {error}"
        ) from error


def write(found: Running, folder: Path) -> None:
    """The files into a fresh folder, named as the gateway has them; raises `FileFault`."""
    try:
        folder.mkdir()
        for name, text in found.texts:
            file = folder / name
            file.parent.mkdir(exist_ok=True)
            write_whole(file, text.encode())
    except OSError as error:
        raise FileFault(f"{folder}: {error.strerror or error}") from error
