"""docs/security.md names tests that exist; the lock and the list of parts are what they must be."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_each_test_that_the_page_names_is_there(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


COUNTS = {"5.1": 5, "5.2": 3, "5.3": 16, "5.4": 4, "5.5": 8, "5.6": 9, "5.7": 2, "5.8": 3, "5.9": 3, "5.10": 1,
          "5.11": 4, "5.12": 3, "5.13": 1, "6": 5}  # fmt: skip
"""Provisions of each clause of ETSI EN 303 645 V2.1.1, its table B.1."""


def test_every_provision_has_a_line() -> None:
    rows = re.findall(r"^\| (\d[\d.]*-\d+) \| ([^|]+) \| ([^|]*) \|$", PAGE, re.MULTILINE)
    assert [row[0] for row in rows] == [f"{clause}-{n}" for clause, last in COUNTS.items() for n in range(1, last + 1)]
    assert len(NAMED) > 40


def _name(text: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", text)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def test_all_that_the_package_needs_is_locked_by_hash() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {_name(one) for one in (*project["dependencies"], *extras["postgres"], *extras["web"])}
    lock = (ROOT / "tools" / "requirements.lock").read_text()
    entries = re.findall(r"^([a-z0-9-]+)==([^ ]+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", lock, re.MULTILINE)
    assert wanted <= {name for name, _, _ in entries}
    assert len(entries) == len(re.findall(r"^[^ #]", lock, re.MULTILINE)) == len({name for name, _, _ in entries})


def test_the_list_of_parts_keeps_the_rules_of_cyclonedx() -> None:
    """Required members, patterns and references of bom-1.5.schema.json (cyclonedx.org)."""
    site = next(Path(sys.prefix).glob("lib/python3*/site-packages"))
    words = [sys.executable, "tools/sbom.py", str(site)]
    made = [subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert made[0] == made[1]
    bom = json.loads(made[0])
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.5", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", bom["serialNumber"])
    refs = [bom["metadata"]["component"]["bom-ref"], *(part["bom-ref"] for part in bom["components"])]
    assert len(refs) == len(set(refs)) > 20
    for part in bom["components"]:
        assert {"type", "name", "version", "purl", "bom-ref"} <= set(part)
        assert all(len(one) == 1 and set(one) <= {"expression", "license"} for one in part.get("licenses", ()))
    assert {link["ref"] for link in bom["dependencies"]} == set(refs)
    assert {need for link in bom["dependencies"] for need in link["dependsOn"]} <= set(refs)
    assert next(link["dependsOn"] for link in bom["dependencies"] if link["ref"] == "lamppost")
