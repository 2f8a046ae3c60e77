"""`lamppost-collector audit`"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collector import output
from collector.cli.options import FILE, database_option, gateway_option, json_option, now_ms, reading
from collector.tables.database import Target

if TYPE_CHECKING:
    from collector.query import Row


@click.command("audit")
@gateway_option
@click.option("--since", help="10m (ago), 2026-05-04T12:00 (UTC), or ms since 1970.")
@click.option("--verify", is_flag=True, help="Prove each row from the signed bytes; exit code 65 if one is not proved.")
@click.option("--authority", type=FILE, help="With --verify: the authority's public key, instead of the database's.")
@database_option
@json_option
def command(
    database: Target, gateway: str | None, since: str | None, authority: Path | None, *, verify: bool, as_json: bool
) -> None:
    """Who changed what, when, on whose authority: commands, writes and locks on site, values taken back."""
    from collector.errors import ProofBroken
    from collector.identity import keyrings
    from collector.orders import audit
    from collector.query import parse_time

    start = 0 if since is None else parse_time(since, now_ms())
    pinned = None if authority is None else keyrings.load_authority(authority)
    with reading(database) as opened:
        events = list(audit.events(opened, gateway=gateway, since_ms=start))
        if verify or pinned is not None:
            auditor = audit.Auditor(opened, pinned)
            events = [auditor.examine(event) for event in events]
    if as_json:
        for event in events:
            message = event["message"]
            output.as_json({**event, "message": None if message is None else message.hex()})
    else:
        _show(events)
    broken = sum(bool(event.get("faults")) for event in events)
    if broken:
        raise ProofBroken(f"{broken} of {len(events)} rows are not proved")


def _show(events: "list[Row]") -> None:
    output.as_table(
        ["time (UTC)", "gateway", "what", "source", "who", "why", "authority", "status", "batch", "proof"],
        (
            (
                output.moment(e["utc_ms"]),
                e["gateway"],
                _what(e),
                e["source"],
                e["who"],
                e["why"],
                _authority(e),
                _status(e),
                "" if e["batch"] is None else f"{e['batch']} {e['hash'][:12]}",
                _proof(e),
            )
            for e in events
        ),
    )


def _what(event: "Row") -> str:
    told: dict[str, Any] = event["told"]
    if event["kind"] == "lock" or "unreadable" in told:
        return json.dumps(told, ensure_ascii=False)
    if event["kind"] == "decommissioned":
        return "keys and data destroyed"
    if event["kind"] == "configuration":
        return f"configuration {told.get('number')}: {str(told.get('wanted') or told.get('hash'))[:12]}"
    writes = told.get("writes") or (event.get("command") or {}).get("writes") or []
    shown = ", ".join(_write(one) for one in writes if isinstance(one, dict)) if isinstance(writes, list) else ""
    return f"dry run: {shown}" if told.get("dry_run") else shown


def _write(one: dict[str, Any]) -> str:
    return f"{one.get('point')} = {one['value']}" if "value" in one else str(one.get("point"))


def _authority(event: "Row") -> str:
    if event["key"] is None and event["kid"] is None:
        return ""
    if event["kind"] == "configuration":
        return str(event["key"] or "")
    ring = f", keyring {event['keyring']}" if event.get("keyring") is not None else ""
    return f"{event['key']} ({event['kid'] or 'not relayed here'}{ring})"


def _status(event: "Row") -> str:
    if event["kind"] in ("lock", "decommissioned"):
        return ""
    if event["batch"] is None:
        return "no result" if event["relayed_at"] is not None else "not sent"
    return f"{event['status']}: {event['reason']}" if event["reason"] else str(event["status"])


def _proof(event: "Row") -> str:
    if "faults" not in event:
        return ""
    return "; ".join(event["faults"]) or "ok"
