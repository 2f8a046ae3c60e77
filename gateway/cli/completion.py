"""`lamppost completion`"""

import click

VARIABLE = "_LAMPPOST_COMPLETE"
"""Where click looks for the question of the shell."""


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh"]))
def command(shell: str) -> None:
    """Print what makes SHELL complete verbs and options.

    bash: eval "$(lamppost completion bash)" in ~/.bashrc; zsh: the same in ~/.zshrc, after compinit.
    """
    from click.shell_completion import get_completion_class

    from gateway.cli import lamppost as group

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"click knows no {shell}")
    complete = made(group, {}, "lamppost", VARIABLE)
    click.echo(complete.source_template % complete.source_vars())
