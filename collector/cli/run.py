"""`lamppost-collector run`"""

import logging
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collector.cli.options import FILE, broker_options, database_option
from collector.errors import UsageError
from collector.tables.database import Target

MAX_PORT = 65_535

if TYPE_CHECKING:
    from collector.broker import Address


@contextmanager
def _logging(level: int) -> Iterator[None]:
    """Write the log to standard error in a thread of its own: whoever reads it slowly stops nothing."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = QueueListener(lines, handler)
    queued = QueueHandler(lines)
    queued.setFormatter(logging.Formatter("%(message)s"))  # the listener's handler adds the rest
    logging.basicConfig(level=level, handlers=[queued])
    listener.start()
    try:
        yield
    finally:
        listener.stop()


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > MAX_PORT:
        raise UsageError(f"--metrics is HOST:PORT, not {text!r}")
    return host.strip("[]"), int(port)


@click.command("run")
@database_option
@click.option("--key", type=FILE, required=True, help="The platform's private key (key new makes one).")
@broker_options
@click.option("--share/--no-share", default=True, help="Share the subscription with other collectors.")
@click.option("--id", "identifier", help="MQTT client id; a random one otherwise.")
@click.option("--metrics", metavar="HOST:PORT", help="Answer GET /metrics there, for Prometheus; 127.0.0.1:9464, say.")
@click.option("-v", "--verbose", is_flag=True, help="Say more on standard error.")
def command(
    database: Target, key: Path, address: "Address", identifier: str | None, metrics: str | None, *, share: bool,
    verbose: bool,
) -> None:  # fmt: skip
    """Serve until SIGTERM."""
    from collector import service

    address = replace(address, shared=share, identifier=identifier)
    with _logging(logging.DEBUG if verbose else logging.INFO):
        service.run(service.Settings(database, key, address, None if metrics is None else _place(metrics)))
