"""`lamppost-collector replacements`"""

from pathlib import Path

import click

from collector import output
from collector.cli.options import database_option, gateway_option, json_option, reading


@click.command("replacements")
@gateway_option
@click.option("--device", help="Only of this device.")
@database_option
@json_option
def command(database: Path, gateway: str | None, device: str | None, *, as_json: bool) -> None:
    """Meters that were exchanged: what the old one said last, the new one first."""
    from collector import replacements

    with reading(database) as opened:
        events = replacements.read(opened, gateway=gateway, device=device)
    if as_json:
        for e in events:
            output.as_json({
                "gateway": e.gateway, "device": e.device, "point": e.point, "at_ms": e.at_ms,
                "final": f"{e.final:f}", "start": f"{e.start:f}", "offset": f"{e.offset:f}", "unit": e.unit,
                "who": e.who, "why": e.why, "stream": e.stream, "batch": e.batch,
            })  # fmt: skip
        return
    output.as_table(
        ["time (UTC)", "gateway", "point", "old", "new", "unit", "who", "why"],
        (
            (output.moment(e.at_ms), e.gateway, f"{e.device}/{e.point}", f"{e.final:f}", f"{e.start:f}", e.unit,
             e.who, e.why)
            for e in events
        ),
    )  # fmt: skip
