"""`lamppost-collector enroll-server`"""

import logging
import sys
from pathlib import Path

import click

from collector import output
from collector.cli.enroll import _platform, platform_options
from collector.cli.options import FILE, database_option, writing
from collector.errors import UsageError
from collector.tables.database import Target


@click.command("enroll-server")
@click.option("--listen", required=True, help="host:port, of the address that gateways reach.")
@click.option("--cert", type=FILE, required=True, help="The server's certificate (ca server makes one), PEM.")
@click.option("--cert-key", type=FILE, required=True, help="Its private key, PEM.")
@database_option
def command(listen: str, cert: Path, cert_key: Path, database: Target, **platform: object) -> None:
    """Serve until SIGTERM: gateways with a token become known, known ones get new certificates."""
    import asyncio

    from collector.identity.enrol_server import server
    from collector.identity.enrolment import Enrolment

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UsageError("--listen is host:port, for example 0.0.0.0:8444")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    with writing(database) as opened:
        serving = server(Enrolment(opened, **_platform(**platform)), host.strip("[]"), int(port), cert, cert_key)  # type: ignore[arg-type]
        output.note(f"enrolling at https://{listen}")
        asyncio.run(serving.serve())


for _option in reversed(platform_options):
    command = _option(command)
