"""`lamppost-collector ca`"""

from pathlib import Path

import click

from collector import output
from collector.cli.options import FILE, database_option, json_option, now_ms, reading, tell
from collector.tables.database import Target

folder_argument = click.argument("folder", type=FILE)


@click.group("ca")
def command() -> None:
    """A certificate authority in a folder: for gateways, brokers and the enrolment server."""


@command.command("init")
@folder_argument
@click.option("--name", default="Lamppost", show_default=True, help="What it calls itself.")
@json_option
def init(folder: Path, name: str, *, as_json: bool) -> None:
    """Make its key (mode 0600) and its certificate; what is there is never replaced."""
    from collector.identity.ca import CertificateAuthority

    made = CertificateAuthority.create(folder, name)
    fingerprint = made.fingerprint.hex()
    tell(f"{folder}: made; SHA-256 {fingerprint}", {"folder": str(folder), "sha256": fingerprint}, as_json=as_json)


@command.command("show")
@folder_argument
def show(folder: Path) -> None:
    """Print its certificate."""
    from collector.identity.ca import CertificateAuthority

    click.echo(CertificateAuthority.load(folder).pem, nl=False)


@command.command("server")
@folder_argument
@click.argument("hosts", nargs=-1, required=True)
@click.option("--cert", type=FILE, required=True, help="Where the certificate goes.")
@click.option("--key", type=FILE, required=True, help="Where the new private key goes (mode 0600).")
@click.option("--days", type=click.IntRange(1, 3653), default=365, show_default=True)
def server(folder: Path, hosts: tuple[str, ...], cert: Path, key: Path, days: int) -> None:
    """Make key and certificate of a broker, or of the enrolment server, known by HOSTS (names or addresses)."""
    from collector.files import write_whole
    from collector.identity.ca import CertificateAuthority, private_key

    authority = CertificateAuthority.load(folder)
    issued = authority.server(private_key(key), hosts, days)
    write_whole(cert, issued.pem.encode())
    output.note(f"{cert}: until {output.moment(issued.ends_ms)}")


@command.command("crl")
@folder_argument
@click.option("--days", type=click.FloatRange(0.01, 3653), help="How long it is good; otherwise as the authority is.")
@database_option
def crl(folder: Path, days: float | None, database: Target) -> None:
    """Print the list of certificates that brokers must refuse, as of now.

    A broker whose list has ended lets no gateway in: --days is for those who renew it by a timer.
    """
    from collector.identity.ca import CertificateAuthority
    from collector.identity.enrolment import revoked_certificates

    with reading(database) as opened:
        listed = revoked_certificates(opened, now_ms())
    click.echo(CertificateAuthority.load(folder).revocations(listed, days).decode(), nl=False)
