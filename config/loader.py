"""Load an installation: the main file, its conf.d, and the profiles that devices name."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from config.build import Builder, Shelved, merge_points, point_tables, split
from config.errors import ConfigErrors, Problem
from config.merge import Entry, Tables, merge
from config.models import Buffer, Bus, Config, Device, Gateway
from config.prints import CONF_D, fingerprint
from config.profile import Shelf
from config.scalars import is_identifier
from config.source import Source, conf_d_files, is_folder, read
from config.suggest import choice
from config.uplink import Uplink

T = TypeVar("T", Gateway, Uplink, Buffer)

STAND_IN = Gateway(id="unknown", site="unknown")
AGENT = "gateway"  # the device name of the agent's own points, such as gateway/command-result


def load(main: Path, conf_d: Path | None = None, profiles: Sequence[Path] = ()) -> Config:
    """The installation of `main` and the files of `conf_d` (default: conf.d beside it, where there is one).

    `profiles` are folders to look for profiles in, the first hit wins. Raises `ConfigErrors` with all problems at once.
    """
    problems: list[Problem] = []
    found = sources(main, problems, conf_d)
    return assemble(found, profiles, problems)


def sources(main: Path, problems: list[Problem], conf_d: Path | None = None) -> list[Source]:
    """The files of an installation as they are read; what keeps one from being read is added to `problems`."""
    beside = main.parent / CONF_D
    folder = conf_d if conf_d is not None else beside if is_folder(beside) else None
    files = [main, *(conf_d_files(folder, problems) if folder is not None else ())]
    return [source for file in files if (source := read(file, problems)) is not None]


def load_copy(main: Path, conf_d: Path, at: Path, profiles: Sequence[Path] = ()) -> Config:
    """`load` of copies of an installation's files, as if `main` lay at `at` and `conf_d` beside it."""
    problems: list[Problem] = []
    files = {main: at}
    if is_folder(conf_d):
        files.update({file: at.parent / "conf.d" / file.name for file in conf_d_files(conf_d, problems)})
    sources = [replace(source, file=files[file]) for file in files if (source := read(file, problems)) is not None]
    return assemble(sources, profiles, problems)


def assemble(sources: Sequence[Source], profiles: Sequence[Path], problems: Sequence[Problem] = ()) -> Config:
    """The installation of files already read; `problems` are those of files that could not be.

    Raises `ConfigErrors`. What only a missing file could explain is not told.
    """
    builder = Builder(list(problems))
    tables = merge(sources, builder.problems)
    complete = not problems and all(isinstance(source.table.get("buses", {}), dict) for source in sources)
    gateway = _gateway(builder, tables, sources, complete)
    uplink = _section(builder, tables, "uplink", Uplink)
    buffer = _section(builder, tables, "buffer", Buffer)
    buses = _buses(builder, tables)
    devices = _devices(builder, tables, Shelf(profiles), buses, complete)
    if sources:
        builder.files[""] = str(sources[0].file)
    config = Config(
        gateway=gateway or STAND_IN,
        uplink=uplink,
        buffer=buffer or Buffer(),
        buses=buses,
        devices=devices,
        files=builder.files,
        fingerprint=fingerprint(sources),
    )
    if complete and not builder.problems:
        _check_requires(builder, config)
    if builder.problems:
        raise ConfigErrors(builder.problems, config)
    return config


def _gateway(builder: Builder, tables: Tables, sources: Sequence[Source], complete: bool) -> Gateway | None:
    if "gateway" not in tables.sections and complete:
        main = sources[0].file if sources else Path()
        wrong = any("gateway" in source.table for source in sources)
        if not wrong:
            builder.problem(main, "gateway", 'is missing; for example [gateway] with id = "gw-0017" and site = "nord"')
    return _section(builder, tables, "gateway", Gateway)


def _section(builder: Builder, tables: Tables, name: str, model: type[T]) -> T | None:
    entry = tables.sections.get(name)
    if entry is None:
        return None
    builder.files[name] = str(entry.file)
    return builder.table(model, entry, entry.table)


