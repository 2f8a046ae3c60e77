"""`lamppost-collector`: the verbs of the platform's side, a file a verb, none of them imported before it is called."""

import sys
from importlib import import_module

import click

VERBS = {
    "run": "Receive, verify, store and acknowledge what gateways send.",
    "setup": "Make this machine a platform: authorities, certificates, the broker, the services' settings.",
    "gateways": "Which gateways are known.",
    "enroll": "Make a gateway known that brings its request by hand.",
    "enroll-server": "Let gateways enrol themselves by tokens, and renew their certificates.",
    "token": "Invite gateways.",
    "ca": "A small certificate authority for those who have none.",
    "query": "Samples, the newest last.",
    "replacements": "Meters that were exchanged.",
    "gaps": "What is missing, accounted for as lost, or broken.",
    "waiting": "Stored batches whose samples wait.",
    "refused": "What was not taken, and why.",
    "rebuild": "Make every derived table anew.",
    "rollup": "Make the hourly and daily sums that are due.",
    "retention": "Let go old samples; sums and batches stay.",
    "access": "Which roles of a PostgreSQL read which site.",
    "key": "Make or show keys of the platform.",
    "keyring": "Say whom the gateways believe; signed by the authority.",
    "command": "Sign, relay and follow commands to gateways.",
    "config": "Sign, relay and follow configurations of gateways.",
    "schedule": "Sign, preview, relay and follow schedules of gateways.",
    "update": "Sign new versions of the gateways' package.",
    "verify": "Prove that nothing stored is missing or altered.",
    "export": "Samples as files for others: open data, unless --all.",
    "places": "Where the assets with open data stand, as GeoJSON.",
    "alarms": "What is wrong: raised, acknowledged, cleared, and told elsewhere.",
    "resend": "Ask a gateway's history for batches once more.",
    "audit": "Who changed what, when, on whose authority; with proof.",
    "web": "The platform's page: gateways, charts, alarms, commands, open data.",
    "completion": "Print what completes verbs in bash or zsh.",
}
EX_USAGE = 64  # sysexits.h
INTERRUPTED = 130  # 128 + SIGINT, as shells say it


class LazyGroup(click.Group):
    """Imports a verb's module only when that verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"collector.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lamppost")
def cli() -> None:
    """The platform's side: receive, verify, store and acknowledge what gateways send; command them."""


def main() -> None:
    """Run a verb; errors end with their exit code and one line on standard error."""
    try:
        sys.exit(cli.main(prog_name="lamppost-collector", standalone_mode=False))
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(EX_USAGE)
    except UnicodeEncodeError:  # such as what Python makes of arguments that are none
        click.echo("lamppost-collector: a text that is not UTF-8 can be neither kept nor shown", err=True)
        sys.exit(EX_USAGE)
    except Exception as error:  # the boundary of the process: ours become a line, others a traceback
        from buffer.errors import BufferFault
        from collector import output
        from collector.errors import CollectorError

        if not isinstance(error, CollectorError | BufferFault):
            raise
        output.note(f"lamppost-collector: {error}")
        sys.exit(error.exit_code)
