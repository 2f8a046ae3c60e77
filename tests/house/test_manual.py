"""Manual pages and completion are made of the commands: every verb has both."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tests.conftest import ROOT

GROUPS = {"lamppost": ("gateway.cli", "lamppost"), "lamppost-collector": ("collector.cli", "cli")}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages, as `make install` makes them."""
    folder = tmp_path_factory.mktemp("man1")
    subprocess.run(
        [sys.executable, "tools/man.py", str(folder)], check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}
    )
    return folder


@pytest.mark.parametrize("name", GROUPS)
def test_every_verb_and_every_option_stands_in_a_page(pages: Path, name: str) -> None:
    group: click.Group = getattr(importlib.import_module(GROUPS[name][0]), GROUPS[name][1])
    ctx = click.Context(group, info_name=name)
    whole = (pages / f"{name}.1").read_text()
    for verb in group.list_commands(ctx):
        command = group.get_command(ctx, verb)
        assert command is not None
        text = (pages / f"{name}-{verb}.1").read_text()
        escaped = verb.replace("-", r"\-")
        assert rf"\fB{escaped}\fR(1)" in whole
        below = list(command.commands.values()) if isinstance(command, click.Group) else []
        for one in (command, *below):
            for parameter in one.params:
                option = max(parameter.opts, key=len)
                shown = parameter.make_metavar(ctx) if isinstance(parameter, click.Argument) else option
                assert shown.replace("-", r"\-") in text, shown
        assert all(f"{verb} {one.name}".upper().replace("-", r"\-") in text for one in below)


def test_man_finds_nothing_wrong(pages: Path, program: Callable[[str, str], str]) -> None:
    man = program("man", "man-db")
    for page in sorted(pages.iterdir()):
        done = subprocess.run(
            [man, "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(page)],
            capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), page.name


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_takes_the_completion(name: str, shell: str, tmp_path: Path) -> None:
    module = GROUPS[name][0].partition(".")[0]
    done = subprocess.run(
        [sys.executable, "-m", module, "completion", shell], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert name in done.stdout
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    file = tmp_path / "completion"
    file.write_text(done.stdout)
    subprocess.run([shell, "-n", str(file)], check=True)


@pytest.mark.parametrize(
    ("name", "words", "found"),
    [
        ("lamppost", "lamppost sup", "support-bundle"),
        ("lamppost", "lamppost device rep", "replace"),
        ("lamppost", "lamppost status --js", "--json"),
        ("lamppost-collector", "lamppost-collector repl", "replacements"),
    ],
)
def test_bash_completes(name: str, words: str, found: str) -> None:
    command = Path(sys.executable).with_name(name)
    if not command.exists():
        pytest.skip("the commands are not installed in this environment")
    script = f"""
        PATH={command.parent}:$PATH
        eval "$({name} completion bash)"
        COMP_WORDS=({words}) COMP_CWORD={len(words.split()) - 1}
        _{name.replace("-", "_")}_completion {name} x y
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [found]
