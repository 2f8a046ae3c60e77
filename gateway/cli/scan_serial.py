"""`lamppost scan serial`"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.output import config_option, json_option, print_json, print_table, run_dir_option
from gateway.cli.scan import InService, refuse_in_service, refuse_to_overwrite
from gateway.polling.places import place_of

if TYPE_CHECKING:
    from drivers.guess import Guess, Known

BAUDS = (9600, 4800, 115200, 38400, 19200, 2400, 1200)  # the most usual first: meters, receivers, P1, Linky
BY_ID = Path("/dev/serial/by-id")
PROC = Path("/proc")
MAX_HEARD = 16_384  # bytes kept of one rate: more than any telegram is long
PROFILED = ("frame", "line")  # drivers whose profiles say what speaks


@dataclass(frozen=True, slots=True)
class Seen:
    """A port: its stable name, who holds it, and what speaks there at which rate."""

    port: str
    by_id: str
    held: str = ""
    baud: int = 0
    guess: "Guess | None" = None
    error: str = ""


@click.command("serial")
@click.argument("ports", nargs=-1, metavar="[PORT]...")
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=2.5, show_default=True, help="At each baud rate.")
@click.option("--baud", "bauds", type=click.IntRange(50, 4_000_000), multiple=True, help="Only this rate; repeatable.")
@click.option("--no-listen", is_flag=True, help="Only list the ports.")
@click.option("--write", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the configuration there.")
@config_option
@run_dir_option
@json_option
def command(
    ports: tuple[str, ...], seconds: float, bauds: tuple[int, ...], no_listen: bool, file: Path | None, config: Path,
    run_dir: Path, as_json: bool,
) -> None:  # fmt: skip
    """List the serial ports (or look at PORT...), who holds them, and guess by listening what speaks there.

    Nothing is sent. What the running agent has, or any other process, is left alone.
    """
    if file is not None:
        refuse_to_overwrite(file)
    from gateway.cli.progress import Progress

    rates = () if no_listen else bauds or BAUDS
    with Progress("scan serial") as progress:
        seen = [_look(p, rates, seconds, config, run_dir) for p in progress.each(ports or _ports())]
    if file is not None:
        file.write_text(_toml(seen), "utf-8")
        click.echo(f"wrote {file}; next: lamppost check", err=True)
    if as_json:
        print_json([_json(one) for one in seen])
    else:
        print_table("", ("port", "name", "held by", "baud>", "speaks", "profile", ""), [_row(one) for one in seen])


def _ports() -> list[str]:
    from serial.tools import list_ports

    return sorted(str(port.device) for port in list_ports.comports())


def _look(port: str, rates: tuple[int, ...], seconds: float, config: Path, run_dir: Path) -> Seen:
    from drivers.errors import BusError

    by_id = next((str(link) for link in _links() if link.resolve() == Path(port).resolve()), "")
    try:
        refuse_in_service(place_of(port), config, run_dir)
    except InService as error:
        return Seen(port, by_id, "lamppost", error=str(error))
    if holder := _holder(Path(port).resolve()):
        return Seen(port, by_id, holder)
    known = _known() if rates else []
    for baud in rates:
        try:
            heard = asyncio.run(_hear(port, baud, seconds))
        except BusError as error:
            return Seen(port, by_id, error=str(error))
        if made := _guess(heard, known):
            return Seen(port, by_id, baud=baud, guess=made)
    return Seen(port, by_id)


def _guess(heard: bytes, known: "list[Known]") -> "Guess | None":
    from drivers.guess import guess

    return guess(heard, known)


def _links() -> list[Path]:
    return sorted(BY_ID.iterdir()) if BY_ID.is_dir() else []


def _holder(port: Path) -> str:
    """The first other process that has it open, by number and name; "" for none, or one that may not be looked at."""
    for link in PROC.glob("[0-9]*/fd/*"):
        try:
            if link.readlink() == port:
                process = link.parent.parent
                return f"{process.name} ({(process / 'comm').read_text('utf-8', 'replace').strip()})"
        except OSError:
            continue
    return ""


async def _hear(port: str, baud: int, seconds: float) -> bytes:
    """What arrives at that rate, 8 bits without parity; raises `BusError`."""
    from drivers.port import Port, SerialBus

    heard = bytearray()
    line = Port(SerialBus(port=port, baud=baud))
    await line.open()
    try:
        async with asyncio.timeout(seconds):
            await line.listen(lambda data: heard.extend(data[: MAX_HEARD - len(heard)]))
    except TimeoutError:
        return bytes(heard)
    finally:
        await line.close()
    return bytes(heard)


def _known() -> "list[Known]":
    """The profiles that have checksums, each with its decoder: without one any bytes may fit."""
    from config import load_profile
    from drivers import decoding, registry

    found = []
    for name in PROFILED:
        folder = registry.load(name).profiles
        files = sorted(folder.glob("*.toml")) if folder is not None else []
        profiles = [load_profile(file) for file in files]
        found += [(profile, decoding.load(name)) for profile in profiles if "checksum" in profile.options]
    return found


def _json(one: Seen) -> dict[str, Any]:
    made: dict[str, Any] = {"port": one.port, "name": one.by_id or None, "held_by": one.held or None}
    if one.error:
        return made | {"error": one.error}
    guess = one.guess
    if guess is None:
        return made | {"speaks": None}
    bits = {"data_bits": 7, "parity": "even"} if guess.seven_even else {"data_bits": 8, "parity": "none"}
    return made | {"speaks": guess.driver, "profile": guess.profile or None, "baud": one.baud, **bits}


def _row(one: Seen) -> tuple[object, ...]:
    guess = one.guess
    if guess is None:
        return one.port, one.by_id, one.held, "", "", "", one.error
    return one.port, one.by_id, one.held, one.baud, guess.driver, guess.profile, "7E1" if guess.seven_even else ""


def _toml(seen: list[Seen]) -> str:
    """A bus for each port where something speaks; what stays to be said is a comment."""
    return "\n".join(line for number, one in enumerate(seen) for line in _tables(number, one)) + "\n"


def _tables(number: int, one: Seen) -> Iterator[str]:
    if one.guess is None:
        return
    bits = 'data_bits = 7\nparity = "even"\n' if one.guess.seven_even else ""
    # a path is no TOML text of its own: what could end the quotes is no name of a device file
    port = (one.by_id or one.port).replace("\\", "").replace('"', "").replace("\n", "")
    yield f'[buses.serial-{number}]\ndriver = "{one.guess.driver}"\nport = "{port}"\nbaud = {one.baud}\n{bits}'
    if one.guess.profile:
        yield f'[devices.device-{number}]\nbus = "serial-{number}"\nprofile = "{one.guess.profile}"\n'
    else:
        yield f"# which device is on serial-{number}: see the README of the driver {one.guess.driver}\n"
