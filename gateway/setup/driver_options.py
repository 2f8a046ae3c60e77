"""What an installed driver takes in a configuration, told from its models: names, types, defaults, docstrings."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from config.units import format_duration, format_size, parse_duration, parse_size
from drivers import registry
from drivers.base import Driver, Options

KINDS = (("bus", "BusOptions"), ("device", "DeviceOptions"), ("point", "PointOptions"))
_READ_BY: dict[object, tuple[str, Callable[[int], str]]] = {
    parse_duration: ("duration", format_duration),
    parse_size: ("size", format_size),
}
"""What validators of config.units read texts with: a schema shows the number that they give."""


def told(name: str, kind: type[Driver]) -> dict[str, Any]:
    """A driver as `lamppost drivers --json` shows it."""
    entry = registry.installed()[name]
    folder = kind.profiles
    return {
        "name": name,
        "title": (kind.__doc__ or "").strip().partition("\n")[0],
        "class": entry.value,
        "distribution": "" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}",
        "readme": _readme(kind),
        "profiles": [] if folder is None else sorted(file.stem for file in folder.glob("*.toml")),
        "options": [{"of": of} | row for of, attribute in KINDS for row in options(getattr(kind, attribute))],
    }


def options(model: type[Options]) -> Iterator[dict[str, Any]]:
    """The keys of a table. Where one key decides which others there are, `when` has those of its values."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    variants = list(_variants(model))
    for when, variant in variants:
        for row in _keys(variant):
            known = rows.setdefault((row["name"], row["type"], str(row["default"])), row | {"when": []})
            known["when"] += [when] if when else []
    for row in rows.values():
        yield row | {"when": [] if len(row["when"]) == len(variants) - 1 else row["when"]}


def _variants(model: type[Options]) -> Iterator[tuple[str, type[Options]]]:
    yield "", model
    for name, field in model.model_json_schema().get("properties", {}).items():
        for value in field.get("enum", ()):
            variant = model.variant({name: value})
            if variant is not model:
                yield str(value), variant


def _keys(model: type[Options]) -> Iterator[dict[str, Any]]:
    schema = model.model_json_schema()
    docs = _docs(model)
    for name, field in schema.get("properties", {}).items():
        read = _read_by(model.model_fields[name]) if name in model.model_fields else None
        default = field.get("default")
        yield {
            "name": name,
            "type": _type(field, schema.get("$defs", {})) if read is None else read[0],
            "required": name in schema.get("required", ()),
            "default": read[1](default) if read is not None and isinstance(default, int) else default,
            "doc": field.get("description") or docs.get(name, ""),
        }


def _read_by(field: FieldInfo) -> tuple[str, Callable[[int], str]] | None:
    """The text that a validator of config.units takes, where a field has one."""
    rest: list[object] = [field.annotation, *field.metadata]
    while rest:
        one = rest.pop()
        if isinstance(one, BeforeValidator):
            parse = inspect.getclosurevars(one.func).nonlocals.get("parse") if inspect.isfunction(one.func) else None
            if parse in _READ_BY:
                return _READ_BY[parse]
        rest.extend(get_args(one))
    return None


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in field:
        return _type(definitions[field["$ref"].rpartition("/")[2]], definitions)
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    if any_of := field.get("anyOf", field.get("oneOf")):
        kinds = [_type(one, definitions) for one in any_of]
        return " | ".join(dict.fromkeys(kind for kind in kinds if kind != "null"))
    if field.get("type") == "array" and isinstance(field.get("items"), dict):
        return f"list of {_type(field['items'], definitions)}"
    return str(field.get("type", "any"))


def _docs(model: type[Options]) -> dict[str, str]:
    """The docstrings under the fields, of the model and of those that it comes from."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if issubclass(one, Options):
            with suppress(OSError, TypeError, SyntaxError):  # a partner's driver may come without source
                found |= _under_fields(inspect.getsource(one))
    return found


def _under_fields(source: str) -> dict[str, str]:
    (made,) = ast.parse(textwrap.dedent(source)).body
    body = made.body if isinstance(made, ast.ClassDef) else []
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }  # fmt: skip


def _readme(kind: type[Driver]) -> str | None:
    folder = Path(inspect.getfile(kind)).parent
    return str(folder / "README.md") if (folder / "README.md").is_file() else None
