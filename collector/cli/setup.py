"""`lamppost-collector setup`"""

import os
from pathlib import Path

import click

from collector import output
from collector.cli.options import FILE


@click.command("setup")
@click.argument("host")
@click.option("--authority", type=FILE, help="The public key that gateways are to pin; this platform's own otherwise.")
def command(host: str, authority: Path | None) -> None:
    """Make this machine, which gateways reach as HOST (a name or an address), a platform beside its mosquitto.

    Two certificate authorities, keys, certificates, the broker's configuration and ACL, the services' settings. What is
    there already is kept; the certificates of this machine are made anew, for a year.
    """
    from buffer.keys import PublicKey
    from collector.setup import Places, setup

    os.umask(0o022)  # the broker reads what is public in its folder; private keys are 0600 whatever this is
    places = Places()
    changed = setup(host, places, None if authority is None else PublicKey.load(authority))
    for line in changed:
        output.note(f"not written over what stands there: {line}")
    output.note(f"{host} is a platform; its authority is {places.ca}: keep a copy of it where nobody reaches it")
    output.note("next: systemctl restart mosquitto")
    output.note("      systemctl enable --now lamppost-collector lamppost-collector-enroll")
