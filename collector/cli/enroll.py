"""`lamppost-collector enroll`"""

from pathlib import Path

import click

from collector import output
from collector.cli.options import FILE, confirm, database_option, now_ms, writing, yes_option
from collector.files import STANDARD, read_bounded, write_whole
from collector.tables.database import Target

platform_options = (
    click.option("--ca", "folder", type=FILE, required=True, help="The folder of the certificate authority."),
    click.option("--authority", type=FILE, required=True, help="The public key that gateways are to pin."),
    click.option("--tell-broker", "brokers", multiple=True, help="A broker that gateways are told of; repeatable."),
    click.option("--root", default="lamppost", show_default=True, help="The first part of every topic."),
    click.option("--update-authority", type=FILE, help="The key that root of a gateway is to pin for updates."),
    click.option("--days", type=click.FloatRange(0.01, 3653), default=90, show_default=True, help="Of certificates."),
)


@click.command("enroll")
@click.argument("request", type=FILE)
@click.option("--kid", help="The key id that the technician read out: then nothing is asked.")
@click.option("--out", type=FILE, default=STANDARD, help="Where the answer goes; standard output otherwise.")
@database_option
@yes_option
def command(request: Path, kid: str | None, out: Path, database: Target, *, yes: bool, **platform: object) -> None:
    """Take the REQUEST that `lamppost enroll --request` made, and print the answer to carry back.

    Compare the key id with the one that the gateway shows: whoever exchanged the file on its way has another.
    """
    from buffer.enrolment import MAX_REQUEST, Request, answer_id
    from collector.identity.enrolment import Enrolment

    message = read_bounded(request, MAX_REQUEST)
    read = Request.read(message)
    if kid is None:
        confirm(
            f"{read.key.gateway} of site {read.key.site} with the key {read.key.kid.hex()}, "
            "in place of any it has: is that the key id that it shows?",
            yes=yes,
        )
    with writing(database) as opened:
        answer = Enrolment(opened, **_platform(**platform)).admit(message, now_ms(), kid=kid)  # type: ignore[arg-type]
    data = (answer.to_json() + "\n").encode()
    write_whole(out, data)
    output.note(
        f"{answer.gateway} of site {answer.site}: enrolled; read out to the technician: answer {answer_id(data)}"
    )


def _platform(
    folder: Path, authority: Path, brokers: tuple[str, ...], root: str, update_authority: Path | None, days: float
) -> dict[str, object]:
    from buffer.keys import PublicKey
    from collector.errors import UsageError
    from collector.identity.ca import CertificateAuthority
    from config import Broker

    for url in brokers:
        try:
            Broker.parse(url)
        except ValueError as error:
            raise UsageError(str(error)) from error
    updates = None if update_authority is None else PublicKey.load(update_authority)
    if updates is not None and updates.role != "authority":
        raise UsageError(f"--update-authority: {update_authority} is a key of role {updates.role!r}, not 'authority'")
    return {
        "ca": CertificateAuthority.load(folder), "authority": PublicKey.load(authority), "brokers": brokers,
        "root": root, "days": days, "updates": updates,
    }  # fmt: skip


for _option in reversed(platform_options):
    command = _option(command)
