"""`lamppost-collector`: the verbs of the platform's side."""

import logging
import queue
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from typing import Any, TextIO

import click

from buffer.errors import BufferFault
from collector import output
from collector.database import Database
from collector.errors import CollectorError, UsageError

EX_USAGE = 64  # sysexits.h
INTERRUPTED = 130  # 128 + SIGINT, as shells say it
DATABASE = "/var/lib/lamppost-collector/collector.db"

FILE = click.Path(path_type=Path)
database_option = click.option(
    "--database",
    type=FILE,
    default=DATABASE,
    envvar="LAMPPOST_COLLECTOR_DATABASE",
    show_default=True,
    help="The SQLite file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
gateway_option = click.option("--gateway", help="Only this gateway.")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@contextmanager
def _reading(path: Path) -> Iterator[Database]:
    database = Database.read(path)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _writing(path: Path) -> Iterator[Database]:
    database = Database.open(path)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _logging(level: int) -> Iterator[None]:
    """Write the log to standard error in a thread of its own: whoever reads it slowly stops nothing."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = QueueListener(lines, handler)
    queued = QueueHandler(lines)
    queued.setFormatter(logging.Formatter("%(message)s"))  # the listener's handler adds the rest
    logging.basicConfig(level=level, handlers=[queued])
    listener.start()
    try:
        yield
    finally:
        listener.stop()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lamppost")
def cli() -> None:
    """Receive, verify, store and acknowledge what gateways send."""


@cli.command()
@database_option
@click.option("--key", type=FILE, required=True, help="The platform's private key (key new makes one).")
@click.option("--broker", required=True, help="mqtt://host:port or mqtts://host:port")
@click.option("--root", default="lamppost", show_default=True, help="The first part of every topic.")
@click.option("--share/--no-share", default=True, help="Share the subscription with other collectors.")
@click.option("--id", "identifier", help="MQTT client id; a random one otherwise.")
@click.option("--mqtt-version", type=click.Choice(["auto", "5", "3.1.1"]), default="auto", show_default=True)
@click.option("--username")
@click.option("--password-file", type=FILE)
@click.option("--ca", type=FILE, help="Certificates to trust, PEM; the system's otherwise.")
@click.option("--cert", type=FILE, help="Client certificate, PEM.")
@click.option("--cert-key", type=FILE, help="Its private key, PEM.")
@click.option("-v", "--verbose", is_flag=True, help="Say more on standard error.")
def run(
    database: Path,
    key: Path,
    broker: str,
    root: str,
    identifier: str | None,
    mqtt_version: str,
    username: str | None,
    password_file: Path | None,
    ca: Path | None,
    cert: Path | None,
    cert_key: Path | None,
    *,
    share: bool,
    verbose: bool,
) -> None:
    """Serve until SIGTERM."""
    from collector import service
    from collector.broker import Address
    from config import Broker

    try:
        password = None if password_file is None else password_file.read_text().strip()
        where = Broker.parse(broker)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    address = Address(where, root, share, identifier, mqtt_version, username, password, ca, cert, cert_key)
    with _logging(logging.DEBUG if verbose else logging.INFO):
        service.run(service.Settings(database, key, address))


@cli.group()
def gateways() -> None:
    """Which gateways are known."""


@gateways.command("add")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--beside", is_flag=True, help="Keep the gateway's older keys valid as well.")
@database_option
@json_option
def gateways_add(file: TextIO, database: Path, *, beside: bool, as_json: bool) -> None:
    """Make the public key in FILE known (lamppost key show prints it; - is standard input)."""
    from buffer.keys import MAX_KEY_FILE
    from collector import registry

    key = registry.parse(file.read(MAX_KEY_FILE + 1))
    with _writing(database) as opened:
        added = registry.add(opened, key, _now_ms(), beside=beside)
    if as_json:
        output.as_json({"gateway": key.gateway, "site": key.site, "kid": key.kid.hex(), "added": added})
    else:
        output.note(f"{key.gateway} of site {key.site}: key {key.kid.hex()} {'added' if added else 'was known'}")


@gateways.command("list")
@database_option
@json_option
def gateways_list(database: Path, *, as_json: bool) -> None:
    """One row a key, with what its gateway has delivered."""
    from collector import registry

    with _reading(database) as opened:
        rows = registry.overview(opened)
    if as_json:
        for row in rows:
            output.as_json(row)
        return
    output.as_table(
        ["gateway", "site", "key", "state", "batches", "last", "waiting", "gaps"],
        (
            (
                r["gateway"],
                r["site"],
                r["kid"],
                _state(r),
                r["batches"],
                output.moment(r["last_at"]),
                r["waiting"],
                r["gaps"],
            )
            for r in rows
        ),
    )


def _state(row: dict[str, Any]) -> str:
    if row["revoked_at"] is not None:
        return f"revoked {output.moment(row['revoked_at'])}"
    return "FORKED" if row["forked"] else "ok"


@gateways.command("revoke")
@click.argument("gateway")
@click.option("--kid", help="Only this key of it.")
@database_option
@json_option
def gateways_revoke(gateway: str, kid: str | None, database: Path, *, as_json: bool) -> None:
    """Believe GATEWAY's signatures no more; what is stored stays."""
    from collector import registry

    with _writing(database) as opened:
        count = registry.revoke(opened, gateway, _now_ms(), kid)
    _tell(f"{gateway}: {count} keys revoked", {"gateway": gateway, "revoked": count}, as_json=as_json)


@gateways.command("confirm")
@click.argument("gateway")
@database_option
@json_option
def gateways_confirm(gateway: str, database: Path, *, as_json: bool) -> None:
    """Take and acknowledge GATEWAY's forked streams again: what is stored stands, the other side stays refused."""
    from collector import registry

    with _writing(database) as opened:
        count = registry.confirm(opened, gateway)
    _tell(f"{gateway}: {count} streams confirmed", {"gateway": gateway, "confirmed": count}, as_json=as_json)


def _tell(text: str, row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.as_json(row)
    else:
        output.note(text)


@cli.command()
@gateway_option
@click.option("--device", help="Only this device.")
@click.option("--point", help="Only this point, alone or as device/point.")
@click.option("--since", help="10m (ago), 2026-05-04T12:00 (UTC), or ms since 1970.")
@click.option("--until", help="The same.")
@click.option("--limit", type=click.IntRange(1, 10_000_000), default=100, show_default=True, help="The newest so many.")
@database_option
@json_option
def query(
    database: Path,
    gateway: str | None,
    device: str | None,
    point: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """Samples, the newest last."""
    from collector import query as queries
    from ext import describe

    start = None if since is None else queries.parse_time(since, _now_ms())
    end = None if until is None else queries.parse_time(until, _now_ms())
    with _reading(database) as opened:
        rows = queries.samples(
            opened, gateway=gateway, device=device, point=point, since_ms=start, until_ms=end, limit=limit
        )
        if as_json:
            for row in rows:
                output.as_json(row)
            return
        output.as_table(
            ["time (UTC)", "gateway", "point", "value", "unit", "quality"],
            (
                (
                    output.moment(r["utc_ms"]),
                    r["gateway"],
                    f"{r['device']}/{r['point']}",
                    next((r[name] for name in ("text", "exact", "value") if r[name] is not None), None),
                    r["unit"],
                    describe(r["quality"]),
                )
                for r in rows
            ),
        )


@cli.command()
@gateway_option
@click.option("--state", type=click.Choice(["pending", "ledgered", "broken"]))
@database_option
@json_option
def gaps(database: Path, gateway: str | None, state: str | None, *, as_json: bool) -> None:
    """What is missing (pending), accounted for as lost (ledgered), or does not fit together (broken)."""
    from collector import query as queries

    with _reading(database) as opened:
        rows = list(queries.gaps(opened, gateway=gateway, state=state))
    if as_json:
        for row in rows:
            output.as_json(row)
        return
    output.as_table(
        ["gateway", "stream", "first", "last", "from (UTC)", "to (UTC)", "samples", "state", "reason"],
        (
            (
                r["gateway"],
                r["stream"][:8],
                r["first"],
                r["last"],
                output.moment(r["from_ms"]),
                output.moment(r["to_ms"]),
                r["samples"],
                r["state"],
                f"{r['reason']} ({r['refused']} refused)" if r["refused"] else r["reason"],
            )
            for r in rows
        ),
    )


@cli.command()
@gateway_option
@database_option
@json_option
def waiting(database: Path, gateway: str | None, *, as_json: bool) -> None:
    """Stored batches whose samples wait for a catalogue or a clock, or stay out for good."""
    from collector import query as queries

    with _reading(database) as opened:
        rows = list(queries.waiting(opened, gateway=gateway))
    if as_json:
        for row in rows:
            output.as_json(row)
        return
    columns = ["gateway", "stream", "number", "state", "samples", "reason"]
    output.as_table(columns, ([row[name] for name in columns] for row in rows))


@cli.command()
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="The newest so many.")
@click.option("--count", is_flag=True, help="How many for each reason, instead.")
@click.option("--raw", type=int, metavar="ID", help="The bytes of one, instead.")
@database_option
@json_option
def refused(database: Path, limit: int, raw: int | None, *, count: bool, as_json: bool) -> None:
    """What was not taken, and why."""
    from collector import query as queries

    with _reading(database) as opened:
        if raw is not None:
            sys.stdout.buffer.write(queries.refused_bytes(opened, raw))
            return
        rows = list(queries.refusals(opened) if count else queries.refused(opened, limit))
    if as_json:
        for row in rows:
            output.as_json(row)
        return
    times = {"received_at", "last_at"}
    columns = ["reason", "count", "overflow", "last_at"] if count else ["id", "received_at", "topic", "reason", "bytes"]
    output.as_table(columns, ([output.moment(r[name]) if name in times else r[name] for name in columns] for r in rows))


@cli.command()
@database_option
@json_option
def rebuild(database: Path, *, as_json: bool) -> None:
    """Make every derived table anew from the stored batches (stop `run` first; one transaction)."""
    from collector import derive

    with _writing(database) as opened:
        count = derive.rebuild(opened)
    _tell(f"{count} batches", {"batches": count}, as_json=as_json)


@cli.group()
def key() -> None:
    """The platform's key, which signs acknowledgements."""


@key.command("new")
@click.argument("file", type=FILE)
def key_new(file: Path) -> None:
    """Make a private key in FILE and print the public one (the gateways' authority.json)."""
    from buffer.keys import SigningKey

    click.echo(SigningKey.create(file).public(role="acknowledge").to_json())


@key.command("show")
@click.argument("file", type=FILE)
def key_show(file: Path) -> None:
    """Print the public key of the private one in FILE (the gateways' authority.json)."""
    from buffer.keys import SigningKey

    click.echo(SigningKey.load(file).public(role="acknowledge").to_json())


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
    except (CollectorError, BufferFault) as error:
        output.note(f"lamppost-collector: {error}")
        sys.exit(error.exit_code)
