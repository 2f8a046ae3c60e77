"""`lamppost decode`"""

import re
import sys
from pathlib import Path

import click

from gateway.cli.output import print_json

MAX_INPUT = 64 * 1024 * 1024
"""Bytes of a capture: a day of a receiver at 4800 baud is 40 MB, more than anybody reads through."""

_HEX = re.compile(rb"(?:0[xX])?[0-9A-Fa-f]{2}(?:[\s:]*[0-9A-Fa-f]{2})*")


@click.command("decode")
@click.argument("kind")
@click.argument("source", default="-", metavar="[FILE|HEX|-]")
@click.option("--profile", "profile_name", metavar="ID|FILE",
              help="The layout, for kinds whose bytes do not say it (line, frame, modbus).")  # fmt: skip
@click.option("--table", help="modbus: what the bytes are of: holding, input, coil or discrete.")
@click.option("--address", type=int, help="modbus: the first register or bit, counted from 0.")
@click.option("--raw", is_flag=True, help="The input is the bytes themselves, even if it looks like hex.")
def command(
    kind: str, source: str, profile_name: str | None, table: str | None, address: int | None, raw: bool
) -> None:
    """Decode captured bytes without any device: a line of JSON a value (point, value, unit, quality) or error.

    KIND is what speaks: nmea, mbus, modbus ... The bytes are a file, hex, or standard input (-). Exit code 65 when
    anything was wrong with them.
    """
    from config import load_profile
    from drivers import registry
    from drivers.decoding import Reading, installed, load
    from drivers.rehearsal import decoder
    from ext import describe
    from gateway.installation import profile_folders
    from gateway.profiles import found as found_profile
    from gateway.status import value_json

    faults = 0
    where: dict[str, object] = {"table": table, "address": address}
    where = {key: value for key, value in where.items() if value is not None}
    alone = kind in installed() or kind not in registry.installed()
    decode = load(kind) if alone and not where else decoder(kind, where)
    profile = None if profile_name is None else load_profile(found_profile(profile_name), profile_folders())
    for found in decode(_bytes(source, raw=raw), profile):
        if isinstance(found, Reading):
            value = value_json(found.value)
            print_json({"point": found.point, "value": value, "unit": found.unit, "quality": describe(found.quality)})
        else:
            faults += 1
            print_json({"error": str(found)})
    if faults:
        sys.exit(65)  # EX_DATAERR


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
