"""The command `lamppost`: a file a verb, none of them imported before it is called."""

import os
import sys
from importlib import import_module

import click

from gateway import VERSION

VERBS = {
    "run": "Run the agent (what the service does).",
    "check": "Check the configuration; tells every error at once.",
    "config": "Show the configuration that is in effect, and where each value comes from.",
    "reload": "Use the changed configuration without a restart.",
    "status": "Show the state of the running agent.",
    "doctor": "Find what is wrong, from the cable to the platform.",
    "tail": "Show samples, or frames, as they arrive.",
    "top": "Watch buses and devices live.",
    "metrics": "Print the agent's state for Prometheus.",
    "read": "Ask devices now.",
    "write": "Write a value to a point.",
    "commands": "Show the last commands and what came of them.",
    "schedule": "Show the schedule, what is in force and what comes next.",
    "lock": "Let nothing be written to a device.",
    "unlock": "End the lock of a device.",
    "device": "Look at single devices, note an exchanged meter.",
    "drivers": "List the drivers and their options.",
    "maintenance": "Free a bus for another program for a while.",
    "queue": "Show what waits to be delivered.",
    "profile": "List, show and test device models.",
    "decode": "Decode captured bytes without a device.",
    "export": "Write out the samples that the buffer has.",
    "scan": "Look for devices on a line, and write their configuration.",
    "support-bundle": "Pack what support needs, without secrets.",
    "verify": "Verify a batch, a whole buffer or a record of a commissioning.",
    "web": "Show all of it on a page for a phone.",
    "key": "Make or show the gateway's key.",
    "simulate": "Make signed load for a platform.",
    "completion": "Print what completes verbs in bash or zsh.",
    "enroll": "Make this gateway known to the platform; renew its certificate.",
    "update": "Install a new version, signed; it is taken back if it does no good.",
    "version": "Show the version, and what it is made of.",
    "wipe": "Destroy the keys and data of this gateway.",
    "demo": "Show the whole way, with simulated devices.",
}

EX_IOERR = 74
EX_INTERRUPTED = 130


class LazyGroup(click.Group):
    """Imports a verb's module only when that verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"gateway.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="lamppost")
def lamppost() -> None:
    """The edge gateway agent for a city's connected devices."""


def main() -> None:
    """Run the command line; each error's class says the exit code (sysexits.h)."""
    _settle_streams()
    try:
        sys.exit(lamppost(standalone_mode=False))  # None, or what a verb left with
    except click.exceptions.Abort:
        sys.exit(EX_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(64 if isinstance(error, click.UsageError) else error.exit_code)  # EX_USAGE
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away: nothing left to say
        sys.exit(0)
    except Exception as error:  # the boundary of the process: known errors become a line, others a traceback
        code = getattr(error, "exit_code", None)
        if code is None and not isinstance(error, OSError):
            raise
        _tell(error)
        sys.exit(EX_IOERR if code is None else code)


def _settle_streams() -> None:
    """A stream that is closed is nowhere; what a terminal of another encoding cannot show is a question mark."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - until the end
        elif name != "stdin" and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _tell(error: Exception) -> None:
    from gateway.cli.output import plain

    for line in str(error).splitlines() or [type(error).__name__]:  # a configuration's problems stand on a line each
        click.echo(f"lamppost: {plain(line)}", err=True)
    if remedy := getattr(error, "remedy", ""):
        click.echo(f"  try: {plain(remedy)}", err=True)
