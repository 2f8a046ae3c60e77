"""`lamppost scan sunspec`"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from gateway.cli.output import config_option, json_option, plain, print_json, print_table, run_dir_option
from gateway.cli.scan import borrowed, refuse_to_overwrite
from gateway.polling.places import place_of

if TYPE_CHECKING:
    from drivers.errors import DeviceError
    from drivers.modbus.bus import BusOptions
    from drivers.modbus.sunspec import Map
    from drivers.modbus.sunspec_layout import Place
    from drivers.modbus.sunspec_models import Definitions

PORTS = {"tcp": 502, "rtu-over-tcp": None}
LABELS = {"Mn": "manufacturer", "Md": "model", "SN": "serial", "Vr": "version"}  # points of model 1 that say who it is
INSTALL = "install pysunspec2 (/opt/lamppost/bin/pip install pysunspec2) to see the points of the models"


@dataclass(frozen=True, slots=True)
class Found:
    """What one unit holds, or why that is not known."""

    unit: int
    map: "Map"
    error: "DeviceError | None" = None


@click.command("sunspec")
@click.argument("place")
@click.option("--unit", "units", type=click.IntRange(0, 255), multiple=True, default=(1,), show_default=True,
              help="Unit to ask; repeatable.")  # fmt: skip
@click.option("--base", "bases", type=click.IntRange(0, 65535), multiple=True,
              help="Register where the map begins; repeatable.  [default: 40000, 50000 and 0]")  # fmt: skip
@click.option("--baud", type=click.IntRange(300, 1_000_000), default=9600, show_default=True)
@click.option("--parity", type=click.Choice(("none", "even", "odd")), default="none", show_default=True)
@click.option("--timeout", default="1s", show_default=True, help="How long a unit may take to answer.")
@click.option("--model", "models", type=click.IntRange(1, 65534), multiple=True, help="Only this model; repeatable.")
@click.option("--all", "everything", is_flag=True, help="Also settings, and points without a value.")
@click.option("--write", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the configuration there.")
@config_option
@run_dir_option
@json_option
def command(
    place: str, units: tuple[int, ...], bases: tuple[int, ...], baud: int, parity: str, timeout: str,
    models: tuple[int, ...], everything: bool, file: Path | None, config: Path, run_dir: Path, as_json: bool,
) -> None:  # fmt: skip
    """Follow the chain of SunSpec models at PLACE: tcp://HOST[:PORT], rtu-over-tcp://HOST:PORT or a device file.

    Nothing is written to the device.
    """
    from drivers.modbus.sunspec_models import standard

    known = standard()
    if file is not None:
        refuse_to_overwrite(file)
        if not known:
            raise click.UsageError(INSTALL)
    bus = _bus(place, baud, parity, timeout)
    with borrowed(f"{bus['host']}:{bus['port']}" if "host" in bus else place_of(place), config, run_dir):
        found = asyncio.run(_surveys(_options(bus), known, units, bases))
    if not any(one.map.models for one in found):
        raise next(one.error for one in found if one.error is not None)
    chosen = [(one, _chosen(one.map, models, everything)) for one in found]
    if file is not None:
        file.write_text("\n".join(_toml(bus, chosen, known)), "utf-8")
        click.echo(f"wrote {file}; next: lamppost check", err=True)
    if not known:
        click.echo(INSTALL, err=True)
    if as_json:
        print_json([_json(one, points, known) for one, points in chosen])
    else:
        for one, points in chosen:
            _print(one, points, known)


def _bus(place: str, baud: int, parity: str, timeout: str) -> dict[str, object]:
    """The table of the bus at `place`; raises `click.UsageError`."""
    made: dict[str, object] = {"driver": "modbus"}
    if "://" not in place:
        made |= {"transport": "rtu", "port": place, "baud": baud, "parity": parity}
    else:
        try:
            parts = urlsplit(place)
            port = parts.port or PORTS[parts.scheme]
        except (KeyError, ValueError):
            port = None
        if port is None or not parts.hostname or parts.path not in ("", "/"):
            raise click.UsageError(f"{place!r} is not tcp://HOST[:PORT], rtu-over-tcp://HOST:PORT or a device file")
        made |= {"transport": parts.scheme, "host": parts.hostname, "port": port}
        if parts.scheme == "rtu-over-tcp":
            made["baud"] = baud
    return made | {"timeout": timeout}


def _options(bus: Mapping[str, object]) -> "BusOptions":
    from pydantic import ValidationError

    from drivers.modbus.bus import BusOptions

    options = {key: value for key, value in bus.items() if key != "driver"}
    try:
        made = BusOptions.variant(options).model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        raise click.UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    assert isinstance(made, BusOptions)  # noqa: S101 - each transport's model is one
    return made


# Asking ---------------------------------------------------------------------------------------------------------------


async def _surveys(
    options: "BusOptions", known: "Definitions", units: tuple[int, ...], bases: tuple[int, ...]
) -> list[Found]:
    """What each unit holds; raises `BusError`."""
    from drivers.errors import DeviceError
    from drivers.modbus.sunspec import BASES, Survey
    from drivers.modbus.sunspec_scan import run
    from drivers.modbus.transport import client

    made = client(options)
    await made.open()
    found = []
    try:
        for unit in units:
            survey = Survey(known, bases or BASES)
            try:
                await run(survey, made, unit)
            except DeviceError as error:
                survey.found.fault = str(error)
                found.append(Found(unit, survey.found, error))
            else:
                found.append(Found(unit, survey.found))
    finally:
        await made.close()
    return found


# Showing --------------------------------------------------------------------------------------------------------------

Points = list[tuple[str, "Place"]]
"""Names and places of the points that are shown and written."""


def _chosen(found: "Map", models: tuple[int, ...], everything: bool) -> Points:
    from drivers.modbus.sunspec_points import is_wanted, named

    return [
        (name, place)
        for name, place in named(found.places)
        if (not models or place.model.id in models) and is_wanted(place, found.registers, everything)
    ]


def _label(known: "Definitions", model: int) -> str:
    definition = known.get(model)
    return definition.label if definition is not None else ""


def _text(value: object) -> object:
    return format(value, "f") if isinstance(value, Decimal) else value


def _short(value: object) -> object:
    """For people: a float32 has seven digits."""
    return "" if value is None else format(value, ".7g") if isinstance(value, float) else _text(value)


def _json(one: Found, points: Points, known: "Definitions") -> dict[str, Any]:
    from drivers.modbus.sunspec_points import unit_of, value

    made: dict[str, Any] = {"unit": one.unit, "base": one.map.base, "error": one.map.fault or None}
    return made | {
        "models": [
            {"id": model.id, "label": _label(known, model.id), "register": model.address, "length": model.length}
            for model in one.map.models
        ],
        "points": [
            {"name": name, "model": place.model.id, "register": place.address, "label": place.field.label,
             "value": _text(value(place, one.map.registers)), "unit": unit_of(place.field.units)}
            for name, place in points
        ],
    }  # fmt: skip


def _print(one: Found, points: Points, known: "Definitions") -> None:
    from drivers.modbus.sunspec_points import unit_of, value

    for model in one.map.models:
        rows = [
            (place.address, name, _short(value(place, one.map.registers)),
             unit_of(place.field.units), place.field.label)
            for name, place in points if place.model == model
        ]  # fmt: skip
        label = _label(known, model.id) or "not known"
        title = f"unit {one.unit}, register {model.address}: model {model.id}, {plain(label)}, {model.length} registers"
        click.echo(title)
        if rows:
            print_table("", ("register>", "point", "value>", "unit", ""), rows)
    if one.map.fault:
        click.echo(f"unit {one.unit}: {plain(one.map.fault)}", err=True)


# Writing --------------------------------------------------------------------------------------------------------------


def _toml(bus: Mapping[str, object], found: list[tuple[Found, Points]], known: "Definitions") -> Iterator[str]:
    """The bus, and each unit with its points where they were found."""
    options = ", ".join(f"{key} = {_value(value)}" for key, value in bus.items())
    yield f"[buses]\nsunspec = {{ {options} }}\n"
    names: set[str] = set()
    for one, points in found:
        if not points:
            continue
        name, labels = _who(one)
        name = f"sunspec-{one.unit}" if not name or name in names else name
        names.add(name)
        yield f'[devices.{name}]\nbus = "sunspec"\naddress = {one.unit}\nhigh_registers = true'
        yield f"labels = {_value(labels)}\n\n[devices.{name}.points]"
        model = None
        for point, place in points:
            if place.model != model:
                model = place.model
                yield f"# model {model.id}: {plain(_label(known, model.id))}"
            yield f"{point} = {_value(_config(place))}"
        yield ""


def _who(one: Found) -> tuple[str, dict[str, str]]:
    """A name for the device, and labels that identify it, from its first model 1."""
    from drivers.modbus.sunspec_points import MAX_NAME, slug, value

    labels: dict[str, str] = {}
    for place in one.map.places:
        if place.model.id == 1 and place.field.name in LABELS and (said := value(place, one.map.registers)):
            labels.setdefault(LABELS[place.field.name], plain(said))
    name = slug(f"{labels.get('manufacturer', '')}-{labels.get('serial', '')}")
    return name[:MAX_NAME].strip("-"), labels


def _config(place: "Place") -> dict[str, Any]:
    from drivers.modbus.sunspec_points import config

    made = config(place)
    assert made is not None  # noqa: S101 - `is_wanted` takes none but these
    return made


def _raw(bits: int) -> str:
    return f"0x{bits:X}" if bits else "0"


def _value(value: object) -> str:
    """The value as TOML."""
    if isinstance(value, dict):
        inner = ", ".join(f"{key} = {_raw(one) if key == 'sentinel' else _value(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | Decimal):
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    text = plain(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
