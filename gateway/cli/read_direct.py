"""`lamppost read --direct`: Modbus registers as they stand."""

import asyncio
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import print_json, print_table
from gateway.cli.scan import borrowed
from gateway.cli.scan_modbus import place, settings

if TYPE_CHECKING:
    from drivers.modbus.bus import BusOptions
    from drivers.modbus.pdu import Request

TIMEOUT_MS = 1000


def print_direct(
    target: str, unit: int, table: str, address: int, count: int, baud: int, parity: str, config: Path, run_dir: Path,
    *, as_json: bool,
) -> None:  # fmt: skip
    """Read once, and print each register in hex, as numbers, and with the next as a float; or each coil."""
    from drivers.modbus.pdu import MAX_REGISTERS, Request, Table

    request = Request(unit, Table(table), address, count)
    if not request.table.single_bits and count > MAX_REGISTERS:
        raise click.UsageError(f"--count: at most {MAX_REGISTERS} registers")
    (options,) = settings(target, TIMEOUT_MS, (baud,), parity, ascii_frames=False)
    with borrowed(place(target), config, run_dir):
        data = asyncio.run(_ask(options, request))
    if request.table.single_bits:
        bits = list(enumerate(data, address))
        rows: list[tuple[object, ...]] = [(at, bit) for at, bit in bits]
        columns: tuple[str, ...] = ("address>", "bit>")
    else:
        words = struct.unpack(f">{count}H", data)
        columns = ("address>", "hex", "uint16>", "int16>", "float32 (ABCD)>")
        rows = [(address + n, f"{w:04x}", w, (w ^ 0x8000) - 0x8000, _float(data, n)) for n, w in enumerate(words)]
    if as_json:
        values = list(data) if request.table.single_bits else list(words)
        print_json({"unit": unit, "table": table, "address": address, "values": values})
    else:
        print_table("", columns, rows)


def _float(data: bytes, register: int) -> str:
    """Of a register and the next, to the digits that a float32 has."""
    pair = data[2 * register : 2 * register + 4]
    return f"{struct.unpack('>f', pair)[0]:.7g}" if len(pair) == 4 else ""


async def _ask(options: "BusOptions", request: "Request") -> bytes:
    from drivers.modbus.transport import client

    asked = client(options)
    await asked.open()
    try:
        return await asked.ask(request)
    finally:
        await asked.close()
