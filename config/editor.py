"""The JSON Schema of the configuration, for editors (taplo, Even Better TOML)."""

import json
from typing import Any

from config.models import Buffer, Bus, Device, Gateway
from config.point import Point
from config.scalars import ID_PATTERN
from config.table import Table
from config.units import DURATION_PATTERN, SIZE_PATTERN, format_duration, format_size
from config.uplink import Uplink


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of one file. Nothing is required at the top, since conf.d holds parts."""
    definitions: dict[str, Any] = {}
    for model in (Gateway, Uplink, Buffer, Bus, Device, Point):
        schema = model.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(schema.pop("$defs", {}))
        definitions[model.__name__] = schema
    for model in (Bus, Device, Point):
        _open(definitions[model.__name__], model)
    definitions.pop("Broker", None)
    for schema in definitions.values():
        schema["properties"] = {name: _as_written(part) for name, part in schema["properties"].items()}
    definitions["Device"]["properties"]["points"] = _named("Point", "Points of the device, on top of its profile's.")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Lamppost configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "gateway": {"$ref": "#/$defs/Gateway"},
            "uplink": {"$ref": "#/$defs/Uplink"},
            "buffer": {"$ref": "#/$defs/Buffer"},
            "buses": _named("Bus", "Connections, by name."),
            "devices": _named("Device", "Devices, by name."),
        },
        "$defs": dict(sorted(definitions.items())),
    }


def _open(schema: dict[str, Any], model: type[Table]) -> None:
    """Take out what no file sets, and let the driver's own keys in."""
    for name in model.derived:
        schema["properties"].pop(name, None)
    schema["required"] = [name for name in schema.get("required", ()) if name not in model.derived]
    if not schema["required"]:
        del schema["required"]
    schema["additionalProperties"] = True


def _as_written(schema: dict[str, Any]) -> dict[str, Any]:
    """A key's schema in the words of TOML: no null, durations and sizes with units, numbers as numbers."""
    choices = [part for part in schema.get("anyOf", ()) if part != {"type": "null"}]
    if choices:
        inner = choices[0] if len(choices) == 1 else {"anyOf": choices}
        schema = {**inner, **{key: value for key, value in schema.items() if key != "anyOf"}}
    default = schema.pop("default", None)
    if default is not None and not isinstance(default, dict | list):
        schema["default"] = _default(schema, default)
    schema.pop("title", None)
    return schema


def _default(schema: dict[str, Any], default: bool | int | str) -> bool | int | float | str:
    if schema.get("pattern") == DURATION_PATTERN:
        return format_duration(int(default))
    if schema.get("pattern") == SIZE_PATTERN:
        return format_size(int(default))
    if schema.get("type") == "number" or (isinstance(default, str) and default.isdigit()):
        return int(default)
    return default


def _named(model: str, description: str) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "propertyNames": {"pattern": ID_PATTERN},
        "additionalProperties": {"$ref": f"#/$defs/{model}"},
    }


def text() -> str:
    """The schema as the file holds it."""
    return json.dumps(json_schema(), indent=2) + "\n"
