"""`lamppost enroll`"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import config_option, plain

if TYPE_CHECKING:
    from buffer.enrolment import Answer, Token
    from gateway.identity.enrol import Places

KEYS = Path("/etc/lamppost/keys")
FILE = click.Path(path_type=Path, dir_okay=False)
MAX_TOKEN_FILE = 4096
MAX_REASONS = 8


@click.command("enroll")
@click.argument("token", type=FILE, required=False)
@click.option("--request", "request_file", type=FILE, help="By hand: write the request to carry to the platform.")
@click.option("--answer", "answer_file", type=FILE, help="By hand: take the platform's answer.")
@click.option("--check", "expected", help="With --answer: its id, as the platform read it out; asked for otherwise.")
@click.option("--renew", is_flag=True, help="A new certificate, if two thirds of the old one's life are over.")
@click.option("--now", is_flag=True, help="With --renew: whatever is left of the old one.")
@click.option("--new-key", is_flag=True, help="A new key for batches, which the present one vouches for.")
@click.option("--gateway", help="With --request: this gateway's id at the platform.")
@click.option("--site", help="With --request: the site it stands on.")
@click.option(
    "--keys", type=click.Path(path_type=Path, file_okay=False), default=KEYS, show_default=True,
    help="The folder of keys and certificates.",
)  # fmt: skip
@config_option
def command(
    token: Path | None, request_file: Path | None, answer_file: Path | None, gateway: str | None, site: str | None,
    keys: Path, config: Path, expected: str | None, *, renew: bool, now: bool, new_key: bool,
) -> None:  # fmt: skip
    """Make this gateway known by a TOKEN, a file that holds it (- or nothing: it is asked for).

    Keys are made here if there are none, and never leave this box. Without a network: --request, then --answer.
    Where another box was this gateway, what it ran is put in the place of a configuration that nobody has edited.
    """
    from gateway.identity import enrol
    from gateway.identity.enrol import Places

    if sum((token is not None, request_file is not None, answer_file is not None, renew, new_key)) > 1:
        raise click.UsageError("one of TOKEN, --request, --answer, --renew and --new-key")
    places = Places(keys)
    if request_file is not None:
        _write_request(places, request_file, gateway, site)
    elif answer_file is not None:
        _take(places, answer_file, config, expected)
    elif renew:
        _renew(places, now=now)
    elif new_key:
        answer = enrol.roll(places)
        _tell(answer, places)
        click.echo("The new key is used from the next start on: systemctl restart lamppost", err=True)
    else:
        _settle(enrol.redeem(places, _token(token)), places, config)
    places.give()


def _token(path: Path | None) -> "Token":
    from buffer.enrolment import Token

    if path is not None and path != Path("-"):
        with path.open() as file:
            text = file.read(MAX_TOKEN_FILE)
    elif path is None and sys.stdin.isatty():
        text = click.prompt("Token", hide_input=True, err=True)
    else:
        text = sys.stdin.read(MAX_TOKEN_FILE)
    return Token.parse(text)


def _write_request(places: "Places", path: Path, gateway: str | None, site: str | None) -> None:
    from gateway.files import save
    from gateway.identity import enrol, sealed

    if gateway is None or site is None:
        raise click.UsageError("--request needs --gateway and --site")
    save(path, enrol.request(places, gateway, site))
    kid = sealed.signing_key(places.batch).kid.hex()
    click.echo(f"{path}: carry it to the platform, and read out there the key id {kid}", err=True)


def _take(places: "Places", path: Path, config: Path, expected: str | None) -> None:
    from buffer.enrolment import MAX_ANSWER, Answer

    with path.open("rb") as file:
        data = file.read(MAX_ANSWER + 1)
    _compare(data, expected)
    answer = Answer.from_json(data.decode(errors="replace"))
    places.install(answer)
    _settle(answer, places, config)


def _compare(data: bytes, expected: str | None) -> None:
    """Whether it is the platform's answer: it says whom to believe from now on, and nothing in it can prove itself."""
    from buffer.enrolment import answer_id
    from gateway.errors import EnrolmentFailed

    found = answer_id(data)
    if expected is not None and expected.strip().lower() != found:
        raise EnrolmentFailed(f"this is answer {found}, not {expected}: it was exchanged, or is of another day")
    click.echo(f"answer {found}: the platform showed the same when it was made", err=True)
    if expected is None and not (sys.stdin.isatty() and click.confirm("Is it?", err=True)):
        raise EnrolmentFailed("nothing was changed", "with --check, and the id that the platform showed")


