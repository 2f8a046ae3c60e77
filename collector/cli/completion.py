"""`lamppost-collector completion`"""

import click

VARIABLE = "_LAMPPOST_COLLECTOR_COMPLETE"
"""Where click looks for the question of the shell."""


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh"]))
def command(shell: str) -> None:
    """Print what makes SHELL complete verbs and options.

    bash: eval "$(lamppost-collector completion bash)" in ~/.bashrc; zsh: the same in ~/.zshrc, after compinit.
    """
    from click.shell_completion import get_completion_class

    from collector.cli import cli as group

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"click knows no {shell}")
    complete = made(group, {}, "lamppost-collector", VARIABLE)
    click.echo(complete.source_template % complete.source_vars())
