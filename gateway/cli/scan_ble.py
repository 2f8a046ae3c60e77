"""`lamppost scan ble`"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.output import json_option, plain, print_json, print_table
from gateway.cli.scan import refuse_to_overwrite

if TYPE_CHECKING:
    from drivers.decoding import Reading

MAX_DEVICES = 5000  # of one scan: a fair has some thousand
MAX_NAME = 24  # characters of a device's id out of its name: four digits of the address follow


@dataclass(slots=True)
class Seen:
    """A device that advertised: how often, its best signal strength, and the last data of each sender id."""

    address: str
    name: str = ""
    count: int = 0
    rssi: int = -127
    manufacturer: dict[int, bytes] = field(default_factory=dict)
    services: dict[str, bytes] = field(default_factory=dict)
    format: str = ""
    locked: bool = False
    readings: "list[Reading]" = field(default_factory=list)


@click.command("ble")
@click.option("--adapter", default="hci0", show_default=True, help="hciN or the adapter's address.")
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=10, show_default=True)
@click.option("--all", "everything", is_flag=True, help="Also devices of no format that is known.")
@click.option("--write", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the configuration there.")
@json_option
def command(adapter: str, seconds: float, everything: bool, file: Path | None, as_json: bool) -> None:
    """List the Bluetooth devices that advertise near, with the format that fits; beside a running agent as well.

    Their addresses are shown here and written with --write, and nowhere else.
    """
    from drivers.ble.options import RadioOptions

    if file is not None:
        refuse_to_overwrite(file)
    try:
        options = RadioOptions.model_validate({"adapter": adapter, "scan": "active"})
    except ValueError as error:
        raise click.BadParameter(f"{adapter!r} is neither hciN nor an address", param_hint="--adapter") from error
    found = asyncio.run(_listen(options, seconds))
    for one in found:
        _understand(one)
    shown = sorted((one for one in found if everything or one.format), key=lambda one: -one.rssi)
    if file is not None:
        file.write_text(_toml(adapter, shown), "utf-8")
        click.echo(f"wrote {file}; next: lamppost check", err=True)
    if as_json:
        print_json([_json(one) for one in shown])
    else:
        print_table("", ("address", "name", "rssi>", "heard>", "format", "says"), [_row(one) for one in shown])
        if len(found) > len(shown):
            click.echo(f"{len(found) - len(shown)} more of no format that is known (--all)", err=True)


async def _listen(options: Any, seconds: float) -> list[Seen]:  # noqa: ANN401 - RadioOptions, imported late
    from drivers.ble.formats import short
    from drivers.ble.radio import Radio
    from gateway.cli.progress import passing

    seen: dict[str, Seen] = {}

    def heard(
        address: str, rssi: int, manufacturer: Mapping[int, bytes], services: Mapping[str, bytes], name: str
    ) -> None:
        if address not in seen and len(seen) >= MAX_DEVICES:
            return
        one = seen.setdefault(address, Seen(address))
        one.name, one.count, one.rssi = name or one.name, one.count + 1, max(rssi, one.rssi)
        one.manufacturer |= manufacturer
        one.services |= {short(uuid): data for uuid, data in services.items()}

    radio = Radio(options)
    await radio.open()
    try:
        async with passing(seconds, "scan ble"), asyncio.timeout(seconds):
            await radio.listen(heard)
    except TimeoutError:
        return list(seen.values())
    finally:
        await radio.close()
    return list(seen.values())


def _understand(one: Seen) -> None:
    """The first of its data that a format of ours explains, or would with its key."""
    for kind, data in _senders(one):
        for found in _decoded(data, kind, one.address):
            if isinstance(found, Exception):
                one.locked = one.locked or type(found).__name__ == "Locked"
            elif found.format:
                one.format = found.format
                one.readings.append(found)
        if one.format or one.locked:
            one.format = one.format or _locked_format(kind)
            return


def _senders(one: Seen) -> Iterator[tuple[dict[str, str], bytes]]:
    for service, data in one.services.items():
        yield {"service": service}, data
    for company, data in one.manufacturer.items():
        yield {"company": f"0x{company:04x}"}, data


def _decoded(data: bytes, kind: dict[str, str], address: str) -> "Iterator[Any]":
    from drivers.ble.decode import decode

    yield from decode(data, None, address=address, **kind)


def _locked_format(kind: dict[str, str]) -> str:
    from drivers.ble.formats import claiming

    company = int(kind["company"], 16) if "company" in kind else None
    return next((one.name for one in claiming(company, kind.get("service")) if one.key_bytes), "")


def _json(one: Seen) -> dict[str, Any]:
    from gateway.control.status import value_json

    says = {reading.point: value_json(reading.value) for reading in one.readings}
    return {
        "address": one.address, "name": one.name or None, "rssi": one.rssi, "heard": one.count,
        "format": one.format or None, "encrypted": one.locked, "says": says,
    }  # fmt: skip


def _row(one: Seen) -> tuple[object, ...]:
    says = ", ".join(f"{reading.point} {reading.value!s} {reading.unit}".strip() for reading in one.readings[:4])
    return one.address, one.name, one.rssi, one.count, one.format, "encrypted: needs its key" if one.locked else says


def _toml(adapter: str, seen: list[Seen]) -> str:
    """The bus, and each device whose format is known, with its profile or with the points that it spoke of."""
    lines = [f'[buses]\nair = {{ driver = "ble", adapter = "{adapter}" }}\n']
    for one in seen:
        lines.extend(_device(one))
    return "\n".join(lines)


def _device(one: Seen) -> Iterator[str]:
    from drivers.ble.formats import names

    if not one.format:
        return
    stem = re.sub("[^a-z0-9]+", "-", one.name.lower()).strip("-")[:MAX_NAME].strip("-") or one.format[:MAX_NAME]
    device = f"{stem}-{one.address.replace(':', '')[-4:].lower()}"
    yield f"# {plain(one.name)!a}, {one.rssi} dBm" if one.name else f"# {one.rssi} dBm"
    yield f'[devices.{device}]\nbus = "air"\naddress = "{one.address}"'
    if one.format not in names():
        yield f'profile = "{one.format}"\n'
        return
    yield f'format = "{one.format}"'
    if one.locked:
        yield f'key_file = "/etc/lamppost/keys/{device}.key"  # its bind key in hex, mode 0600'
    for name, unit in {reading.point: reading.unit for reading in one.readings}.items():
        yield f'points.{name} = {{ reading = "{name}", unit = "{unit}" }}'
    yield 'points.rssi = { source = "rssi", unit = "dBm" }\n'
