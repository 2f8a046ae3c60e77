"""The standard models of SunSpec, as the SunSpec Alliance publishes them in the package pysunspec2: data, no code."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

REPEATS = 0  # as the count of a group: as often as the length of the model has room for


@dataclass(frozen=True, slots=True)
class Field:
    """A point of a model, as SunSpec describes it."""

    name: str
    type: str
    """A type of SunSpec: `int16`, `acc32`, `enum16`, `sunssf` ..."""
    size: int
    """Registers."""
    scale: str | int = 0
    """The power of ten: the name of the field that holds it, or itself."""
    units: str = ""
    label: str = ""
    mandatory: bool = False
    static: bool = False
    writable: bool = False
    symbols: tuple[tuple[int, str], ...] = ()
    """Names of values, or of bits of a bit field."""


@dataclass(frozen=True, slots=True)
class Group:
    """Fields, then groups, each `count` times: a number, `REPEATS`, or the name of a field of the model."""

    name: str
    count: int | str
    fields: tuple[Field, ...]
    groups: tuple["Group", ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """One model."""

    id: int
    label: str
    group: Group


Definitions = Mapping[int, Definition]
"""Models by their ids."""


def standard() -> Definitions:
    """The models of the installed package; none where it is not installed."""
    spec = find_spec("sunspec2")
    places = spec.submodule_search_locations if spec is not None else None
    files = (Path(next(iter(places))) / "models" / "json").glob("model_*.json") if places else ()
    models = [parse(json.loads(file.read_text("utf-8"))) for file in files]
    return {model.id: model for model in models}


def parse(raw: Mapping[str, Any]) -> Definition:
    """A definition from the JSON of SunSpec; raises `KeyError`, `TypeError` or `ValueError` for anything else."""
    return Definition(int(raw["id"]), _text(raw["group"], "label"), _group(raw["group"]))


def _group(raw: Mapping[str, Any]) -> Group:
    groups = tuple(_group(one) for one in raw.get("groups", ()))
    count = raw.get("count", 1)
    return Group(_text(raw, "name"), count if isinstance(count, str) else int(count), tuple(_fields(raw)), groups)


def _fields(raw: Mapping[str, Any]) -> Iterator[Field]:
    for one in raw["points"]:
        scale = one.get("sf", 0)
        yield Field(
            name=_text(one, "name"),
            type=_text(one, "type"),
            size=max(1, int(one["size"])),
            scale=scale if isinstance(scale, str) else int(scale),
            units=_text(one, "units").strip(),
            label=_text(one, "label"),
            mandatory=one.get("mandatory") == "M",
            static=one.get("static") == "S",
            writable=one.get("access") == "RW",
            symbols=tuple((int(symbol["value"]), _text(symbol, "name")) for symbol in one.get("symbols", ())),
        )


def _text(raw: Mapping[str, Any], key: str) -> str:
    return str(raw.get(key) or "")
