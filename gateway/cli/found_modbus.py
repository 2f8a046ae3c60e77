"""What `lamppost scan modbus --write` writes: a configuration that `lamppost check` takes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.output import plain

if TYPE_CHECKING:
    from drivers.modbus.bus import BusOptions
    from drivers.modbus.sweep import Hit

BY_ID = Path("/dev/serial/by-id")
MAX_ID = 32  # characters of an id


def toml(hits: "list[Hit]") -> str:
    """The bus of the first unit that was found, and every unit on it; what is not certain stands in comments."""
    sound = [hit for hit in hits if not hit.found.present.garbled]
    if not sound:
        return "# lamppost scan modbus: nothing was found\n"
    first = sound[0].options
    bus = _bus_id(first)
    lines = ["# Written by lamppost scan modbus.", "", f"[buses.{bus}]", *_bus(first), ""]
    for hit in hits:
        if hit.options != first:
            lines.append(f"# unit {hit.found.present.unit} answered at other settings: {_shown(hit.options)}")
        else:
            lines.extend(_device(hit, bus))
    return "\n".join(lines) + "\n"


def _bus(options: "BusOptions") -> Iterator[str]:
    keys = options.model_dump(mode="json", include={"transport", "host", "port", "baud", "parity", "stop_bits"})
    if "host" not in keys:
        keys["port"] = _by_id(str(keys["port"]))
    yield 'driver = "modbus"'
    for key, value in keys.items():
        yield f"{key} = {_quoted(value)}"
    if getattr(options, "data_bits", 8) == 7:
        yield "data_bits = 7"


def _device(hit: "Hit", bus: str) -> Iterator[str]:
    found = hit.found
    unit = found.present.unit
    if found.present.garbled:
        yield f"# unit {unit} is garbled: {plain(found.present.said)}"
        yield ""
        return
    said = ", ".join(f"{name} {text}" for name, text in found.texts.items())
    yield f"# unit {unit}" + (f": {plain(said)}" if said else "")
    mark = "" if found.profile is not None else "# "
    for fit in found.fits:
        yield f"# fits {fit.profile}: {plain(fit.why)}"
    name = found.profile or (found.fits[0].profile if found.fits else "PROFILE")
    if mark:
        yield "# Name its profile (lamppost profile list), or its points (docs/configuration.md):"
    yield f"{mark}[devices.{_id(f'{name.lower()}-{unit}')}]"
    yield f'{mark}bus = "{bus}"'
    yield f"{mark}address = {unit}"
    yield f'{mark}profile = "{name}"'
    yield f'{mark}every = "10s"'
    yield ""


def _bus_id(options: "BusOptions") -> str:
    place = getattr(options, "host", None) or Path(str(getattr(options, "port", ""))).name
    return _id(f"modbus-{place}")


def _id(text: str) -> str:
    """A proper id; the end of a long one, which tells more."""
    clean = re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")
    return clean if len(clean) <= MAX_ID else clean[-MAX_ID:].strip("-")


def _by_id(port: str) -> str:
    """The name under /dev/serial/by-id where the port has one: it is the same wherever the adapter is plugged in."""
    links = sorted(BY_ID.iterdir()) if BY_ID.is_dir() else []
    return next((str(link) for link in links if link.resolve() == Path(port).resolve()), port)


def _shown(options: "BusOptions") -> str:
    return " ".join(str(value) for value in options.model_dump(mode="json", include={"baud", "parity"}).values())


def _quoted(value: object) -> str:
    if isinstance(value, int):
        return str(value)
    text = plain(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
