"""Values exact to the bit: registers of a Modbus server that is not ours against rows and batches at the collector.

What is expected stands here as a literal, or follows from `struct` and `Fraction`; nothing of ours computes it.
"""

import asyncio
import statistics
import struct
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.integration.harness import Rig, Row, Sample, columns, same

GOOD, LIMITS, NO_ANSWER, EXCEPTION, SENTINEL, SENSOR_FAULT = 0, 13, 6, 10, 14, 18  # docs/format.md
PERIOD_MS = 250
ROUNDS = 12
FIRST = 7  # the first register is not 0
TYPES = {"bool", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"}
MUTE = 9  # the unit whose answers the server throws away


@dataclass(frozen=True, slots=True)
class Case:
    """Registers in hexadecimal as they travel, the point's further keys, and what must arrive."""

    registers: str
    keys: str
    expected: object
    quality: int = GOOD


def f64(bits: str) -> float:
    """The double of these 16 hexadecimal digits."""
    value: float = struct.unpack(">d", bytes.fromhex(bits))[0]
    return value


def words(form: str, value: float) -> str:
    return struct.pack(">" + form, value).hex()


def nearest(exact: Fraction) -> float:
    """Correctly rounded: the quotient of two integers is, in Python."""
    return exact.numerator / exact.denominator


INTEGERS = [
    Case("8000", 'type = "int16"', -32768),
    Case("7fff", 'type = "int16"', 32767),
    Case("ffff", 'type = "int16"', -1),
    Case("ffff", "", 65535),
    Case("0000", "", 0),
    Case("80000000", 'type = "int32"', -2147483648),
    Case("7fffffff", 'type = "int32"', 2147483647),
    Case("ffffffff", 'type = "uint32"', 4294967295),
    Case("80000000", 'type = "uint32"', 2147483648),
    Case("8000000000000000", 'type = "int64"', -9223372036854775808),
    Case("7fffffffffffffff", 'type = "int64"', 9223372036854775807),
    Case("0020000000000000", 'type = "int64"', 9007199254740992),
    Case("0020000000000001", 'type = "int64"', 9007199254740993),  # no double is equal to it
    Case("ffdfffffffffffff", 'type = "int64"', -9007199254740993),
    Case("ffffffffffffffff", 'type = "uint64"', 18446744073709551615),
    Case("8000000000000000", 'type = "uint64"', 9223372036854775808),
    Case("8000000000000001", 'type = "uint64", priority = "critical"', 9223372036854775809),
]

FLOATS = [
    Case("41ac0000", 'type = "float32"', 21.5),
    Case("3dcccccd", 'type = "float32"', 0.100000001490116119384765625),
    Case("80000000", 'type = "float32"', -0.0),
    Case("00000001", 'type = "float32"', 2.0**-149),
    Case("807fffff", 'type = "float32"', -(2.0**-126 - 2.0**-149)),
    Case("7f7fffff", 'type = "float32"', 2.0**128 - 2.0**104),
    Case("7f800000", 'type = "float32"', f64("7ff0000000000000")),
    Case("ff800000", 'type = "float32"', f64("fff0000000000000")),
    # the 23 bits of the fraction become the top 23 of the 52
    Case("7fc00123", 'type = "float32"', f64("7ff8002460000000"), SENSOR_FAULT),
    Case("ffc00000", 'type = "float32"', f64("fff8000000000000"), SENSOR_FAULT),
    Case("7fa00001", 'type = "float32"', f64("7ff4000020000000"), SENSOR_FAULT),  # signalling
    Case("3fb999999999999a", 'type = "float64"', 0.1),
    Case("8000000000000000", 'type = "float64", priority = "bulk"', -0.0),
    Case("0000000000000001", 'type = "float64"', 5e-324),
    Case("800fffffffffffff", 'type = "float64"', f64("800fffffffffffff")),
    Case("7fefffffffffffff", 'type = "float64"', 1.7976931348623157e308),
    Case("7ff0000000000000", 'type = "float64"', f64("7ff0000000000000")),
    Case("fff0000000000000", 'type = "float64"', f64("fff0000000000000")),
    Case("7ff8000000000123", 'type = "float64"', f64("7ff8000000000123"), SENSOR_FAULT),
    Case("7ff0000000000001", 'type = "float64"', f64("7ff0000000000001"), SENSOR_FAULT),  # signalling
    Case("ffffffffffffffff", 'type = "float64"', f64("ffffffffffffffff"), SENSOR_FAULT),
]

ORDERS = [
    *(
        Case(travels, f'type = "uint32", order = "{order}"', 0x01020304)
        for order, travels in (("ABCD", "01020304"), ("CDAB", "03040102"), ("BADC", "02010403"), ("DCBA", "04030201"))
    ),
    *(
        Case(travels, f'type = "uint64", order = "{order}"', 0x0102030405060708)
        for orders, travels in (
            (("ABCD", "ABCDEFGH"), "0102030405060708"),
            (("CDAB", "GHEFCDAB"), "0708050603040102"),
            (("BADC", "BADCFEHG"), "0201040306050807"),
            (("DCBA", "HGFEDCBA"), "0807060504030201"),
        )
        for order in orders
    ),
    Case("000041ac", 'type = "float32", order = "CDAB"', 21.5),
    Case("ac410000", 'type = "float32", order = "BADC"', 21.5),
    Case("0000ac41", 'type = "float32", order = "DCBA"', 21.5),
    Case("cdcc3dcc", 'type = "float32", order = "CDAB"', struct.unpack(">f", bytes.fromhex("3dcccdcc"))[0]),
    Case("0000000080004035", 'type = "float64", order = "CDAB"', 21.5),
    Case("3540008000000000", 'type = "float64", order = "BADC"', 21.5),
    Case("0000000000803540", 'type = "float64", order = "DCBA"', 21.5),
    Case("2301", 'type = "uint16", order = "BADC"', 0x0123),
    Case("0000c07f", 'type = "float32", order = "DCBA"', f64("7ff8000000000000"), SENSOR_FAULT),
    Case("2301c07f", 'type = "float32", order = "DCBA"', f64("7ff8002460000000"), SENSOR_FAULT),
    Case("feffffff", 'type = "int32", order = "DCBA"', -2),
    Case("fffeffffffffffff", 'type = "int64", order = "CDAB"', -2),
]

SCALED = [
    Case(words("h", 235), 'type = "int16", scale = 0.1', Decimal("23.5")),
    Case(words("h", 230), 'type = "int16", scale = 0.1', Decimal("23.0")),
    Case(words("h", 0), 'type = "int16", scale = 0.1', Decimal("0.0")),
    Case(words("h", -1), 'type = "int16", scale = 0.1', Decimal("-0.1")),
    Case(words("h", 4860), 'type = "int16", scale = 0.005', Decimal("24.300")),
    Case(words("H", 25), "offset = -40", Decimal(-15)),
    Case(words("H", 0), "scale = 0.1, offset = -40", Decimal("-40.0")),
    Case(words("H", 65535), "scale = 0.005, offset = -40.5", Decimal("287.175")),
    Case(words("i", 12345), 'type = "int32", scale = 1E-7', Decimal("0.0012345")),
    Case(words("i", -796440003), 'type = "int32", scale = 1E-7', Decimal("-79.6440003")),
    Case(words("H", 7), "scale = 1000", Decimal(7000)),
    Case(words("H", 7), "scale = -2.5", Decimal("-17.5")),
    Case(words("Q", 2**64 - 1), 'type = "uint64", scale = 0.001', Decimal("18446744073709551.615")),
    Case(words("q", -(2**63)), 'type = "int64", scale = 0.01, offset = 0.005', Decimal("-92233720368547758.075")),
    Case(words("f", 21.5), 'type = "float32", scale = 0.1', 2.15),
    Case("3dcccccd", 'type = "float32", scale = 10', nearest(Fraction(0.100000001490116119384765625) * 10)),
    Case(words("d", 0.1), 'type = "float64", scale = 0.1', nearest(Fraction(0.1) / 10)),
    Case(words("d", 0.1), 'type = "float64", scale = 0.7, offset = 3', nearest(Fraction(0.1) * 7 / 10 + 3)),
    Case("80000000", 'type = "float32", scale = 0.1', 0.0),  # docs/format.md, Scales: an exact zero is +0.0
    Case("8000000000000001", 'type = "float64", scale = 0.1', -0.0),  # ... one that is rounded keeps its sign
    Case("7f800000", 'type = "float32", scale = -1', f64("fff0000000000000")),
    Case(words("d", 1.7976931348623157e308), 'type = "float64", scale = 10', f64("7ff0000000000000")),
    Case("7ff8000000000123", 'type = "float64", scale = 0.1', f64("7ff8000000000123"), SENSOR_FAULT),
]

JUDGED = [
    Case("7fff", 'type = "int16", scale = 0.1, sentinel = 0x7FFF', None, SENTINEL),
    Case("7ffe", 'type = "int16", scale = 0.1, sentinel = 0x7FFF', Decimal("3276.6")),
    Case("8000", 'type = "int16", sentinel = 0x8000', None, SENTINEL),
    Case("8000", 'type = "int16", sentinel = -32768', None, SENTINEL),
    Case("ffff", "sentinel = [0xFFFE, 0xFFFF]", None, SENTINEL),
    Case("ffffffffffffffff", 'type = "uint64", sentinel = 0xFFFFFFFFFFFFFFFF', None, SENTINEL),
    Case("fffffffffffffffe", 'type = "uint64", sentinel = 0xFFFFFFFFFFFFFFFF', 18446744073709551614),
    Case(words("f", -9999), 'type = "float32", sentinel = -9999', None, SENTINEL),
    Case(words("h", 850), 'type = "int16", scale = 0.1, limits = { min = -40, max = 85 }', Decimal("85.0")),
    Case(words("h", 851), 'type = "int16", scale = 0.1, limits = { min = -40, max = 85 }', Decimal("85.1"), LIMITS),
    Case(words("h", -401), 'type = "int16", scale = 0.1, limits = { min = -40, max = 85 }', Decimal("-40.1"), LIMITS),
    Case("7f800000", 'type = "float32", limits = { max = 85 }', f64("7ff0000000000000"), LIMITS),
    Case("7fc00000", 'type = "float32", limits = { max = 85 }', f64("7ff8000000000000"), SENSOR_FAULT),
]

BITS = [  # a5c3 = 1010 0101 1100 0011
    Case("a5c3", "bit = 0", True),
    Case("a5c3", "bit = 2", False),
    Case("a5c3", "bit = 15", True),
    Case("a5c3", 'type = "bool", bit = 9', False),
    Case("a5c3", "bit = 4, bits = 3", 4),
    Case("a5c3", "bit = 6, bits = 5", 0b10111),
    Case("a5c3", 'type = "uint16", bit = 8', 1),
    Case("a5c3", "bit = 0, bits = 16", 0xA5C3),
    Case("a5c3", "bits = 4, scale = 0.5", Decimal("1.5")),
    Case("0001a5c3", 'type = "uint32", bit = 12, bits = 8', 0x1A),
    Case("a5c30001", 'type = "uint32", bit = 12, bits = 8, order = "CDAB"', 0x1A),
    Case("a5c3000000000001", 'type = "uint64", bit = 48, bits = 16', 0xA5C3),
]

COILS = [True, False, False, True, True, False, True, True, True, False, True]
DISCRETES = [False, True, True, False, True, False, False, False, False, True]


@dataclass(slots=True)
class Plant:
    """Servers, the configuration of their devices, and what must arrive of every point."""

    config: list[str] = field(default_factory=list)
    expected: dict[str, tuple[object, int]] = field(default_factory=dict)
    units: defaultdict[str, list[SimDevice]] = field(default_factory=lambda: defaultdict(list))

    def device(self, bus: str, unit: int, name: str, keys: str = "") -> None:
        self.config.append(f'[devices.{name}]\nbus = "{bus}"\naddress = {unit}\nevery = "{PERIOD_MS}ms"\n{keys}\n')

    def point(self, name: str, keys: str, value: object, quality: int = GOOD) -> None:
        self.config.append(f"points.{name.partition('/')[2]} = {{ {keys} }}\n")
        self.expected[name] = value, quality

    def registers(self, bus: str, unit: int, name: str, table: str, cases: Sequence[Case], keys: str = "") -> None:
        """A device with the cases one behind the other in `table`; the other tables hold something else."""
        self.device(bus, unit, name, keys)
        at = FIRST
        for number, case in enumerate(cases):
            point = f"{name}/p{number}"
            self.point(
                point, f'table = "{table}", register = {at}, {case.keys}'.rstrip(", "), case.expected, case.quality
            )
            at += len(case.registers) // 4
        data = bytes.fromhex("".join(case.registers for case in cases))
        held = SimData(FIRST, values=list(struct.unpack(f">{len(data) // 2}H", data)), datatype=DataType.REGISTERS)
        other = SimData(FIRST, count=len(data) // 2, values=0x5A5A, datatype=DataType.REGISTERS)
        none = [SimData(0, values=[False], datatype=DataType.BITS)]
        tables = (none, none, [held], [other]) if table == "holding" else (none, none, [other], [held])
        self.units[bus].append(SimDevice(unit, tables))

    def single_bits(self, bus: str, unit: int, name: str) -> None:
        """A device of coils and discrete inputs, from an odd address on."""
        self.device(bus, unit, name)
        for table, values in (("coil", COILS), ("discrete", DISCRETES)):
            for number, value in enumerate(values):
                self.point(f"{name}/{table}{number}", f'table = "{table}", register = {FIRST + number}', value)
        coils, discretes = ([SimData(FIRST, values=v, datatype=DataType.BITS)] for v in (COILS, DISCRETES))
        unused = [SimData(0, values=[0], datatype=DataType.REGISTERS)]
        self.units[bus].append(SimDevice(unit, (coils, discretes, unused, unused)))

    def partly(self, bus: str, unit: int, name: str) -> None:
        """A device that refuses one of five registers which a merged read holds."""
        self.device(bus, unit, name)
        for register in (3, 4, 20, 35, 36):
            there = register != 20
            value, quality = (1000 + register, GOOD) if there else (None, EXCEPTION)
            self.point(f"{name}/r{register}", f'table = "holding", register = {register}', value, quality)
        low, high = ([1000 + r for r in span] for span in (range(20), range(30, 40)))
        data = [
            SimData(0, values=low, datatype=DataType.REGISTERS),
            SimData(30, values=high, datatype=DataType.REGISTERS),
        ]
        self.units[bus].append(SimDevice(unit, data))

    def bad(self, bus: str, unit: int, name: str, quality: int) -> None:
        """A device that gives no value; the server knows no such unit."""
        self.device(bus, unit, name)
        for number in range(3):
            self.point(f"{name}/p{number}", f'table = "holding", register = {number}', None, quality)


def plant() -> Plant:
    made = Plant()
    made.registers("north", 1, "integers", "holding", INTEGERS)
    made.registers("north", 2, "floats", "input", FLOATS)
    made.registers("north", 3, "scaled", "holding", SCALED, "max_registers = 13")
    made.bad("north", MUTE, "mute", NO_ANSWER)
    made.registers("south", 255, "orders", "input", ORDERS)
    made.registers("south", 2, "judged", "holding", JUDGED)
    made.registers("south", 3, "bits", "holding", BITS)
    made.single_bits("south", 4, "single")
    made.partly("south", 5, "partly")
    made.bad("south", 6, "refusing", EXCEPTION)
    return made


@asynccontextmanager
async def serving(host: str, devices: Sequence[SimDevice], asked: list[tuple[int, float]]) -> AsyncIterator[int]:
    """The port of pymodbus's server with these units; notes (unit, monotonic s) of each request."""

    def trace(sending: bool, data: bytes) -> bytes:
        if not sending:
            asked.append((data[6], time.monotonic()))
        return b"" if sending and data[6] == MUTE else data

    server = ModbusTcpServer(list(devices), address=(host, 0), ignore_missing_devices=True, trace_packet=trace)
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


def buses(north: int, south: int) -> str:
    keys = 'driver = "modbus", transport = "tcp", timeout = "100ms"'
    return (
        f'[buses]\nnorth = {{ {keys}, host = "127.0.0.1", port = {north} }}\n'
        f'south = {{ {keys}, host = "127.0.0.2", port = {south} }}\n'
    )


def wrong(plant: Plant, rows: Sequence[Row], samples: Sequence[Sample]) -> list[str]:
    """What differs from the registers."""
    found = []
    for row in rows:
        value, quality = plant.expected[row.point]
        if (row.value, row.exact, row.text, row.quality) != (*columns(value), None, quality):
            found.append(f"row {row}, not {columns(value)} {quality}")
    for sample in samples:
        value, quality = plant.expected[sample.point]
        if not same(sample.value, value) or sample.quality != quality:
            found.append(f"sample {sample}, not {value!r} {quality}")
    return found


def periods(rows: Sequence[Row], point: str) -> list[int]:
    times = [row.utc_ms for row in rows if row.point == point]
    return [later - earlier for earlier, later in pairwise(times)]


async def test_registers_arrive_exactly_beside_a_silent_and_a_refusing_unit(tmp_path: Path) -> None:
    made = plant()
    asked: list[tuple[int, float]] = []
    async with (
        serving("127.0.0.1", made.units["north"], asked) as north,
        serving("127.0.0.2", made.units["south"], []) as south,
        Rig(tmp_path) as rig,
    ):
        await rig.start_agent(buses(north, south) + "".join(made.config))
        lively = {name for name in made.expected if not name.startswith("mute/")}

        def enough(rows: list[Row]) -> bool:
            seen = Counter(row.point for row in rows)
            return all(seen[name] >= ROUNDS for name in lively)

        await rig.until_rows(enough, f"{ROUNDS} samples of each of {len(lively)} points")
        mute, refusing = [await asyncio.to_thread(rig.device, name) for name in ("mute", "refusing")]
        assert await rig.stop_agent() == 0
        assert await rig.children.stop("collector") == 0
        rows, samples = await asyncio.to_thread(rig.rows), await asyncio.to_thread(rig.samples)
    assert wrong(made, rows, samples)[:10] == []
    assert {row.point for row in rows} == set(made.expected)
    assert {row.type for row in rows} == TYPES
    assert Counter((r.point, r.utc_ms, r.batch) for r in rows) == Counter((s.point, s.utc_ms, s.batch) for s in samples)
    assert (mute["state"], refusing["state"]) == ("offline", "online")
    for name in lively:
        gaps = periods(rows, name)
        assert statistics.median(gaps) == pytest.approx(PERIOD_MS, rel=0.2), name
        assert max(gaps) < 8 * PERIOD_MS, name
    assert Counter(unit for unit, _ in asked)[MUTE] < 3 + 0.1 * len(asked)
