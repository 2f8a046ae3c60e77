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

MAX_SHOWN = 60  # characters of an argument that an error repeats

_COMMENT = re.compile(rb"#[^\r\n]*")
_HEX = re.compile(rb"(?:0[xX])?[0-9A-Fa-f]{2}(?:(?:[\s:]*|[\s:,]*0[xX])[0-9A-Fa-f]{2})*[\s,]*")
_NO_DIGITS = re.compile(rb"0[xX]|[\s:,]")
_PLACE = frozenset({"table", "address"})
_OPTIONS = {"ble": frozenset({"company", "service", "key", "address"})}
"""Which options say more of the bytes; where they stood, unless the kind has options of its own."""


@click.command("decode")
@click.argument("kind")
@click.argument("source", default="-", metavar="[FILE|HEX|-]")
@click.option("--profile", "profile_name", metavar="ID|FILE",
              help="The layout, where bytes do not say it (modbus; line and frame if none fits).")  # fmt: skip
@click.option("--table", help="modbus: what the bytes are of: holding, input, coil or discrete.")
@click.option("--address", help="modbus: the first register or bit, counted from 0. ble: the sender's address.")
@click.option("--company", metavar="ID", help="ble: the bytes are manufacturer data of this company (0x0499).")
@click.option("--service", metavar="UUID", help="ble: the bytes are service data of this UUID (fcd2).")
@click.option("--key", metavar="HEX", help="ble: the key of an encrypted advertisement.")
@click.option("--raw", is_flag=True, help="The input is the bytes themselves, even if it looks like hex.")
def command(kind: str, source: str, profile_name: str | None, raw: bool, **options: str | None) -> None:
    """Decode captured bytes without any device: a line of JSON a value (point, value, unit, quality) or error.

    KIND is what speaks: nmea, mbus, modbus, ble ... The bytes are a file, hex, or standard input (-). In hex, blanks,
    colons, 0x with commas, and # comments do not count. Exit code 65 when anything was wrong, or nothing was there.
    """
    from config import load_profile
    from drivers.decoding import Reading
    from ext import describe
    from gateway.control.status import value_json
    from gateway.setup.installation import profile_folders
    from gateway.setup.profiles import found as found_profile

    readings = faults = 0
    decode = _decoder(kind, {name: value for name, value in options.items() if value is not None})
    profile = None if profile_name is None else load_profile(found_profile(profile_name), profile_folders())
    data = _bytes(source, raw=raw)
    for found in decode(data, profile):
        if isinstance(found, Reading):
            readings += 1
            line = {"point": found.point, "value": value_json(found.value), "unit": found.unit}
            taken = {"format": found.format} if found.format else {}
            print_json(line | {"quality": describe(found.quality)} | taken)
        else:
            faults += 1
            print_json({"error": str(found)})
    if not readings and not faults:
        print_json({"error": f"nothing of {kind} in {len(data)} bytes"})
    if faults or not readings:
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
        try:
            place["address"] = int(given["address"], 0)
        except ValueError as error:
            raise click.UsageError("--address must be a number") from error
    return decoder(kind, place)


def _bytes(source: str, *, raw: bool) -> bytes:
    if source != "-" and not _is_there(source):
        found = _hex(source.encode())
        if found is None:
            raise click.UsageError(f"{_shown(source)} is neither a file nor hex")
        return found
    with sys.stdin.buffer if source == "-" else Path(source).open("rb") as stream:
        data = stream.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise click.UsageError(f"more than {MAX_INPUT >> 20} MB at once")
    return data if raw else _hex(data) or data


def _is_there(source: str) -> bool:
    try:
        return Path(source).exists()
    except (OSError, ValueError):  # longer than any name, or no text: not a file's name
        return False


def _shown(source: str) -> str:
    return repr(source if len(source) <= MAX_SHOWN else source[:MAX_SHOWN] + "...")


def _hex(text: bytes) -> bytes | None:
    """The bytes that a text of hex pairs says; None when it is not that."""
    plain = _COMMENT.sub(b"", text).strip()
    if not _HEX.fullmatch(plain):
        return None
    return bytes.fromhex(_NO_DIGITS.sub(b"", plain).decode("ascii"))
