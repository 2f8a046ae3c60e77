"""`python tools/man.py FOLDER` writes the manual pages of both commands, made of the commands themselves (man(7))."""

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click

COMMANDS = {"lamppost": ("gateway.cli", "lamppost"), "lamppost-collector": ("collector.cli", "cli")}

EXITS = (
    ("0", "Done."), ("1", "Done, with warnings, or what was asked for did not come about."),
    ("2", "The doctor found a failure."),
    ("64", "The command line is wrong."), ("65", "Data are wrong: a signature, a profile, a file."),
    ("69", "The agent, or the broker, is not there."), ("70", "A fault of the program."),
    ("74", "A file cannot be read or written."), ("75", "Not now; later perhaps."), ("77", "This user may not."),
    ("78", "The configuration is wrong."), ("130", "Interrupted."),
)  # fmt: skip


def pages(name: str) -> Iterator[tuple[str, str]]:
    """File name and text of each page of a command: one for itself, one for each verb."""
    module, attribute = COMMANDS[name]
    group: click.Group = getattr(import_module(module), attribute)
    ctx = click.Context(group, info_name=name)
    verbs = {verb: group.get_command(ctx, verb) for verb in group.list_commands(ctx)}
    short = dict(import_module(module).VERBS)
    yield f"{name}.1", _whole(name, group, ctx, short)
    for verb, command in verbs.items():
        if command is not None:
            yield f"{name}-{verb}.1", _verb(name, verb, command, ctx, short[verb])


def _whole(name: str, group: click.Group, ctx: click.Context, short: dict[str, str]) -> str:
    rows = [
        _head(f"{name}", group.help or ""),
        ".SH SYNOPSIS", f".B {_text(name)}", r"[\fB\-\-version\fR] [\fB\-\-help\fR] \fIVERB\fR [\fIARGUMENT\fR]...",
        ".SH DESCRIPTION", *_paragraphs(group.help or ""),
        "Each verb has a page of its own, and", r".B \-\-help",
    ]  # fmt: skip
    rows += [".SH VERBS"]
    for verb, text in short.items():
        rows += [".TP", rf"\fB{_text(verb)}\fR(1)", _text(text)]
    rows += [".SH OPTIONS", *_options(group, ctx), ".SH EXIT STATUS"]
    for code, text in EXITS:
        rows += [".TP", f".B {code}", _text(text)]
    rows += [".SH ENVIRONMENT", *_environment(group, ctx), ".SH SEE ALSO"]
    others = [f"{name}-{verb}" for verb in short] + [other for other in COMMANDS if other != name]
    rows += [",\n".join(rf"\fB{_text(other)}\fR(1)" for other in others)]
    return "\n".join(rows) + "\n"


def _verb(name: str, verb: str, command: click.Command, parent: click.Context, short: str) -> str:
    ctx = click.Context(command, info_name=verb, parent=parent)
    rows = [_head(f"{name}-{verb}", short), ".SH SYNOPSIS", *_synopsis(command, ctx)]
    rows += [".SH DESCRIPTION", *_paragraphs(command.help or short), *_options_of(command, ctx)]
    for _, one, below in _below(command, ctx):
        rows += [f".SH {_text(below.command_path.removeprefix(name + ' ')).upper()}", *_synopsis(one, below)]
        rows += [".PP", *_paragraphs(one.help or ""), *(row for row in _options_of(one, below) if row != ".SH OPTIONS")]
    rows += [".SH SEE ALSO", rf"\fB{_text(name)}\fR(1)"]
    return "\n".join(rows) + "\n"


def _below(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    """The commands of a group, and of the groups in it."""
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            one = command.get_command(ctx, name)
            if one is not None:
                below = click.Context(one, info_name=name, parent=ctx)
                yield name, one, below
                yield from _below(one, below)


def _head(title: str, text: str) -> str:
    line = " ".join(text.split()).removesuffix(".")
    return f'.TH "{title.upper()}" "1" "" "Lamppost" "User Commands"\n.SH NAME\n{_text(title)} \\- {_text(line)}'


def _synopsis(command: click.Command, ctx: click.Context) -> list[str]:
    return [
        f".B {_text(ctx.command_path)}",
        " ".join(rf"\fI{_text(piece)}\fR" for piece in command.collect_usage_pieces(ctx)),
    ]


def _options_of(command: click.Command, ctx: click.Context) -> list[str]:
    found = list(_options(command, ctx))
    return [".SH OPTIONS", *found] if found else []


def _options(command: click.Command, ctx: click.Context) -> Iterator[str]:
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None and not isinstance(parameter, click.Argument):
            yield ".TP"
            yield rf"\fB{_text(record[0])}\fR"
            yield _text(record[1]) or r"\&"


def _environment(group: click.Group, ctx: click.Context) -> Iterator[str]:
    """The variables that options may come from, once each."""
    found: dict[str, str] = {}
    for _, command, _below_ctx in _below(group, ctx):
        for parameter in command.params:
            if isinstance(parameter.envvar, str):
                found.setdefault(parameter.envvar, f"Stands for {parameter.opts[0]}.")
    for name, text in sorted((found | {"NO_COLOR": "Show nothing in colours."}).items()):
        yield from (".TP", f".B {_text(name)}", _text(text))


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.replace("\b\n", ""))):
        if number:
            yield ".PP"
        yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    """As roff takes it: no escape of its own, no request at the start of a line."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("`", "").replace("~", r"\(ti").replace("^", r"\(ha")
    escaped = " ".join(escaped.split())
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


def main() -> None:
    """Write the pages into the folder that is named."""
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/man.py FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in COMMANDS:
        for file, text in pages(name):
            (folder / file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
