"""`lamppost drivers`"""

from typing import Any

import click

from gateway.cli.output import json_option, plain, print_json, print_table


@click.command("drivers")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the installed drivers; with NAME, its options of bus, device and point, and its profiles."""
    from drivers import registry
    from drivers.errors import UnknownDriver
    from gateway.setup.driver_options import told

    found, broken = [], []
    for one in sorted(registry.installed()) if name is None else [name]:
        try:
            found.append(told(one, registry.load(one)))
        except UnknownDriver as error:
            broken.append(str(error))
    if name is not None and broken:
        raise click.UsageError(plain(broken[0]))
    if as_json:
        for row in found:
            print_json(row)
    elif name is not None:
        _show(found[0])
    else:
        rows = [(row["name"], row["title"], len(row["profiles"]), row["distribution"]) for row in found]
        print_table("", ("driver", "", "profiles>", "from"), rows)
    for text in broken:
        click.echo(plain(text), err=True)


def _show(told: dict[str, Any]) -> None:
    click.echo(plain(f"{told['name']}: {told['title']} ({told['distribution']})"))
    print_table("", ("of", "option", "type", "default", ""), [_row(option) for option in told["options"]])
    if told["profiles"]:
        click.echo(plain(f"profiles: {', '.join(told['profiles'])}"))
    if told["readme"]:
        click.echo(plain(f"more: {told['readme']}"))


def _row(option: dict[str, Any]) -> tuple[object, ...]:
    default = "required" if option["required"] else "" if option["default"] is None else option["default"]
    when = f"({', '.join(option['when'])}) " if option["when"] else ""
    return option["of"], option["name"], option["type"], default, f"{when}{option['doc']}"
