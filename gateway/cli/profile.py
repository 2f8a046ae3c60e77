"""`lamppost profile`"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import json_option, plain, print_json, print_table

if TYPE_CHECKING:
    from config import Profile

EX_DATAERR = 65
EX_CONFIG = 78


@click.group("profile")
def command() -> None:
    """Device models: what there is, what they hold, and whether they keep what their sources say.

    Yours stand in /etc/lamppost/profiles, as NAME.toml; one that has a name of ours replaces ours, or adds to it with
    base = "NAME".
    """


@command.command("list")
@click.option("--driver", help="Only those of this driver.")
@json_option
@click.pass_context
def list_(ctx: click.Context, driver: str | None, as_json: bool) -> None:
    """List every profile, where it comes from and what it replaces."""
    from gateway.setup.profiles import shelf

    known = shelf()
    rows = []
    for name in sorted(known.names()):
        file, *replaced = known.files(name)
        profile = _load(file, ctx)
        if profile is not None and driver in (None, profile.driver):
            rows.append({
                "id": name, "driver": profile.driver, "title": profile.title, "points": len(profile.points),
                "tests": len(profile.tests), "file": str(file), "replaces": [str(one) for one in replaced],
            })  # fmt: skip
    if as_json:
        for row in rows:
            print_json(row)
    else:
        columns = ("id", "driver", "points", "tests", "title")
        print_table("", ("id", "driver", "points>", "tests>", "title"), [[row[key] for key in columns] for row in rows])
        for file, *replaced in (known.files(str(row["id"])) for row in rows):
            if replaced:
                click.echo(plain(f"{file} stands for {', '.join(map(str, replaced))}"))
    _leave(ctx)


@command.command("show")
@click.argument("name", metavar="ID|FILE")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show one profile and its points."""
    from gateway.setup.profiles import found

    file = found(name)
    profile = _load(file, ctx)
    if profile is not None and as_json:
        print_json({
            "id": profile.name, "driver": profile.driver, "title": profile.title, "source": profile.source,
            "file": str(file), "options": profile.options, "identify": profile.identify, "tests": len(profile.tests),
            "untested": profile.untested,
            "points": [
                {"name": point.name, "unit": point.unit, "scale": str(point.scale), **point.options}
                for point in profile.points.values()
            ],
        })  # fmt: skip
    elif profile is not None:
        for text in filter(None, (profile.title, profile.source, str(file))):
            click.echo(plain(text))
        rows = [
            (p.name, p.unit, p.scale, " ".join(f"{key}={value}" for key, value in p.options.items()))
            for p in profile.points.values()
        ]
        print_table("", ("point", "unit", "scale>", f"of {profile.driver}"), rows)
    _leave(ctx)


@command.command("test")
@click.argument("names", nargs=-1, metavar="[ID|FILE]...")
@json_option
@click.pass_context
def test(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Decode what the profiles' sources show, as the agent would, and compare. All profiles without a name.

    Exit code 65 when a value differs, 78 when a profile is not usable.
    """
    from gateway.cli.progress import Progress
    from gateway.setup.profiles import found, shelf

    known = shelf()
    files = [found(name) for name in names] or [known.files(name)[0] for name in sorted(known.names())]
    progress = Progress("profile test", prints=True)
    for file in progress.each(files, lambda file: file.stem):
        profile = _load(file, ctx)
        for told in () if profile is None else _rehearsed(profile, file, ctx):
            if as_json:
                print_json(told)
            else:
                click.echo("\n  ".join(map(plain, _lines(told))))
    _leave(ctx)


def _rehearsed(profile: "Profile", file: Path, ctx: click.Context) -> Iterator[dict[str, object]]:
    from drivers import registry
    from drivers.errors import SetupError, UnknownDriver
    from drivers.rehearsal import judge, rehearse

    try:
        kind = registry.load(profile.driver)
        problems = judge(kind, profile)
        if not problems and not profile.tests:
            yield {"profile": profile.name, "result": "no vectors", "untested": profile.untested}
        for number, outcome in enumerate(() if problems else rehearse(kind, profile)):
            result = "failed" if outcome.faults else "ok"
            _note(ctx, EX_DATAERR if outcome.faults else 0)
            source, faults = outcome.test.source, list(outcome.faults)
            yield {"profile": profile.name, "test": number, "result": result, "faults": faults, "source": source}
    except UnknownDriver as error:
        problems = [("driver", str(error), profile.driver)]
    except SetupError as error:
        problems = list(error.problems)
    _tell(file, problems, ctx)


def _lines(told: dict[str, object]) -> list[object]:
    if told["result"] == "no vectors":
        return [f"{told['profile']}: no vectors" + (f" ({told['untested']})" if told["untested"] else "")]
    faults = told["faults"]
    return [f"{told['profile']}: {told['result']}: {told['source']}", *(faults if isinstance(faults, list) else ())]


def _load(file: Path, ctx: click.Context) -> "Profile | None":
    """The profile of a file; None after telling what is wrong with it."""
    from config import ConfigErrors, load_profile
    from gateway.setup.installation import profile_folders

    try:
        return load_profile(file, profile_folders())
    except ConfigErrors as error:
        for problem in error.problems:
            click.echo(plain(problem), err=True)
        _note(ctx, EX_CONFIG)
        return None


def _tell(file: Path, problems: list[tuple[str, str, object]], ctx: click.Context) -> None:
    from config import Problem

    for path, message, found in problems:
        click.echo(plain(Problem(str(file), path, message, found)), err=True)
        _note(ctx, EX_CONFIG)


def _note(ctx: click.Context, code: int) -> None:
    """Remember the worst exit code."""
    ctx.obj = max(ctx.obj or 0, code)


def _leave(ctx: click.Context) -> None:
    ctx.exit(ctx.obj or 0)
