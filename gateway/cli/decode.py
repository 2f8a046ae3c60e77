"""`lamppost decode`"""

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import print_json

if TYPE_CHECKING:
    from drivers.decoding import Decode

MAX_INPUT = 64 * 1024 * 1024
"""Bytes of a capture: a day of a receiver at 4800 baud is 40 MB, more than anybody reads through."""

_PLACE = frozenset({"table", "address"})
_OPTIONS = {"ble": frozenset({"company", "service", "key", "address"})}
"""Which options say more of the bytes; where they stood, unless the kind has options of its own."""

_HEX = re.compile(rb"(?:0[xX])?[0-9A-Fa-f]{2}(?:[\s:]*[0-9A-Fa-f]{2})*")


@click.command("decode")
@click.argument("kind")
@click.argument("source", default="-", metavar="[FILE|HEX|-]")
@click.option("--profile", "profile_name", metavar="ID|FILE",
              help="The layout, for kinds whose bytes do not say it (line, frame, modbus).")  # fmt: skip
@click.option("--table", help="modbus: what the bytes are of: holding, input, coil or discrete.")
@click.option("--address", help="modbus: the first register or bit, counted from 0. ble: the sender's address.")
@click.option("--company", metavar="ID", help="ble: the bytes are manufacturer data of this company (0x0499).")
@click.option("--service", metavar="UUID", help="ble: the bytes are service data of this UUID (fcd2).")
@click.option("--key", metavar="HEX", help="ble: the key of an encrypted advertisement.")
@click.option("--raw", is_flag=True, help="The input is the bytes themselves, even if it looks like hex.")
def command(kind: str, source: str, profile_name: str | None, raw: bool, **options: str | None) -> None:
    """Decode captured bytes without any device: a line of JSON a value (point, value, unit, quality) or error.

    KIND is what speaks: nmea, mbus, modbus, ble ... The bytes are a file, hex, or standard input (-). Exit code 65 when
    anything was wrong with them.
    """
    from config import load_profile
    from drivers.decoding import Reading
    from ext import describe
    from gateway.installation import profile_folders
    from gateway.profiles import found as found_profile
    from gateway.status import value_json

    faults = 0
    decode = _decoder(kind, {name: value for name, value in options.items() if value is not None})
    profile = None if profile_name is None else load_profile(found_profile(profile_name), profile_folders())
    for found in decode(_bytes(source, raw=raw), profile):
        if isinstance(found, Reading):
            line = {"point": found.point, "value": value_json(found.value), "unit": found.unit}
            taken = {"format": found.format} if found.format else {}
            print_json(line | {"quality": describe(found.quality)} | taken)
        else:
            faults += 1
            print_json({"error": str(found)})
    if faults:
        sys.exit(65)  # EX_DATAERR


def _decoder(kind: str, given: dict[str, str]) -> "Decode":
    """What reads the bytes of a kind: a decoder of its own, else its driver by a profile."""
    from drivers import registry
    from drivers.decoding import installed, load
    from drivers.rehearsal import decoder

    strange = given.keys() - _OPTIONS.get(kind, _PLACE)
    if strange:
        raise click.UsageError(f"--{min(strange)} is not for the kind {kind}")
    if kind in _OPTIONS:
        return partial(load(kind), **given)
    if kind in installed() or kind not in registry.installed():
        return load(kind) if not given else decoder(kind, dict(given))
    place: dict[str, object] = dict(given)
    if "address" in given:
        if not given["address"].isdecimal():
            raise click.UsageError("--address must be a number")
        place["address"] = int(given["address"])
    return decoder(kind, place)


def _bytes(source: str, *, raw: bool) -> bytes:
    if source != "-" and not Path(source).exists():
        found = _hex(source.encode())
        if found is None:
            raise click.UsageError(f"{source!r} is neither a file nor hex")
        return found
    with sys.stdin.buffer if source == "-" else Path(source).open("rb") as stream:
        data = stream.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise click.UsageError(f"more than {MAX_INPUT >> 20} MB at once")
    return data if raw else _hex(data) or data


def _hex(text: bytes) -> bytes | None:
    """The bytes that a text of hex pairs says; None when it is not that."""
    stripped = text.strip()
    if not _HEX.fullmatch(stripped):
        return None
    digits = re.sub(rb"[\s:]", b"", stripped.removeprefix(b"0x").removeprefix(b"0X"))
    return bytes.fromhex(digits.decode("ascii")) if len(digits) % 2 == 0 else None
