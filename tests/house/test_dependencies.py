"""What the agent brings along: names that do not collide with ours, and licences that a city may use."""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

from tests.conftest import PACKAGES

PERMISSIVE = re.compile(r"\b(MIT|MIT-0|BSD|[023]-Clause|Apache|ISC|ISCL|PSF|PSF-2\.0|Unlicense|Public Domain)\b")
STRICT = re.compile(r"\bA?L?GPL|\bSSPL|\bBUSL")


def _closure(name: str, extras: tuple[str, ...], seen: dict[str, Distribution]) -> None:
    """Add `name` and all that it needs on this machine to `seen`."""
    try:
        found = distribution(name)
    except PackageNotFoundError:  # needed on other machines only, or a marker says so
        return
    key = found.metadata["Name"].lower()
    if key in seen and not extras:
        return
    seen[key] = found
    for line in found.requires or []:
        wanted = Requirement(line)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            _closure(wanted.name, tuple(wanted.extras), seen)


def _runtime() -> dict[str, Distribution]:
    """Every distribution that the agent, its demo, its scans and its page need, by name, without ours."""
    seen: dict[str, Distribution] = {}
    _closure("lamppost", ("demo", "sunspec", "web"), seen)
    del seen["lamppost"]
    return seen


def _top_level(found: Distribution) -> Iterator[str]:
    for file in found.files or []:
        name = file.parts[0].partition(".")[0]
        if not file.parts[0].endswith((".dist-info", ".data")):
            yield name


def _licence(found: Distribution) -> str:
    """The licence as the distribution's metadata tells it: an SPDX expression, else classifiers, else free text."""
    fields = found.metadata.json
    classifiers = [line for line in fields.get("classifier", ()) if line.startswith("License ::")]
    return str(fields.get("license_expression") or "; ".join(classifiers) or fields.get("license", ""))


def test_the_closure_is_what_it_should_be() -> None:
    assert {"pydantic-core", "pydantic_core"} & set(_runtime())
    assert {"pymodbus", "paho-mqtt", "amqtt", "starlette", "h11"} <= set(_runtime())
    assert "pytest" not in _runtime()


def test_no_dependency_ships_a_package_of_our_name() -> None:
    collisions = {name: set(_top_level(found)) & set(PACKAGES) for name, found in _runtime().items()}
    assert not {name: names for name, names in collisions.items() if names}


def test_licences_are_permissive() -> None:
    licences = {name: _licence(found) for name, found in _runtime().items()}
    assert not {n: text for n, text in licences.items() if not PERMISSIVE.search(text) or STRICT.search(text)}
