"""Every key of an installation: its value as a file would say it, and where it comes from."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, WithJsonSchema
from pydantic.fields import FieldInfo

from config import Config, Device, Point, format_duration, format_size
from config.errors import hide, key_path
from config.pushed import FOLDER
from config.table import Table
from config.units import DURATION_PATTERN, SIZE_PATTERN
from drivers.base import DeviceSetup, Driver
from gateway.control.status import value_json

DEFAULT = "default"
FORMATS = {DURATION_PATTERN: format_duration, SIZE_PATTERN: format_size}


@dataclass(frozen=True, slots=True)
class Value:
    """One key; `source` is `file`, `profile`, `pushed` or `default`, `file` the file's name, "" for a default."""

    key: str
    value: Any
    source: str
    file: str = ""


def values(config: Config, drivers: tuple[Driver, ...]) -> Iterator[Value]:
    """All of them, in the order of the tables."""
    walk = _Walk(config)
    for name in ("gateway", "uplink", "buffer"):
        table = getattr(config, name)
        if table is not None:
            yield from walk.table(name, table)
    for driver in drivers:
        bus = driver.setup.bus
        yield from walk.table(key_path("buses", bus.id), bus, driver.setup.options)
        for device in driver.setup.devices:
            yield from walk.device(device)


def rows(config: Config, drivers: tuple[Driver, ...]) -> Iterator[dict[str, Any]]:
    """The same for JSON."""
    for one in values(config, drivers):
        yield asdict(one)


class _Walk:
    def __init__(self, config: Config) -> None:
        self._config = config

    def device(self, setup: DeviceSetup) -> Iterator[Value]:
        device = setup.device
        path = key_path("devices", device.id)
        yield from self.table(path, device, setup.options)
        for point in setup.points:
            yield from self.table(f"{path}.points.{point.point.name}", point.point, point.options)

    def table(self, path: str, table: Table, options: BaseModel | None = None) -> Iterator[Value]:
        """A table of ours, and the driver's own keys in it; `options` are those as the driver sees them."""
        for name, field in type(table).model_fields.items():
            if name not in table.derived and not (isinstance(table, Device) and name == "points"):
                given = name in table.model_fields_set
                yield from self._key(f"{path}.{name}", getattr(table, name), field, given=given)
        raw = getattr(table, "options", {})
        known = {} if options is None else type(options).model_fields
        for name, value in raw.items():
            yield self._leaf(f"{path}.{key_path(name)}", value, given=True)
        for name, field in known.items():
            value = getattr(options, name)
            if (field.alias or name) not in raw and value is not None:
                yield from self._key(f"{path}.{field.alias or name}", value, field, given=False)

    def _key(self, path: str, value: Any, field: FieldInfo, *, given: bool) -> Iterator[Value]:  # noqa: ANN401
        if isinstance(value, Table) and not isinstance(value, Point):
            for name, inner in type(value).model_fields.items():
                if name not in value.derived:
                    given_there = given and name in value.model_fields_set
                    yield from self._key(f"{path}.{name}", getattr(value, name), inner, given=given_there)
            return
        if value is None and not given:
            return
        yield self._leaf(path, _written(value, field), given=given)

    def _leaf(self, path: str, value: Any, *, given: bool) -> Value:  # noqa: ANN401
        shown = hide(_plain(value), path.rpartition(".")[2])
        if not given:
            return Value(path, shown, DEFAULT)
        file = self._config.where(path)
        if file.startswith(f"{FOLDER}/"):
            return Value(path, shown, "pushed", file)
        own = self._config.where(".".join(path.split(".")[:2])) if path.startswith("devices.") else file
        return Value(path, shown, "file" if file == own else "profile", file)


def _written(value: Any, field: FieldInfo) -> Any:  # noqa: ANN401 - whatever a key may be
    if isinstance(value, int) and not isinstance(value, bool):
        for pattern, form in FORMATS.items():
            if _has(field.annotation, field.metadata, pattern):
                return form(value)
    return value


def _has(annotation: Any, metadata: Any, pattern: str) -> bool:  # noqa: ANN401 - an annotation has no type of its own
    for one in metadata:
        if isinstance(one, WithJsonSchema) and (one.json_schema or {}).get("pattern") == pattern:
            return True
    return any(_has(part, getattr(part, "__metadata__", ()), pattern) for part in get_args(annotation))


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a key may be
    """What JSON knows: exact decimals as numbers where those are the nearest, all else as text."""
    if isinstance(value, BaseModel):
        url = getattr(value, "url", None)
        return url if isinstance(url, str) else {k: _plain(getattr(value, k)) for k in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    if isinstance(value, Decimal | bool | int | float | str | None):
        return value_json(value)
    return str(value)


def files(config: Config, pushed: Sequence[tuple[str, str]] | None) -> Iterator[dict[str, str]]:
    """`file` and `text` of each file in use: those pushed, or the gateway's own as they are now. Blocks."""
    if pushed is not None:
        yield from ({"file": str(FOLDER / name), "text": text} for name, text in pushed)
        return
    main = Path(config.where(""))
    for file in [main, *sorted(main.parent.glob("conf.d/*.toml"))]:
        with suppress(OSError):
            yield {"file": str(file), "text": file.read_text(errors="replace")}
