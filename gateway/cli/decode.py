"""`lamppost decode`"""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import print_json

if TYPE_CHECKING:
    from config import Profile

MAX_INPUT = 64 * 1024 * 1024
"""Bytes of a capture: a day of a receiver at 4800 baud is 40 MB, more than anybody reads through."""

_HEX = re.compile(rb"(?:0[xX])?[0-9A-Fa-f]{2}(?:[\s:]*[0-9A-Fa-f]{2})*")


@click.command("decode")
@click.argument("kind")
@click.argument("source", default="-", metavar="[FILE|HEX|-]")
@click.option(
    "--profile",
    "profile_name",
    metavar="ID|FILE",
    help="The layout, for kinds whose bytes do not say it (line, frame).",
)
@click.option("--raw", is_flag=True, help="The input is the bytes themselves, even if it looks like hex.")
@click.option("--company", metavar="ID", help="ble: the input is manufacturer data of this company (0x0499).")
@click.option("--service", metavar="UUID", help="ble: the input is service data of this UUID (fcd2).")
@click.option("--key", metavar="HEX", help="ble: the key of an encrypted advertisement.")
@click.option("--address", metavar="ADDRESS", help="ble: the address that it came from.")
def command(kind: str, source: str, profile_name: str | None, raw: bool, **said: str | None) -> None:  # fmt: skip
    """Decode captured bytes without any device: a line of JSON a value (point, value, unit, quality) or error.

    KIND is what speaks: nmea, mbus, ble ... The bytes are a file, hex, or standard input (-). Exit code 65 when
    anything was wrong with them.
    """
    from drivers.decoding import Reading, load
    from ext import describe
    from gateway.status import value_json

    faults = 0
    decode = load(kind)
    options = {name: value for name, value in said.items() if value is not None}
    if options and kind != "ble":
        raise click.UsageError(f"--{next(iter(options))} is for the kind ble")
    profile = None if profile_name is None else _profile(profile_name)
    for found in decode(_bytes(source, raw=raw), profile, **options):
        if isinstance(found, Reading):
            line = {"point": found.point, "value": value_json(found.value), "unit": found.unit}
            taken = {"format": found.format} if found.format else {}
            print_json(line | {"quality": describe(found.quality)} | taken)
        else:
            faults += 1
            print_json({"error": str(found)})
    if faults:
        sys.exit(65)  # EX_DATAERR


def _profile(name: str) -> "Profile":
    """The profile in a file, or of that name in the folders where an installation finds it."""
    from config import load_profile
    from gateway.installation import profile_folders

    file = Path(name)
    if not file.is_file():
        found = (folder / f"{name}.toml" for folder in profile_folders())
        file = next((one for one in found if "/" not in name and one.is_file()), file)
    if not file.is_file():
        raise click.UsageError(f"{name!r} is neither a file nor the name of a profile")
    return load_profile(file)


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
