"""`lamppost run`"""

import logging
import os
from pathlib import Path

import click

from gateway.cli.output import config_option, plain, run_dir_option

log = logging.getLogger(__name__)


@click.command("run")
@config_option
@run_dir_option
@click.option("--verbose", "-v", is_flag=True, help="Log every poll, and what the libraries say.")
@click.option("--log-format", type=click.Choice(["auto", "text", "json"]), default="auto", show_default=True,
              help="auto: to the journal with fields where it reads the log, else text on stderr.")  # fmt: skip
def command(config: Path, run_dir: Path, verbose: bool, log_format: str) -> None:
    """Run the agent in the foreground until SIGTERM or SIGINT."""
    import asyncio

    from gateway.agent import Agent
    from gateway.loop import AgentLoop
    from gateway.reporting import logs
    from gateway.setup import kept
    from gateway.setup.choice import at_start

    listener = logs.start(verbose, log_format)
    try:
        found, keys = kept.read(config, kept.folder())
    except BaseException:  # what was logged comes out before the error does
        listener.stop()
        raise
    for line in found.wrong:
        log.error("configuration: %s", plain(line))
    if found.wrong:
        log.error("the configuration has mistakes: the last one that had none runs")
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
