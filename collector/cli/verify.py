"""`lamppost-collector verify`"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collector import output
from collector.cli.options import FILE, database_option, gateway_option, json_option, reading
from collector.errors import FileFault, ProofBroken
from collector.tables.database import Target

if TYPE_CHECKING:
    from collector.verify.report import Report
    from collector.verify.walk import Heads

INCOMPLETE = 75  # EX_TEMPFAIL: numbers may still arrive
MAX_HEADS = 64 << 20  # bytes: a line has some 500, and 100 faults at most


@click.command("verify")
@gateway_option
@click.option("--heads", type=FILE, help="What an earlier `verify --json` printed: nothing of that may be gone.")
@database_option
@json_option
def command(database: Target, gateway: str | None, heads: Path | None, *, as_json: bool) -> None:
    """Prove from the signed bytes that nothing stored is missing or altered, and that the tables say just that.

    Exit code 0: all is proved; 75: numbers have not arrived; 65: something is wrong.
    """
    from collector.verify.walk import walk

    reports = []
    with reading(database) as opened:
        for report in walk(opened, gateway, _heads(heads)):
            reports.append(report)
            if as_json:
                output.as_json(report.row)
    if not as_json:
        _show(reports)
    if broken := [report for report in reports if report.state == "broken"]:
        raise ProofBroken(f"{len(broken)} of {len(reports)} streams are not as they were signed")
    if any(report.state == "incomplete" for report in reports):
        output.note("nothing is altered, and numbers have not arrived")
        raise click.exceptions.Exit(INCOMPLETE)


def _heads(path: Path | None) -> "Heads":
    from collector.files import read_bounded

    if path is None:
        return {}
    try:
        rows = [json.loads(line) for line in read_bounded(path, MAX_HEADS).splitlines()]
        return {(row["gateway"], row["stream"]): (int(row["last"]), str(row["hash"])) for row in rows}
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise FileFault(f"{path}: not what verify --json printed: {error}") from error


def _show(reports: "list[Report]") -> None:
    output.as_table(
        ["gateway", "stream", "state", "batches", "samples", "waiting", "last", "hash", "missing", "ledgered"],
        (
            (
                r.gateway, r.stream[:8], r.state, r.batches, r.samples, r.waiting, r.last, r.hash[:16],
                sum(last - first + 1 for first, last in r.missing), r.ledgered,
            )
            for r in reports
        ),
    )  # fmt: skip
    for report in reports:
        for found in report.faults:
            place = "" if found["number"] is None else f" batch {found['number']}:"
            output.note(f"{report.gateway} {report.stream[:8]}:{place} {found['kind']}: {found['detail']}")
        if report.fault_count > len(report.faults):
            output.note(f"{report.gateway} {report.stream[:8]}: {report.fault_count - len(report.faults)} more")
