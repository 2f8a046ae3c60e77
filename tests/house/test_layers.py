"""The house stands as CONTRIBUTING.md draws it."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PACKAGES, ROOT


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _table() -> list[tuple[int, str]]:
    """(layer, folder) rows of the table of layers."""
    rows = re.findall(r"^\| (\d) \| `(\w+)/` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    return [(int(layer), folder) for layer, folder in rows]


def test_every_package_is_in_the_table() -> None:
    assert sorted(folder for _, folder in _table()) == sorted(PACKAGES)


def test_table_and_import_linter_agree() -> None:
    contract = _pyproject()["tool"]["importlinter"]["contracts"][0]
    assert contract["type"] == "layers"
    top = len(contract["layers"])
    drawn = {name.strip(): top - i for i, layer in enumerate(contract["layers"]) for name in layer.split("|")}
    assert drawn == {folder: layer for layer, folder in _table()}


def test_import_linter_and_setuptools_know_the_same_packages() -> None:
    tool = _pyproject()["tool"]
    assert tuple(tool["importlinter"]["root_packages"]) == PACKAGES
    found = tool["setuptools"]["packages"]["find"]["include"]
    assert found == [pattern for package in PACKAGES for pattern in (package, f"{package}.*")]


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_typed_and_says_what_it_is(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    assert (ROOT / package / "__init__.py").read_text().startswith('"""')


def test_every_python_folder_is_a_package() -> None:
    folders = {file.parent for package in PACKAGES for file in (ROOT / package).rglob("*.py")}
    bare = [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()]
    assert not [folder for folder in bare if "testcases" not in Path(folder).parts]
