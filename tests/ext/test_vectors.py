"""The page's vectors: both decoders read them, and the packer writes them."""

import ast
import re
import struct
import sys
from decimal import Decimal
from pathlib import Path

import pytest

import tests.reference_decoder
from ext import BAD, NO_ANSWER, Layout, Packer, ScanPlan, Series, unpack
from tests.ext.vectors import PAGE, Vector, exact, read_vectors
from tests.reference_decoder import decode

VECTORS = read_vectors()


def packed(name: str) -> list[bytes]:
    """The blocks of the vector's story as the page tells it, by our packer."""
    packer = Packer()
    blocks: list[bytes] = []
    STORIES[name](packer, blocks)
    return [*blocks, packer.commit()]


def scan(packer: Packer, blocks: list[bytes]) -> None:
    a, b = (Series(number, exponent=-1, sentinels=[0x8000]) for number in (7, 8))
    plan = ScanPlan([(Layout(0, "int16"), a), (Layout(2, "int16"), b)], period=1000)
    packer.append_scan(plan, struct.pack(">hh", 234, -5), 1000)
    blocks.append(packer.commit())
    packer.append_scan(plan, struct.pack(">hh", 234, -4), 2003)
    packer.fail_scan(plan, 3003, NO_ANSWER)
    packer.append_scan(plan, struct.pack(">hh", 235, -0x8000), 4003)


def single(packer: Packer, blocks: list[bytes]) -> None:
    series = Series(3)
    packer.append(series, 100, 5)
    packer.append(series, 160, 5)
    blocks.append(packer.commit())
    packer.append(series, 220, 1 << 63)
    packer.append(series, 220, True)
    blocks.append(packer.commit())
    packer.append(series, 220, "né")
    packer.append(series, 221, b"\xff")
    blocks.append(packer.commit())
    packer.append(series, 221, 1 << 64)
    packer.append(series, 221, Decimal("-0.0"))
    packer.append(series, 221, None, BAD)


def floats(packer: Packer, blocks: list[bytes]) -> None:
    series = Series(0)
    for value in (21.5, -0.0, float("inf")):
        packer.append(series, 0, value)
    blocks.append(packer.commit())
    packer.append(series, 0, struct.unpack(">d", bytes.fromhex("7ff8000000000123"))[0])


def signalling(packer: Packer, blocks: list[bytes]) -> None:
    packer.append_scan(ScanPlan([(Layout(0, "float32"), Series(0))]), bytes.fromhex("7fa00001"), 0)


def wide(packer: Packer, blocks: list[bytes]) -> None:
    plan = ScanPlan([(Layout(i, "uint8"), Series(10 + i, on_change=True)) for i in range(9)])
    packer.append_scan(plan, bytes([1] * 9), 0)
    blocks.append(packer.commit())
    packer.append_scan(plan, bytes([1] * 5 + [3] + [1] * 3), 50)
    packer.append_scan(plan, bytes([2, 2] + [1] * 3 + [3] + [1] * 3), 100)


def steps(packer: Packer, blocks: list[bytes]) -> None:
    series = Series(4)
    for index, sixteenths in enumerate((337, 338, 340, 339, 336, 333, 334, 337, 338, 338, 337)):
        packer.append(series, 1000 * index, sixteenths / 16)
    blocks.append(packer.commit())
    for index, value in enumerate((20.9, 21.0, 21, 21.0625, struct.unpack(">f", bytes.fromhex("41a80001"))[0])):
        packer.append(series, 11_000 + 1000 * index, value)


def beside(packer: Packer, blocks: list[bytes]) -> None:
    plan = ScanPlan([(Layout(0, "int16"), Series(1)), (Layout(2, "int16"), Series(2))])
    pairs = ((0, 0), (2, 4), (-2, -2), (2, 2), (4, 8), (2, 2), (-2, -4), (-6, -6), (-2, -2))
    for index, pair in enumerate(pairs):
        packer.append_scan(plan, struct.pack(">hh", *pair), 1000 * index)


def devices(packer: Packer, blocks: list[bytes]) -> None:
    plans = [ScanPlan([(Layout(0), Series(number))]) for number in (1, 2, 3)]
    times = [(0, 0), (1, 300), (2, 500), (0, 10_001), (1, 10_300), (0, 20_000), (1, 20_303)]
    times += [(0, 30_002), (1, 30_300), (2, 30_500), (1, 40_300), (0, 40_350), (0, 50_000), (1, 50_301)]
    for at, (device, time) in enumerate(times):
        packer.append_scan(plans[device], struct.pack(">H", 500 + at * at), time)


def like(packer: Packer, blocks: list[bytes]) -> None:
    """Three meters of one model: voltages, a current, a counter, a state; the second says nothing at first."""
    kinds = ("uint16", "uint16", "float32", "uint32", "bool")
    exponents = (-1, -1, 0, 0, 0)
    plans = []
    for device in range(3):
        series = [Series(10 * device + n, exponent=exponent) for n, exponent in enumerate(exponents)]
        layouts = [Layout(at, kind) for at, kind in zip((0, 2, 4, 8, 12), kinds, strict=True)]
        plans.append(ScanPlan(list(zip(layouts, series, strict=True)), period=1000))

    def meters(second: int) -> None:
        for device, plan in enumerate(plans):
            now, volts = 1000 * second + 40 * device, 2300 + 9 * device + second * second
            current, energy = (device + 1) * second / 3, 70_000 * (device + 1) + (3 + device) * second
            if device == 1 and second == 0:
                packer.fail_scan(plan, now, NO_ANSWER)
                continue
            packer.append_scan(plan, struct.pack(">HHfI?x", volts, volts + 7, current, energy, second == 2), now)

    meters(0)
    blocks.append(packer.commit())
    meters(1)
    meters(2)


STORIES = {
    "scan": scan,
    "single": single,
    "float": floats,
    "signalling": signalling,
    "wide": wide,
    "steps": steps,
    "beside": beside,
    "devices": devices,
    "like": like,
}


def test_every_vector_has_its_story() -> None:
    assert {vector.name for vector in VECTORS} == STORIES.keys()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_vector(vector: Vector) -> None:
    assert exact(unpack(vector.blocks)) == exact(vector.samples)
    assert exact(list(decode(vector.blocks))) == exact(vector.samples)
    assert [block.hex() for block in packed(vector.name)] == [block.hex() for block in vector.blocks]


@pytest.mark.parametrize(
    "vector", [vector for vector in VECTORS if vector.name != "like"], ids=lambda vector: vector.name
)
def test_a_batch_of_version_2(vector: Vector) -> None:
    """What version 2 wrote of these stories: all but the version is as it was."""
    old = [b"\x02" + vector.blocks[0][1:], *vector.blocks[1:]]
    assert exact(unpack(old)) == exact(vector.samples)
    assert exact(list(decode(old))) == exact(vector.samples)


def test_the_page_has_the_prior_frequencies() -> None:
    (table,) = re.findall(r"^```prior\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    rows = [tuple(map(int, line.split(","))) for line in table.splitlines()]
    assert rows == tests.reference_decoder.PRIORS


def test_the_reference_decoder_stands_alone() -> None:
    tree = ast.parse(Path(tests.reference_decoder.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {str(name).partition(".")[0] for name in imported} <= sys.stdlib_module_names
