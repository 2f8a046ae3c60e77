"""`lamppost scan modbus`"""

import asyncio
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.output import config_option, json_option, plain, print_json, print_table, run_dir_option
from gateway.cli.scan import borrowed, refuse_to_overwrite
from gateway.polling.places import MODBUS_PORT, place_of

if TYPE_CHECKING:
    from drivers.modbus.bus import BusOptions
    from drivers.modbus.search import Candidate
    from drivers.modbus.sweep import Hit, Progress

MAX_UNIT = 247  # LINE 2.2
_TARGET = re.compile(r"(?P<scheme>tcp|rtu-over-tcp)://\[?(?P<host>[^/\]]+?)\]?(?::(?P<port>\d{1,5}))?/?")


def _units(_ctx: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """The numbers of 1-32 or 1,2,17: each once, in their order."""
    found: set[int] = set()
    for part in value.split(","):
        match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= MAX_UNIT:
            raise click.BadParameter(f"{part!r}: units are 1 to {MAX_UNIT}, for example 1-32 or 1,2,17")
        found.update(range(first, last + 1))
    return tuple(sorted(found))


@click.command("modbus")
@click.argument("target")
@click.option("--units", callback=_units, default="1-247", show_default=True, help="Which units to ask.")
@click.option("--baud", "bauds", type=click.IntRange(300, 4_000_000), multiple=True, help="Only this rate; repeatable.")
@click.option("--parity", type=click.Choice(("none", "even", "odd")), help="Only this parity.")
@click.option("--ascii", "ascii_frames", is_flag=True, help="ASCII frames on the serial line, not RTU.")
@click.option("--timeout", type=click.IntRange(20, 10_000), default=200, show_default=True,
              help="How long each unit may take to answer, in ms.")  # fmt: skip
@click.option("--all", "all_settings", is_flag=True, help="Try all settings, also after units were found.")
@click.option("--write", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the configuration there.")
@config_option
@run_dir_option
@json_option
def command(
    target: str, units: tuple[int, ...], bauds: tuple[int, ...], parity: str | None, ascii_frames: bool, timeout: int,
    all_settings: bool, file: Path | None, config: Path, run_dir: Path, as_json: bool,
) -> None:  # fmt: skip
    """Find Modbus devices at TARGET: tcp://HOST[:PORT], rtu-over-tcp://HOST:PORT of a converter, or a serial port.

    On a serial port, rates and parities are tried, the usual ones first, until units answer. Nothing is written to any
    device. A bus of the running agent is borrowed from it until the scan ends.
    """
    if file is not None:
        refuse_to_overwrite(file)
    tried = settings(target, timeout, bauds, parity, ascii_frames=ascii_frames)
    with borrowed(place(target), config, run_dir):
        hits = asyncio.run(_search(tried, units, all_settings=all_settings))
    if file is not None:
        from gateway.cli.found_modbus import toml

        file.write_text(toml(hits), "utf-8")
        click.echo(f"wrote {file}; next: lamppost check", err=True)
    if as_json:
        print_json([_json(hit) for hit in hits])
    else:
        columns = ("unit>", "line", "says", "vendor", "product", "profile", "why")
        print_table("", columns, [_row(hit) for hit in hits])
        if not hits:
            click.echo("nothing answered", err=True)


def settings(
    target: str, timeout: int, bauds: tuple[int, ...], parity: str | None, *, ascii_frames: bool
) -> "list[BusOptions]":
    """What a target leaves to be tried, in its order; raises `click.UsageError`."""
    from pydantic import ValidationError

    from drivers.modbus.bus import AsciiBus, RtuBus, RtuOverTcpBus, TcpBus
    from drivers.modbus.sweep import BAUDS, formats

    match = _TARGET.fullmatch(target)
    try:
        if match is None and "://" not in target:
            made = formats(target, timeout, bauds or BAUDS, ascii_frames=ascii_frames)
            kept = [m for m in made if isinstance(m, RtuBus | AsciiBus) and parity in (None, m.parity)]
            return list(kept)
        if match is None:
            raise click.UsageError(f"{target}: no tcp://HOST[:PORT], rtu-over-tcp://HOST:PORT or serial port")
        where: dict[str, Any] = {"host": match["host"], "timeout": timeout}
        if match["port"] is not None:
            where["port"] = int(match["port"])
        if match["scheme"] == "tcp":
            return [TcpBus.model_validate({"transport": "tcp", **where})]
        return [RtuOverTcpBus.model_validate({"transport": "rtu-over-tcp", **where, "baud": (bauds or BAUDS)[0]})]
    except ValidationError as error:
        raise click.UsageError(f"{target}: {error.errors()[0]['msg']}") from error


def place(target: str) -> str:
    """The target as `borrowed` takes it."""
    match = _TARGET.fullmatch(target)
    if match is None:
        return place_of(target)
    return f"{match['host']}:{match['port'] or MODBUS_PORT}"


async def _search(settings: "list[BusOptions]", units: tuple[int, ...], *, all_settings: bool) -> "list[Hit]":
    from drivers.modbus.sweep import Sweep, steps

    show = _Shown()
    sweep = Sweep(steps(settings, units), _candidates(), show.progress, all_settings=all_settings)
    click.echo(f"this takes at most {_time(sweep.seconds)}, and a moment for each unit that is found", err=True)
    hits = []
    async for hit in sweep.run():
        show.clear()
        said = hit.found.present
        click.echo(plain(f"unit {said.unit} at {_line(hit.options)}: {_said(hit)}"), err=True)
        hits.append(hit)
    show.clear()
    return hits


class _Shown:
    """One line on stderr that is written over, on a terminal; else a line a setting."""

    def __init__(self) -> None:
        self._line = ""
        self._terminal = sys.stderr.isatty()

    def progress(self, now: "Progress") -> None:
        """Show how far it is."""
        line = _line(now.options)
        if self._terminal:
            text = f"{line}  unit {now.unit}  found {now.found}  {_time(now.seconds_left)} left"
            click.echo(f"\r{plain(text)}\x1b[K", err=True, nl=False)
        elif line != self._line:
            click.echo(plain(f"{line}: at most {_time(now.seconds_left)} left"), err=True)
        self._line = line

    def clear(self) -> None:
        """Make room for a line that stays."""
        if self._terminal:
            click.echo("\r\x1b[K", err=True, nl=False)


def _candidates() -> "list[Candidate]":
    """Every Modbus profile that can be loaded; what is wrong with others, `lamppost profile list` says."""
    from config import ConfigErrors, load_profile
    from drivers.errors import SetupError
    from gateway.setup.installation import profile_folders
    from gateway.setup.profiles import shelf

    known, found = shelf(), []
    for name in sorted(known.names()):
        try:
            profile = load_profile(known.files(name)[0], profile_folders())
            if profile.driver == "modbus":
                found.append(_candidate(profile))
        except (ConfigErrors, SetupError):
            continue
    return found


def _candidate(profile: Any) -> "Candidate":  # noqa: ANN401 - config.Profile, which is not imported for --help
    from drivers.modbus import ModbusDriver
    from drivers.modbus.identity import Identity
    from drivers.modbus.pdu import Request
    from drivers.modbus.search import Candidate
    from drivers.profiled import stand_in
    from drivers.setup import check_options

    identity = check_options(Identity, profile.identify, "identify", frozenset(), []) or Identity()
    bus = {"transport": "tcp", "host": "none"}
    driver = stand_in(ModbusDriver, profile, bus, {"address": 1}, profile.points)
    return Candidate(profile.name, identity, tuple(r.request for r in driver.reads() if isinstance(r.request, Request)))


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _line(options: "BusOptions") -> str:
    """Such as 9600 8N1, or the host."""
    from drivers.modbus.bus import AsciiBus, RtuBus

    if isinstance(options, RtuBus | AsciiBus):
        stop = (
            "1/2" if (options.parity, options.stop_bits, options.transport) == ("none", 2, "rtu") else options.stop_bits
        )
        return f"{options.baud} {options.data_bits}{options.parity[0].upper()}{stop}"
    return options.transport


def _said(hit: "Hit") -> str:
    present = hit.found.present
    if present.garbled:
        return f"garbled: two units with one number, another rate, or noise ({present.said})"
    if hit.every_unit:
        return "answers to every unit number"
    return present.said or "answers"


def _row(hit: "Hit") -> tuple[object, ...]:
    found = hit.found
    names, why = found.profile or "", found.fits[0].why if found.fits else ""
    if not names and found.fits:
        names = "perhaps " + ", ".join(fit.profile for fit in found.fits)
    vendor, product = found.texts.get("vendor", ""), found.texts.get("product", "")
    return found.present.unit, _line(hit.options), _said(hit), vendor, product, names, why


def _json(hit: "Hit") -> dict[str, Any]:
    found, options = hit.found, hit.options
    made = options.model_dump(mode="json", include={"transport", "host", "port", "baud", "parity", "stop_bits"})
    return {
        "unit": found.present.unit, "bus": made, "says": found.present.said or None, "garbled": found.present.garbled,
        "every_unit": hit.every_unit, "identification": found.texts, "profile": found.profile,
        "candidates": [{"id": fit.profile, "score": fit.score, "why": fit.why} for fit in found.fits],
    }  # fmt: skip
