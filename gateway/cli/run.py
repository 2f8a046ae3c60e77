"""`lamppost run`"""

import logging
import os
import queue
import sys
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path

import click

from gateway.cli.output import config_option, plain, run_dir_option

LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"
JOURNAL_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


class JournalFormatter(logging.Formatter):
    """Puts the priority in front, as sd-daemon(3) has it, when the journal reads our stderr."""

    def format(self, record: logging.LogRecord) -> str:
        mark = f"<{JOURNAL_PRIORITIES.get(record.levelname, 6)}>"
        return "\n".join(mark + plain(line) for line in super().format(record).splitlines())


def start_logging(verbose: bool) -> QueueListener:
    """Log to stderr, from a thread: a journal that stalls stops no sampling. The libraries' chatter when asked for."""
    handler = logging.StreamHandler(sys.stderr)
    journal = "JOURNAL_STREAM" in os.environ
    handler.setFormatter(JournalFormatter("%(name)s: %(message)s") if journal else logging.Formatter(LOG_FORMAT))
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    queued = QueueHandler(lines)
    queued.setFormatter(logging.Formatter("%(message)s"))  # the listener's handler adds the rest
    logging.basicConfig(handlers=[queued], level=logging.DEBUG if verbose else logging.INFO)
    for library in ("pymodbus", "pymodbus.logging", "mqtt", "asyncio"):
        logging.getLogger(library).setLevel(logging.DEBUG if verbose else logging.CRITICAL)
    for library in ("bleak", "dbus_fast"):  # they would log the address of everybody who passes by
        logging.getLogger(library).setLevel(logging.WARNING if verbose else logging.CRITICAL)
    listener = QueueListener(lines, handler)
    listener.start()
    return listener


@click.command("run")
@config_option
@run_dir_option
@click.option("--verbose", "-v", is_flag=True, help="Log every poll, and what the libraries say.")
def command(config: Path, run_dir: Path, verbose: bool) -> None:
    """Run the agent in the foreground until SIGTERM or SIGINT."""
    import asyncio

    from gateway import installation
    from gateway.agent import Agent
    from gateway.choice import at_start
    from gateway.loop import AgentLoop

    found = installation.read(config)
    keys = installation.keys(found.config)
    listener = start_logging(verbose)
    choice = at_start(found)

    async def life() -> None:
        await Agent(found, keys, run_dir, choice).run()
        listener.stop()
        os._exit(0)  # everything is committed, and a look-up of a name may hang in a thread for long

    try:
        with asyncio.Runner(loop_factory=AgentLoop) as runner:
            runner.run(life())
    finally:
        listener.stop()
