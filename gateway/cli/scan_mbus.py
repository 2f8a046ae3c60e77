"""`lamppost scan mbus`"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.output import config_option, json_option, plain, print_json, print_table, run_dir_option
from gateway.cli.scan import borrowed, refuse_to_overwrite
from gateway.polling.places import place_of

if TYPE_CHECKING:
    from drivers.mbus.options import MbusBus
    from drivers.mbus.records import Record
    from drivers.mbus.search import Found

BAUDS = ("300", "600", "1200", "2400", "4800", "9600", "19200", "38400")  # EN 13757-2, 5.2
ADDRESS_BITS = 480  # of the line for an address where nobody is: 0.2 s at 2400 baud
MAX_POINTS = 32  # of a meter in the file that --write makes; who wants more sees all by --json
MAX_NAME = 32  # characters of the name of a point


@click.command("mbus")
@click.argument("port")
@click.option("--baud", type=click.Choice(BAUDS), default="2400", show_default=True)
@click.option("--by", type=click.Choice(("address", "number", "both")), default="both", show_default=True,
              help="Ask each primary address, or search the meters' numbers digit by digit.")  # fmt: skip
@click.option("--first", type=click.IntRange(0, 250), default=0, help="First primary address.")
@click.option("--last", type=click.IntRange(0, 250), default=250, help="Last primary address.")
@click.option("--write", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the configuration there.")
@config_option
@run_dir_option
@json_option
def command(
    port: str, baud: str, by: str, first: int, last: int, file: Path | None, config: Path, run_dir: Path, as_json: bool
) -> None:
    """Find M-Bus meters at PORT, a device file or HOST:PORT of a converter. All addresses take 50 s at 2400 baud."""
    from drivers.mbus.options import MbusBus

    if file is not None:
        refuse_to_overwrite(file)
    options = MbusBus.model_validate({**_place(port), "baud": int(baud)})
    with borrowed(place_of(port), config, run_dir):
        found = asyncio.run(_search(options, by, first, last))
    if file is not None:
        file.write_text(_toml(port, int(baud), found), "utf-8")
        click.echo(f"wrote {file}; next: lamppost check", err=True)
    if as_json:
        print_json([_json(one) for one in found])
    else:
        rows = [_row(one) for one in found]
        print_table("", ("address>", "number", "manufacturer", "version>", "medium", "records>", ""), rows)


def _place(port: str) -> dict[str, object]:
    match = re.fullmatch(r"\[?([^/]+?)\]?:(\d{1,5})", port)
    return {"transport": "tcp", "host": match[1], "port": int(match[2])} if match else {"port": port}


async def _search(options: "MbusBus", by: str, first: int, last: int) -> list["Found"]:
    """All that answers; a meter that was found by its address is not told again by its number."""
    from drivers.mbus import search
    from drivers.mbus.driver import wire
    from drivers.mbus.master import Master
    from gateway.cli.progress import passing

    line = wire(options)
    await line.open()
    try:
        master = Master(line, options.baud, options.latency_ms)
        async with passing((last - first + 1) * ADDRESS_BITS / options.baud, "scan mbus: addresses"):
            found = await _all(search.primary(master, first, last)) if by != "number" else []
        known = {one.identification for one in found if one.telegram is not None}
        numbers = await _all(search.secondary(master)) if by != "address" else []
        return found + [one for one in numbers if one.identification not in known]
    finally:
        await line.close()


async def _all(search: AsyncIterator["Found"]) -> list["Found"]:
    return [found async for found in search]


def _json(one: "Found") -> dict[str, Any]:
    made: dict[str, Any] = {"address": one.address, "number": one.identification}
    if one.telegram is None:
        return made | {"error": one.error}
    header = one.telegram.header
    names = [record.name for record in one.telegram.records]
    return made | {
        "manufacturer": header.manufacturer, "version": header.version, "medium": header.medium, "records": names,
    }  # fmt: skip


def _row(one: "Found") -> tuple[object, ...]:
    address = "" if one.address is None else one.address
    if one.telegram is None:
        return address, one.identification, "", "", "", "", one.error
    header = one.telegram.header
    return (
        address, one.identification, header.manufacturer, header.version, header.medium, len(one.telegram.records), "",
    )  # fmt: skip


def _toml(port: str, baud: int, found: list["Found"]) -> str:
    """The bus, and each meter that could be read with the points that its records are."""
    options = ", ".join(f"{key} = {_quoted(value)}" for key, value in (_place(port) | {"baud": baud}).items())
    lines = [f'[buses]\nmbus = {{ driver = "mbus", {options} }}\n']
    for one in found:
        if one.telegram is not None:
            lines.extend(_device(one))
    return "\n".join(lines)


def _device(one: "Found") -> Iterator[str]:
    from drivers.mbus.records import distinct

    assert one.telegram is not None  # noqa: S101 - the caller looked
    header = one.telegram.header
    name = f"meter-{one.identification}".lower() if one.identification else f"meter-at-{one.address}"
    by_address = one.address is not None
    where = f"address = {one.address}" if by_address else f"secondary = {_quoted(one.identification)}"
    yield f"# {header.manufacturer}, version {header.version}, {header.medium}"
    yield f'[devices.{name}]\nbus = "mbus"\n{where}\n'
    readable = [record for record in one.telegram.records if record.quantity != "plain-text"]
    keys = [(record.name, record.unit) for record in readable]
    names: set[str] = set()
    for number, (text, record) in enumerate(list(distinct(tuple(readable)))[:MAX_POINTS]):
        point = re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")[:MAX_NAME].strip("-")
        point = f"record-{number}" if point in names else point
        names.add(point)
        nth = keys[: number + 1].count(keys[number]) if keys.count(keys[number]) > 1 else None
        yield from _point(f"devices.{name}.points.{point}", record, nth)


def _point(path: str, record: "Record", nth: int | None) -> Iterator[str]:
    yield f"[{path}]\nquantity = {_quoted(record.quantity)}"
    if record.unit:
        yield f"unit = {_quoted(record.unit)}"
    for key in ("storage", "tariff", "subunit"):
        if number := getattr(record, key):
            yield f"{key} = {number}"
    if record.function != "instantaneous":
        yield f"function = {_quoted(record.function)}"
    if record.modifier:
        yield f"modifier = {_quoted(record.modifier)}"
    if nth is not None:
        yield f"nth = {nth}"
    yield ""


def _quoted(value: object) -> str:
    if isinstance(value, int):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain(text)}"'
