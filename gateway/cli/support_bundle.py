"""`lamppost support-bundle`"""

import time
from pathlib import Path

import click

from gateway.cli.output import config_option, json_option, plain, print_json, run_dir_option


@click.command("support-bundle")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False),
              help="The archive.  [default: lamppost-support-DATE.tar.gz here]")  # fmt: skip
@config_option
@run_dir_option
@json_option
def command(output: Path | None, config: Path, run_dir: Path, as_json: bool) -> None:
    """Pack what support needs to see into one archive: state, configuration, findings, log; no secrets.

    The agent may run, be stopped or be broken: what cannot be had is named in manifest.json. Look into it before you
    send it: `tar xzf FILE`. With sudo it holds more.
    """
    from gateway.bundle.pack import pack
    from gateway.cli.progress import Progress

    target = output or Path(f"lamppost-support-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    with Progress("support-bundle") as progress:
        manifest = pack(config, run_dir, target, lambda name, done, of: progress.at(done, of, name))
    if as_json:
        print_json({"file": str(target)} | manifest)
        return
    for one in manifest["missing"]:
        click.echo(plain(f"without {one['name']}: {one['why']}"), err=True)
    click.echo(plain(target))
