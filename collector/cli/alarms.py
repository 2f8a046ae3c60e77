"""`lamppost-collector alarms`"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collector import output
from collector.cli.options import FILE, database_option, gateway_option, json_option, now_ms, reading, tell, writing
from collector.tables.database import Target

if TYPE_CHECKING:
    from collector.alarms.book import Change

rules_option = click.option("--rules", type=FILE, help="What is an alarm and whom to tell (TOML); defaults otherwise.")


@click.group("alarms")
def command() -> None:
    """What is wrong with gateways and their data."""


@command.command("list")
@gateway_option
@click.option("--past", is_flag=True, help="Cleared ones as well.")
@database_option
@json_option
def alarms_list(gateway: str | None, database: Target, *, past: bool, as_json: bool) -> None:
    """Open alarms, the newest first."""
    from collector.alarms.book import Book

    with reading(database) as opened:
        found = list(Book(opened, tell=False).listed(gateway=gateway, past=past))
    if as_json:
        for row in found:
            output.as_json(row)
        return
    output.as_table(
        ["id", "gateway", "kind", "subject", "raised (UTC)", "state", "detail"],
        (
            (r["id"], r["gateway"], r["kind"], r["subject"], output.moment(r["raised_at"]), _state(r), r["detail"])
            for r in found
        ),
    )


def _state(row: dict[str, Any]) -> str:
    if row["cleared_at"] is not None:
        return f"cleared {output.moment(row['cleared_at'])}"
    return "OPEN" if row["acknowledged_at"] is None else f"known to {row['acknowledged_by']}"


@command.command("ack")
@click.argument("number", type=int)
@click.option("--who", required=True, help="The person, for the record.")
@click.option("--note", help="What is being done about it.")
@database_option
@json_option
def alarms_ack(number: int, who: str, note: str | None, database: Target, *, as_json: bool) -> None:
    """Say that somebody knows of alarm NUMBER; it stays open until it is over."""
    from collector.alarms.book import Book

    with writing(database) as opened:
        row = Book(opened, tell=False).acknowledge(number, who, note, now_ms())
    tell(f"alarm {number}: known to {who}", row, as_json=as_json)


@command.command("check")
@rules_option
@database_option
@json_option
def alarms_check(rules: Path | None, database: Target, *, as_json: bool) -> None:
    """Look once: raise, clear, and tell the webhook. For cron, or in place of `run`."""
    from collector.alarms.rules import load
    from collector.alarms.watch import Watch

    wanted = load(rules)
    with writing(database) as opened:
        for change in Watch(opened, wanted, now_ms).look():
            _tell(change, as_json=as_json)


def _tell(change: "Change", *, as_json: bool) -> None:
    gateway, kind, subject = change.key
    if as_json:
        row = {"id": change.alarm, "event": change.event, "gateway": gateway, "kind": kind, "subject": subject}
        output.as_json({**row, "detail": change.detail})
    else:
        output.note(f"{gateway}: {kind} {subject} {change.event}: {change.detail}")


@command.command("run")
@rules_option
@database_option
def alarms_run(rules: Path | None, database: Target) -> None:
    """Look every so often until SIGTERM; a process of its own, beside `lamppost-collector run`."""
    from collector.alarms.rules import load
    from collector.alarms.watch import Watch

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    wanted = load(rules)
    with writing(database) as opened:
        Watch(opened, wanted, now_ms).run()
