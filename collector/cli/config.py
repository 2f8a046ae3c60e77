"""`lamppost-collector config`"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collector import output
from collector.cli import orders
from collector.cli.options import (
    FILE,
    confirm,
    database_option,
    gateway_option,
    json_option,
    now_ms,
    reading,
    wishing,
    writing,
)
from collector.tables.database import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buffer.configuration import Configuration
    from collector.broker import Address
    from collector.orders.configurations import Signed
    from collector.query import Row
    from collector.tables.database import Database

WISH = (
    click.argument("files", type=FILE, nargs=-1, required=True),
    *orders.addressed("configuration"),
    click.option("--base", help="What it was made from, as status says it; what --database knows to run otherwise."),
    click.option("--number", type=click.IntRange(1), help="Above all before it; the time otherwise."),
    *orders.recorded("10m", "1h"),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator wants signed, as they said it."""

    files: tuple[Path, ...]
    key: Path
    gateway: str
    stream: str | None
    base: str | None
    number: int | None
    why: str
    who: str
    expires: str


wish_options = wishing(Wish, WISH)


@click.group("config")
def command() -> None:
    """Configurations: signed where an operator's key is, relayed by the collector, tried by the gateway."""


@command.command("sign")
@wish_options
@orders.made_options
def config_sign(wish: Wish, database: Target, target: Path, *, yes: bool, as_json: bool) -> None:
    """Sign FILES: the main file, then those of conf.d. With --stream and --base it needs no database."""
    from collector.orders import configurations

    made, message = _sign(wish, database, "Sign", yes=yes)
    orders.write_made("configuration", made.number, configurations.describe(made), message, target, as_json=as_json)


@command.command("relay")
@orders.relay_options
def config_relay(
    file: Path, address: "Address", database: Target, wait: str | None, *, yes: bool, as_json: bool
) -> None:
    """Send the signed configuration in FILE (- is standard input) to its gateway."""
    from collector.files import read_bounded
    from collector.orders import configurations

    message = read_bounded(file, configurations.MAX_MESSAGE_BYTES)
    with writing(database) as opened:
        signed = configurations.check(opened, message, now_ms())
        confirm(f"Send {configurations.sentence(signed.configuration)}; signed by {signed.key.name}?", yes=yes)
        _relay(opened, address, signed, wait, as_json=as_json)


@command.command("push")
@wish_options
@orders.send_options
def config_push(
    wish: Wish, address: "Address", database: Target, wait: str | None, *, yes: bool, as_json: bool
) -> None:
    """Sign FILES and send them at once: where the operator's key and the collector's database are in one place."""
    from collector.orders import configurations

    _, message = _sign(wish, database, "Sign and send", yes=yes)
    with writing(database) as opened:
        _relay(opened, address, configurations.check(opened, message, now_ms()), wait, as_json=as_json)


@command.command("status")
@click.argument("number", type=click.IntRange(1), required=False)
@gateway_option
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="The newest so many.")
@database_option
@json_option
def config_status(number: int | None, gateway: str | None, limit: int, database: Target, *, as_json: bool) -> None:
    """What gateways run, and what came of what was sent. With NUMBER: exit code 0 kept, 1 not, 75 not known yet."""
    from collector.orders import configurations

    with reading(database) as opened:
        found = configurations.status(opened, gateway=gateway, number=number)[-limit:]
    _show(found, as_json=as_json)
    if number is not None:
        _leave(configurations.outcome(found, number))


@command.command("running")
@click.argument("gateway")
@click.option("--out", type=FILE, help="A folder that is not there yet: the files go into it.")
@database_option
@json_option
def config_running(gateway: str, out: Path | None, database: Target, *, as_json: bool) -> None:
    """The files that GATEWAY said last that it runs; edited, they are what config push takes."""
    from collector.errors import ConfigurationFault
    from collector.orders import running

    with reading(database) as opened:
        found = running.find(opened, gateway)
    if out is not None:
        running.write(found, out)
    if as_json:
        told = {"gateway": gateway, "hash": found.hash, "source": found.source, "at_ms": found.at_ms}
        more = {"hidden": found.hidden, "reason": found.reason, "folder": None if out is None else str(out)}
        output.as_json({**told, **more, "files": [{"name": name, "text": text} for name, text in found.texts]})
    elif out is None:
        for name, text in found.texts:
            lines = (output.printable(line.expandtabs(), whole=True) for line in text.splitlines())
            click.echo("\n".join([f"# ---- {name}", *lines]))
    if not found.texts:
        raise ConfigurationFault(f"{gateway} runs {found.hash[:12]} and has not told its files: {found.reason}")
    if found.hidden:
        output.note(f'{found.hidden} values are "(hidden)": put them back before this is used')


def _sign(wish: Wish, database: Target, question: str, *, yes: bool) -> "tuple[Configuration, bytes]":
    from buffer.configuration import Configuration
    from buffer.keys import SigningKey
    from collector.orders import configurations

    key = SigningKey.load(wish.key)
    texts = configurations.texts(wish.files)
    stream, base, now = orders.stream_of(database, wish.gateway, wish.stream), _base(database, wish), now_ms()
    ends = now + orders.milliseconds(wish.expires)
    made = Configuration(wish.gateway, stream, wish.number or now, now, ends, base, texts, wish.who, wish.why)
    message = made.sign(key)
    confirm(f"{question} {configurations.sentence(made)}; until {output.moment(ends)} (UTC)?", yes=yes)
    return made, message


def _base(database: Target, wish: Wish) -> bytes:
    from collector.orders import configurations

    if wish.base is not None:
        return configurations.base(wish.base)
    with reading(database) as opened:
        return configurations.running(opened, wish.gateway)


def _relay(database: "Database", address: "Address", signed: "Signed", wait: str | None, *, as_json: bool) -> None:
    from collector.orders import configurations, relay

    made = signed.configuration
    seconds = orders.seconds(wait)
    row = relay.configuration(database, address, signed)
    if wait is None:
        orders.tell_sent("configuration", made, row, as_json=as_json)
        return
    found = orders.until(
        lambda found: configurations.outcome(found, made.number),
        lambda: configurations.status(database, gateway=made.gateway, number=made.number),
        seconds,
    )
    _show(found, as_json=as_json)
    _leave(configurations.outcome(found, made.number))


def _leave(outcome: "Row | None") -> None:
    if outcome is None or outcome["status"] != "kept":
        orders.leave(orders.NO_RESULT if outcome is None else orders.NOT_DONE)


def _show(found: "Sequence[Row]", *, as_json: bool) -> None:
    if as_json:
        for row in found:
            output.as_json(row)
        return
    columns = ["number", "told (UTC)", "gateway", "status", "runs", "hash", "by", "why", "reason"]
    output.as_table(
        columns,
        (
            (
                r["number"], output.moment(r["ts_ms"]), r["gateway"], r["status"], r["source"], (r["hash"] or "")[:12],
                f"{r['who']} ({r['key']})" if r["who"] else "", r["why"], r["reason"],
            )
            for r in found
        ),
    )  # fmt: skip
