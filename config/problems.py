"""Pydantic's findings as `Problem`s that a technician understands."""

from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.errors import key_path, secret, show
from config.suggest import choice
from config.table import Table

_MESSAGES = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
}

_FILE_HINT = "passwords never stand here; password_file names the file that holds one"


def explain(
    error: ValidationError, path: str, model: type[BaseModel], known: Iterable[str] = ()
) -> list[tuple[str, str, object]]:
    """(key path, message, value found) of each finding in the table at `path`, checked by `model`.

    `known` are keys that are allowed beside those of `model`, for the suggestion about an unknown one.
    """
    return [_explain(detail, path, model, tuple(known)) for detail in error.errors(include_url=False)]


def _explain(
    detail: ErrorDetails, path: str, model: type[BaseModel], known: tuple[str, ...]
) -> tuple[str, str, object]:
    loc = detail["loc"]
    where = f"{path}.{key_path(*loc)}" if path and loc else path or key_path(*loc)
    last = str(loc[-1]) if loc else ""
    found: object = detail["input"]
    if detail["type"] == "missing":
        return where, "is missing" + _example(_model_at(model, loc[:-1]), last), None
    if detail["type"] == "extra_forbidden":
        return _unknown(where, last, found, _keys(_model_at(model, loc[:-1])) + (known if len(loc) == 1 else ()))
    if isinstance(found, dict):
        found = {key: value for key, value in found.items() if key not in _derived(_model_at(model, loc))}
    return where, _message(detail), found


def _message(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return "must be one of " + str(context["expected"]).replace("'", '"')
    return _MESSAGES.get(kind) or detail["msg"][:1].lower() + detail["msg"][1:]


def _unknown(where: str, key: str, found: object, known: tuple[str, ...]) -> tuple[str, str, object]:
    if secret(key, ""):
        return where, f"unknown key; {_FILE_HINT}", found
    return where, f"unknown key; {choice(key, known)}", found


def _keys(model: type[BaseModel] | None) -> tuple[str, ...]:
    if model is None:
        return ()
    return tuple(name for name in model.model_fields if name not in _derived(model))


def _derived(model: type[BaseModel] | None) -> frozenset[str]:
    return model.derived if model is not None and issubclass(model, Table) else frozenset()


def _example(model: type[BaseModel] | None, key: str) -> str:
    field = model.model_fields.get(key) if model is not None else None
    return f"; for example {key} = {show(field.examples[0])}" if field is not None and field.examples else ""


def _model_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model of the table at `loc`, None where that is no table of its own."""
    current: type[BaseModel] | None = model
    for part in loc:
        field = current.model_fields.get(str(part)) if current is not None else None
        current = _model_in(field.annotation) if field is not None else None
    return current


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 an annotation has no type of its own
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
