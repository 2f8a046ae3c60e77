"""Print what an environment is made of, in CycloneDX 1.5 (cyclonedx.org/docs/1.5/json): the same input, the same bytes.

python tools/sbom.py SITE-PACKAGES [FOLDER-OF-WHEELS]
"""

import hashlib
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 4122, appendix C: of URLs
OURS = "lamppost"


def bom(site: Path, wheels: Path | None) -> dict[str, Any]:
    """The document."""
    found = {_name(one.name): one for one in distributions(path=[str(site)]) if one.name}
    hashes = dict(_hashes(wheels)) if wheels is not None else {}
    parts = [_component(name, one, hashes) for name, one in sorted(found.items()) if name != OURS]
    main = {"type": "application", "bom-ref": OURS, "name": OURS, "version": found[OURS].version}
    links = [
        {"ref": _ref(name, one), "dependsOn": sorted(_ref(need, found[need]) for need in set(_needs(one)) & set(found))}
        for name, one in sorted(found.items())
    ]
    text = json.dumps([parts, links], sort_keys=True)
    stamp = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, text)}",
        "version": 1, "metadata": {"timestamp": stamp.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": main},
        "components": parts, "dependencies": links,
    }  # fmt: skip


def _name(text: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", text).lower()


def _ref(name: str, one: Distribution) -> str:
    return OURS if name == OURS else f"pkg:pypi/{name}@{one.version}"


def _component(name: str, one: Distribution, hashes: dict[tuple[str, str], str]) -> dict[str, Any]:
    ref = _ref(name, one)
    row: dict[str, Any] = {"type": "library", "bom-ref": ref, "name": name, "version": one.version, "purl": ref}
    if digest := hashes.get((name, one.version)):
        row["hashes"] = [{"alg": "SHA-256", "content": digest}]
    if expressions := one.metadata.get_all("License-Expression"):
        row["licenses"] = [{"expression": expressions[0]}]
    elif names := [
        text.rpartition(" :: ")[2] for text in one.metadata.get_all("Classifier") or () if "License" in text
    ]:
        row["licenses"] = [{"license": {"name": text}} for text in names]
    return row


def _needs(one: Distribution) -> Iterator[str]:
    for line in one.requires or ():
        if match := re.match(r"[A-Za-z0-9._-]+", line):
            yield _name(match.group())


def _hashes(wheels: Path) -> Iterator[tuple[tuple[str, str], str]]:
    for wheel in wheels.glob("*.whl"):
        name, version = wheel.name.split("-")[:2]
        yield (_name(name), version), hashlib.sha256(wheel.read_bytes()).hexdigest()


if __name__ == "__main__":
    made = bom(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    sys.stdout.write(json.dumps(made, indent=1) + "\n")
