"""`lamppost update`"""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import json_option, plain, print_json

if TYPE_CHECKING:
    from gateway.updates.places import Last, Places

WAIT_S = 1800.0
"""Longer than a trial in an outage and the way back from it."""
LOOK_S = 1.0


@click.command("update")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--no-wait", is_flag=True, help="Hand it in, and do not wait for what becomes of it.")
@json_option
def command(file: Path | None, no_wait: bool, as_json: bool) -> None:
    """Install the new version in FILE (lamppost-collector update sign makes it); without FILE, show the last one.

    A root service verifies and installs it. Unless the agent then does all that it did before, within minutes,
    the version before is put back by itself.
    """
    from gateway.updates.places import Places

    places = Places()
    before = places.state().last
    if file is not None:
        _foresee(file, places)
        _hand_in(file, places)
        if no_wait:
            return
        click.echo("handed in: it is verified, installed and tried", err=True)
        _wait(places, before)
    _show(places, as_json=as_json)


def _hand_in(path: Path, places: "Places") -> None:
    """Put a copy into the spool; what was damaged on its way is found here. Raises `UpdateRefused`."""
    import os

    from buffer import update
    from buffer.update import Manifest
    from gateway.errors import NotAllowed

    fresh = places.incoming.with_name(f".{os.getpid()}.new")
    try:
        with path.open("rb") as source, fresh.open("xb") as target:
            message = update.read_manifest(source)
            target.write(update.MAGIC + len(message).to_bytes(update.LENGTH_BYTES, "big") + message)
            for piece in update.pieces(source, Manifest.peek(message)):
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())
        fresh.replace(places.incoming)
    except PermissionError as error:
        raise NotAllowed(f"{error.filename}: this user may not", "sudo, or the group lamppost-operate") from error
    finally:
        fresh.unlink(missing_ok=True)


def _foresee(path: Path, places: "Places") -> None:
    """Say at once what root would refuse, as far as this user may read what it depends on; root looks anew."""
    from buffer.update import Manifest, read_manifest
    from gateway.errors import UpdateFailed, UpdateRefused
    from gateway.updates import dpkg, trust
    from gateway.updates.service import check

    with path.open("rb") as file:
        message = read_manifest(file)
    manifest, state = Manifest.peek(message), places.state()
    try:
        where, now_ms = trust.here(), time.time_ns() // 1_000_000
        trust.verify(message, where, trust.keyring(where, trust.authority(), state.keyring), now_ms)
    except UpdateRefused as error:
        if type(error.__cause__) is not PermissionError:  # `UpdateRefused` is one, too
            raise
        click.echo("this user may not read the keyring: root verifies the signature", err=True)
    with suppress(UpdateFailed):  # no package is installed here, or dpkg is not
        check(manifest, dpkg.state()[0], dpkg.architecture(), state.floor, state.bad)


def _wait(places: "Places", before: "Last | None") -> None:
    from gateway.errors import UpdateFailed

    end = time.monotonic() + WAIT_S
    while places.state().last == before:
        if time.monotonic() > end:
            raise UpdateFailed("nothing became of it yet", "journalctl -u lamppost-update")
        time.sleep(LOOK_S)


def _show(places: "Places", *, as_json: bool) -> None:
    from dataclasses import asdict

    from gateway.errors import UpdateFailed

    state, trial = places.state(), places.trial()
    last = state.last
    if as_json:
        row = {"trial": None if trial is None else trial.version, "floor": state.floor or None, "bad": list(state.bad)}
        row |= {"doubted": list(state.doubted)}
        print_json({**row, "last": None if last is None else asdict(last)})
    elif last is None:
        click.echo("no update was handed in so far")
    else:
        why = f": {last.reason}" if last.reason else ""
        click.echo(plain(f"{last.version or 'the update'}: {last.status}{why}"))
    if last is not None and last.status == "untested":
        raise UpdateFailed("the last update could not be tried", "when that has passed: lamppost update FILE")
    if last is not None and last.status != "installed":
        raise UpdateFailed(f"the last update was not kept: {plain(last.status)}", "journalctl -u lamppost-update")
