"""`lamppost run`"""

import logging
import os
import sys
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


def start_logging(verbose: bool) -> None:
    """Log to stderr; the libraries' own chatter only when asked for."""
    handler = logging.StreamHandler(sys.stderr)
    journal = "JOURNAL_STREAM" in os.environ
    handler.setFormatter(JournalFormatter("%(name)s: %(message)s") if journal else logging.Formatter(LOG_FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.DEBUG if verbose else logging.INFO)
    for library in ("pymodbus", "pymodbus.logging", "bleak", "mqtt", "asyncio", "dbus_fast"):
        logging.getLogger(library).setLevel(logging.DEBUG if verbose else logging.CRITICAL)


@click.command("run")
@config_option
@run_dir_option
@click.option("--verbose", "-v", is_flag=True, help="Log every poll, and what the libraries say.")
def command(config: Path, run_dir: Path, verbose: bool) -> None:
    """Run the agent in the foreground until SIGTERM or SIGINT."""
    import asyncio

    from gateway import installation
    from gateway.agent import Agent
    from gateway.loop import AgentLoop

    start_logging(verbose)
    found = installation.read(config)
    keys = installation.keys(found.config)

    async def life() -> None:
        await Agent(found, keys, run_dir).run()
        leave()

    with asyncio.Runner(loop_factory=AgentLoop) as runner:
        runner.run(life())


def leave() -> None:
    """End the process now: everything is committed, and a look-up of a name may hang in a thread for long."""
    logging.shutdown()
    os._exit(0)
