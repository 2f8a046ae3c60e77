"""`lamppost version`"""

import click

from gateway import VERSION
from gateway.cli.output import json_option, plain, print_json


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Show the version of the agent and of what it is made of."""
    import platform
    import sqlite3
    import ssl

    from buffer import migrate

    parts = _parts()
    row = {
        "version": VERSION, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version,
        "openssl": ssl.OPENSSL_VERSION, "machine": platform.machine(), "store": migrate.VERSION, "parts": parts,
    }  # fmt: skip
    if as_json:
        print_json(row)
        return
    click.echo(f"lamppost {VERSION}, store {migrate.VERSION}, {platform.machine()}")
    click.echo(plain(f"Python {row['python']}, SQLite {row['sqlite']}, {row['openssl']}"))
    click.echo(plain(", ".join(f"{name} {version}" for name, version in sorted(parts.items()))))


def _parts() -> dict[str, str]:
    """The distributions beside ours, as they say of themselves."""
    from importlib.metadata import distributions

    return {found.name: found.version for found in distributions() if found.name and found.name != "lamppost"}
