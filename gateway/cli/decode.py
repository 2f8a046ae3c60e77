"""`lamppost decode`"""

import re
import sys
from pathlib import Path

import click

from gateway.cli.output import print_json

MAX_INPUT = 64 * 1024 * 1024
"""Bytes of a capture: a day of a receiver at 4800 baud is 40 MB, more than anybody reads through."""

MAX_SHOWN = 60  # characters of an argument that an error repeats

_COMMENT = re.compile(rb"#[^\r\n]*")
_HEX = re.compile(rb"(?:0[xX])?[0-9A-Fa-f]{2}(?:(?:[\s:]*|[\s:,]*0[xX])[0-9A-Fa-f]{2})*[\s,]*")
_NO_DIGITS = re.compile(rb"0[xX]|[\s:,]")


@click.command("decode")
@click.argument("kind")
@click.argument("source", default="-", metavar="[FILE|HEX|-]")
@click.option("--profile", "profile_name", metavar="ID|FILE",
              help="The layout, where bytes do not say it (modbus; line and frame if none fits).")  # fmt: skip
@click.option("--table", help="modbus: what the bytes are of: holding, input, coil or discrete.")
@click.option("--address", type=int, help="modbus: the first register or bit, counted from 0.")
@click.option("--raw", is_flag=True, help="The input is the bytes themselves, even if it looks like hex.")
def command(
    kind: str, source: str, profile_name: str | None, table: str | None, address: int | None, raw: bool
) -> None:
    """Decode captured bytes without any device: a line of JSON a value (point, value, unit, quality) or error.

    KIND is what speaks: nmea, mbus, modbus ... The bytes are a file, hex, or standard input (-). In hex, blanks,
    colons, 0x with commas, and # comments do not count. Exit code 65 when anything was wrong, or nothing was there.
    """
    from config import load_profile
    from drivers import registry
    from drivers.decoding import Reading, installed, load
    from drivers.rehearsal import decoder
    from ext import describe
    from gateway.installation import profile_folders
    from gateway.profiles import found as found_profile
    from gateway.status import value_json

    readings = faults = 0
    where: dict[str, object] = {"table": table, "address": address}
    where = {key: value for key, value in where.items() if value is not None}
    alone = kind in installed() or kind not in registry.installed()
    decode = load(kind) if alone and not where else decoder(kind, where)
    profile = None if profile_name is None else load_profile(found_profile(profile_name), profile_folders())
    data = _bytes(source, raw=raw)
    for found in decode(data, profile):
        if isinstance(found, Reading):
            readings += 1
            value = value_json(found.value)
            print_json({"point": found.point, "value": value, "unit": found.unit, "quality": describe(found.quality)})
        else:
            faults += 1
            print_json({"error": str(found)})
    if not readings and not faults:
        print_json({"error": f"nothing of {kind} in {len(data)} bytes"})
    if faults or not readings:
        sys.exit(65)  # EX_DATAERR


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
