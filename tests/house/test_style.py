"""Rules of CONTRIBUTING.md that no linter holds."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import PACKAGES, ROOT

MAX_LINES = 450
SPEAKS = re.compile(r"(gateway|collector)/(cli|demo)(/|\.py$)")  # what may print: command lines


def _files() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path


def _calls_print(path: Path) -> bool:
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        for node in ast.walk(ast.parse(path.read_text()))
    )


def _goes_on(handler: ast.ExceptHandler) -> bool:
    """Whether the error is raised again as it was: then nothing is caught."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _broad(path: Path) -> Iterator[str]:
    """The lines of bare and broad `except` clauses."""
    lines = path.read_text().splitlines()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.ExceptHandler) and not _goes_on(node):
            names = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"bare"}
            if names & {"bare", "Exception", "BaseException"}:
                yield lines[node.lineno - 1]


def test_only_command_lines_print() -> None:
    assert not [name for name, path in _files() if not SPEAKS.match(name) and _calls_print(path)]


def test_a_broad_except_gives_its_reason_on_its_line() -> None:
    silent = []
    for name, path in _files():
        for line in _broad(path):
            comment = re.sub(r"noqa(: *[A-Z0-9, ]+)?", "", line.partition("#")[2])
            if line.strip().startswith("except:") or not re.search(r"\w{3,}", comment):
                silent.append(f"{name}: {line.strip()}")
    assert not silent


def test_no_file_is_long() -> None:
    assert not [name for name, path in _files() if len(path.read_text().splitlines()) > MAX_LINES]
