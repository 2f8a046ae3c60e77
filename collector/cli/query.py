"""`lamppost-collector query`"""

import click

from collector import output
from collector.cli.options import database_option, gateway_option, json_option, now_ms, reading
from collector.tables.database import Target


@click.command("query")
@click.option("--asset", help="Only this asset (asset_id): what several gateways heard of it counts once.")
@gateway_option
@click.option("--device", help="Only this device.")
@click.option("--point", help="Only this point, alone or as device/point.")
@click.option("--since", help="10m (ago), 2026-05-04T12:00 (UTC), or ms since 1970.")
@click.option("--until", help="The same.")
@click.option("--limit", type=click.IntRange(1, 10_000_000), default=100, show_default=True, help="The newest so many.")
@click.option(
    "--continuous", is_flag=True, help="Counters go on where an exchanged meter ended; `value` stays as it is."
)
@database_option
@json_option
def command(
    database: Target,
    asset: str | None,
    gateway: str | None,
    device: str | None,
    point: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    *,
    continuous: bool,
    as_json: bool,
) -> None:
    """Samples, the newest last."""
    from collector import query as queries
    from ext import describe

    start = None if since is None else queries.parse_time(since, now_ms())
    end = None if until is None else queries.parse_time(until, now_ms())
    with reading(database) as opened:
        rows = queries.samples(
            opened,
            asset=asset,
            gateway=gateway,
            device=device,
            point=point,
            since_ms=start,
            until_ms=end,
            limit=limit,
        )
        if continuous:
            from collector import replacements

            rows = replacements.Continuous(replacements.read(opened, gateway=gateway, device=device)).rows(rows)
        if as_json:
            for row in rows:
                output.as_json(row)
            return
        output.as_table(
            ["time (UTC)", "gateway", "point", "value", *(["continuous"] if continuous else []), "unit", "quality"],
            (
                (
                    output.moment(r["utc_ms"]),
                    r["gateway"],
                    f"{r['device']}/{r['point']}",
                    next((r[name] for name in ("text", "exact", "value") if r[name] is not None), None),
                    *([r["continuous"]] if continuous else ()),
                    r["unit"],
                    describe(r["quality"]),
                )
                for r in rows
            ),
        )