def _buses(builder: Builder, tables: Tables) -> dict[str, Bus]:
    buses = {}
    for name, entry in tables.buses.items():
        builder.files[entry.path] = str(entry.file)
        if not builder.named(entry, name):
            continue
        ours, options = split(Bus, entry.table)
        bus = builder.table(Bus, entry, {**ours, "id": name, "options": options})
        if bus is not None:
            buses[name] = bus
    return buses


def _devices(
    builder: Builder, tables: Tables, shelf: Shelf, buses: dict[str, Bus], complete: bool
) -> dict[str, Device]:
    devices = {}
    for name, entry in tables.devices.items():
        if not builder.named(entry, name):
            continue
        if name == AGENT:
            builder.problem(entry.file, entry.path, "is the name of the agent itself; take another one")
        if complete:
            _check_bus(builder, tables, entry)
        device = _device(builder, shelf, entry, name, buses)
        if device is not None:
            devices[name] = device
    return devices


def _check_bus(builder: Builder, tables: Tables, entry: Entry) -> None:
    bus = entry.table.get("bus")
    if isinstance(bus, str) and bus not in tables.buses:
        message = f"no such bus; {choice(bus, tables.buses)}"
        builder.problem(entry.file, f"{entry.path}.bus", message, bus)


def _check_requires(builder: Builder, config: Config) -> None:
    """Every interlock names a point that there is."""
    points = {point.id: point for device in config.devices.values() for point in device.points.values()}
    for point in points.values():
        for condition in point.writable.requires if point.writable is not None else ():
            if condition.point not in points:
                path = f"devices.{point.id.replace('/', '.points.')}.writable.requires"
                message = f"no such point; {choice(condition.point, points)}"
                builder.problem(Path(config.where(path)), path, message, condition.point)


def _device(builder: Builder, shelf: Shelf, entry: Entry, name: str, buses: dict[str, Bus]) -> Device | None:
    ours, options = split(Device, entry.table, frozenset({"points"}))
    device = builder.table(Device, entry, {**ours, "id": name, "options": options})
    own = point_tables(builder, entry)
    shelved = _profile(builder, shelf, entry, buses)
    points = merge_points(builder, entry, name, own, shelved)
    if device is None or (device.profile is not None and shelved is None):
        return None
    _sources(builder, entry, own, shelved)
    update: dict[str, object] = {"points": points}
    if shelved is not None:
        update["options"] = {**shelved.profile.options, **options}
        update["every"] = device.every if device.every is not None else shelved.profile.every
    return device.model_copy(update=update)


def _profile(builder: Builder, shelf: Shelf, entry: Entry, buses: dict[str, Bus]) -> Shelved | None:
    wanted = entry.table.get("profile")
    if not is_identifier(wanted):  # none, or none that could be one, which the device's own check tells
        return None
    shelved = shelf.find(builder, entry, wanted)
    bus = buses.get(str(entry.table.get("bus")))
    if shelved is not None and bus is not None and shelved.profile.driver != bus.speaks:
        message = f'is for driver "{shelved.profile.driver}", but bus "{bus.id}" has driver "{bus.speaks}"'
        builder.problem(entry.file, f"{entry.path}.profile", message, wanted)
        return None
    return shelved


def _sources(builder: Builder, entry: Entry, own: dict[str, Entry], shelved: Shelved | None) -> None:
    """Note which file each table came from; the longest noted prefix of a key path tells."""
    device = str(entry.file)
    builder.files[entry.path] = device
    if shelved is None:
        return
    file = str(shelved.file)
    builder.files[f"{entry.path}.points"] = file
    builder.files.update((f"{entry.path}.{key}", file) for key in shelved.profile.options if key not in entry.table)
    for name, point in own.items():
        builder.files[point.path] = device
        keys = shelved.tables[name].table.keys() - point.table.keys() if name in shelved.tables else ()
        builder.files.update((f"{point.path}.{key}", file) for key in keys)
