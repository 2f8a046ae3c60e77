"""`lamppost metrics`"""

from pathlib import Path

import click

from gateway.cli.output import run_dir_option


@click.command("metrics")
@click.option("--points", is_flag=True, help="The points' values as well: a series each.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False),
              help="A file, replaced at once: for node_exporter's textfile collector.")  # fmt: skip
@run_dir_option
def command(points: bool, output: Path | None, run_dir: Path) -> None:
    """Print the agent's state in Prometheus' text format; `lamppost_up 0` where no agent answers (exit code 69)."""
    from gateway.control.client import Client
    from gateway.control.sockets import status_socket
    from gateway.errors import NotRunning
    from gateway.reporting.metrics import render

    try:
        with Client(status_socket(run_dir)) as client:
            status = client.call("status")
    except NotRunning:
        _put(render(None), output)
        raise
    _put(render(status, points=points), output)


def _put(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    part = output.with_name(f".{output.name}.part")
    part.write_text(text, encoding="utf-8")
    part.chmod(0o644)  # node_exporter is another user
    part.replace(output)
