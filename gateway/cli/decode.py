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
@click.option("--profile", "profile_file", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="The layout, for kinds whose bytes do not say it (line, frame).")  # fmt: skip
@click.option("--raw", is_flag=True, help="The input is the bytes themselves, even if it looks like hex.")
def command(kind: str, source: str, profile_file: Path | None, raw: bool) -> None:
    """Decode captured bytes without any device: a line of JSON a value (point, value, unit, quality) or error.

    KIND is what speaks: nmea, mbus ... The bytes are a file, hex, or standard input (-). Exit code 65 when anything
    was wrong with them.
    """
    from config import load_profile
    from drivers.decoding import Reading, load
    from ext import describe
    from gateway.status import value_json

    faults = 0
    decode = load(kind)
    profile = None if profile_file is None else load_profile(profile_file)
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