def _renew(places: "Places", *, now: bool) -> None:
    from datetime import UTC, datetime

    from gateway.identity import enrol

    if not now and not enrol.due(places.certificate, datetime.now(UTC)):
        click.echo("The certificate is good for longer than a third of its life: nothing to do.", err=True)
        return
    _tell(enrol.renew(places), places)


def _settle(answer: "Answer", places: "Places", config: Path) -> None:
    """Of a box that is new: its keys are the agent's, what ran before runs on, and root knows whom to believe."""
    places.give()
    if not _inherit(answer, places, config):
        _tell(answer, places)
    if answer.updates is not None:
        _pin(answer, config.parent)


def _inherit(answer: "Answer", places: "Places", config: Path) -> bool:
    """Whether the configuration of the box before is in place."""
    from datetime import UTC, datetime

    from gateway.identity import inherit

    if answer.running is None:
        return False
    told = f"{datetime.fromtimestamp(answer.running.at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    try:
        outcome = inherit.take(answer, answer.running, places, config)
    except OSError as error:
        click.echo(f"What the box before ran is not here: {plain(str(error))}", err=True)
        click.echo("  try: sudo lamppost enroll, with the same token or answer", err=True)
        return False
    if outcome.placed:
        click.echo(f"{answer.gateway} of site {answer.site} is known to the platform.", err=True)
        click.echo(f"{config} is what the box before ran ({told}). Next: systemctl restart lamppost", err=True)
        return True
    click.echo(f"What the box before ran ({told}) lies in {outcome.aside}, and is not used:", err=True)
    for reason in outcome.reasons[:MAX_REASONS]:
        click.echo(f"- {plain(reason)}", err=True)
    if (more := len(outcome.reasons) - MAX_REASONS) > 0:
        click.echo(f"- and {more} more", err=True)
    click.echo(f"Put right what is wrong, move the files to {config.parent}, and run lamppost check.", err=True)
    return False


def _pin(answer: "Answer", etc: Path) -> None:
    """Tell root whom to believe about new versions, unless it knows."""
    import os

    from gateway.errors import GatewayError
    from gateway.updates import trust

    if answer.updates is None or os.geteuid() != 0:
        return
    try:
        if trust.pin(answer.updates, etc):
            click.echo(
                f"Updates are believed that {answer.updates.kid.hex()} stands for ({trust.AUTHORITY}).", err=True
            )
    except (GatewayError, OSError) as error:
        click.echo(f"No authority of updates was pinned: {plain(str(error))}", err=True)


def _tell(answer: "Answer", places: "Places") -> None:
    """What goes into the configuration, on standard output; it is there already after a renewal."""
    import json

    from buffer.keys import PublicKey

    pinned = PublicKey.load(places.authority)
    if pinned != answer.authority:  # a renewal
        click.echo(
            f"The platform names the authority {answer.authority.kid.hex()} now; {pinned.kid.hex()} is believed, as"
            " before. If that is meant: sudo lamppost enroll TOKEN-FILE",
            err=True,
        )

    click.echo(f"{answer.gateway} of site {answer.site} is known to the platform.", err=True)
    click.echo(f'[gateway]\nid = "{answer.gateway}"\nsite = "{answer.site}"\nkey = "{places.batch}"')
    click.echo(f"[uplink]\nbrokers = {json.dumps(list(answer.brokers))}\nroot = {json.dumps(answer.root)}")
    click.echo(f'tls = {{ ca = "{places.ca}", cert = "{places.certificate}", key = "{places.tls}" }}')
    click.echo(f'authority = "{places.authority}"')
