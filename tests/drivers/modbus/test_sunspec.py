"""SunSpec: the chain and the points of real maps, against pysunspec2's own client; hostile maps."""

import asyncio
import struct
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sunspec2 import mb  # type: ignore[import-untyped]
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP  # type: ignore[import-untyped]

from drivers.errors import ExceptionAnswer, NoAnswer, NotSunSpec
from drivers.modbus.bus import TcpBus
from drivers.modbus.sunspec import BASES, MAX_MODELS, MAX_REQUESTS, Map, Survey
from drivers.modbus.sunspec_layout import Place
from drivers.modbus.sunspec_models import standard
from drivers.modbus.sunspec_points import SENTINELS, config, named, value
from drivers.modbus.sunspec_scan import run
from drivers.modbus.transport import client
from tests.drivers.modbus.sunspec_maps import Image, device_1547, served, sunny_boy

STANDARD = standard()
SUNS = [0x5375, 0x6E53]


def survey(image: Image, unit_is_silent: bool = False) -> tuple[Map, int]:
    """What is found in a device that has these registers and refuses others, and by how many requests."""
    made = Survey(STANDARD)
    walk = made.walk()
    requests = 0
    try:
        first, count = next(walk)
        while True:
            requests += 1
            words = [image.get(address) for address in range(first, first + count)]
            assert 1 <= count <= 125
            assert first + count <= 65536
            if unit_is_silent:
                first, count = walk.throw(NoAnswer("nothing"))
            elif None in words:
                first, count = walk.throw(ExceptionAnswer(2, "illegal data address"))
            else:
                first, count = walk.send(struct.pack(f">{count}H", *words))
    except StopIteration:
        return made.found, requests


def placed(found: Map) -> dict[str, Place]:
    return dict(named(found.places))


def at(base: int, *words: int) -> Image:
    return dict(enumerate(words, base))


# Real maps ------------------------------------------------------------------------------------------------------------


def test_the_chain_of_an_inverter() -> None:
    """Ids, addresses and lengths are the comments of the published dump."""
    found, requests = survey(sunny_boy())
    assert (found.base, found.fault) == (40000, "")
    assert [(m.id, m.address, m.length) for m in found.models] == [
        (1, 40002, 66), (11, 40070, 13), (12, 40085, 98), (101, 40185, 50), (120, 40237, 26), (121, 40265, 30),
        (122, 40297, 44), (123, 40343, 24), (124, 40369, 24), (126, 40395, 64), (127, 40461, 10), (128, 40473, 14),
        (131, 40489, 64), (132, 40555, 64), (160, 40621, 128), (129, 40751, 60), (130, 40813, 60),
    ]  # fmt: skip
    assert requests < 400  # it refuses 135 registers, in 60 places


@pytest.mark.parametrize(
    ("point", "wanted"),
    [
        ("1-mn", "SMA"),  # nl.example.TestExample of the same author, as are the next four
        ("1-md", "SB3.6-1AV-41"),
        ("1-opt", None),
        ("1-vr", "4.01.15.R"),
        ("1-sn", "3005067415"),
        ("12-addr", "192.168.0.170"),
        ("120-wrtg", Decimal(3680)),  # SMA, data sheet SB30-50-1AV-41: 3680 W
        ("120-artg", Decimal(16)),  # and 16 A
        ("121-vref", Decimal(230)),
        ("122-actwh", 29479142),
        ("101-wh", Decimal(29479140)),  # the same in tens
        ("101-w", None),  # at night
        ("101-st", None),
        ("126-curve-1-deptref", "VArMax"),
        ("160-module-1-dcv", None),  # refused
    ],
)
def test_the_points_of_an_inverter(point: str, wanted: object) -> None:
    found, _ = survey(sunny_boy())
    assert value(placed(found)[point], found.registers) == wanted


async def test_values_are_those_of_pysunspec2() -> None:
    async with served(await asyncio.to_thread(device_1547)) as port:
        theirs = await asyncio.to_thread(_by_pysunspec2, port)
        found = await asyncio.to_thread(asyncio.run, _by_us(port))
    ours = {
        (place.model.id, place.address): _comparable(value(place, found.registers))
        for place in found.places
        if config(place) is not None
    }
    assert len(ours) > 400
    assert {key: theirs[key] for key in ours} == ours


async def _by_us(port: int) -> Map:
    tcp, made = client(TcpBus(transport="tcp", host="127.0.0.1", port=port)), Survey(STANDARD)
    await tcp.open()
    await run(made, tcp, 1)
    await tcp.close()
    return made.found


def _by_pysunspec2(port: int) -> dict[tuple[int, int], object]:
    """Its values by model and register, with ours where we differ by intent."""
    device = SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr="127.0.0.1", ipport=port, timeout=5)
    device.scan()
    device.close()
    found: dict[tuple[int, int], object] = {}

    def walk(model: int, group: "object") -> None:
        for point in group.points.values():  # type: ignore[attr-defined]
            said = point.cvalue
            names = {symbol["value"]: symbol["name"] for symbol in point.pdef.get("symbols") or ()}
            kind = point.pdef["type"]
            if kind.startswith("enum"):
                said = None if said is None else names.get(said, str(said) if names else said)  # it has no names
            elif kind.startswith("acc"):
                said = said or None  # 0 is "not implemented", which it overlooks
            elif point.sf_required and point.sf_value is None:
                said = None  # without a scale factor it tells the raw value, which need not be the value
            found[model, point.model.model_addr + point.offset] = _comparable(said)
        for inner in group.groups.values():  # type: ignore[attr-defined]
            for one in inner if isinstance(inner, list) else [inner]:
                walk(model, one)

    for model in device.model_list:
        walk(model.model_id, model)
    return found


def _comparable(said: object) -> object:
    """Theirs are floats where ours are decimals."""
    return pytest.approx(float(said)) if isinstance(said, int | float | Decimal) else said or None


def test_a_common_model_without_its_padding() -> None:
    """Technical Note SunSpec Logging in SolarEdge Inverters: length 65, and the model of the inverter at 40069."""
    found, _ = survey(at(40000, *SUNS, 1, 65, *[0x2020] * 65, 103, 50, *[0xFFFF] * 50, 0xFFFF, 0))
    assert [(m.id, m.address) for m in found.models] == [(1, 40002), (103, 40069)]
    assert placed(found)["103-a"].address == 40071  # C_AC_Current, I_AC_Current_SF: the note's table
    assert placed(found)["103-a"].scale == 40075
    assert value(placed(found)["1-mn"], found.registers) is None


@pytest.mark.parametrize("kind", SENTINELS)
def test_not_implemented_is_what_pysunspec2_has_for_it(kind: str) -> None:
    bits = 16 * mb.point_type_info[kind].len
    assert SENTINELS[kind] == mb.unimpl_value[kind] & ((1 << bits) - 1)


def test_floats() -> None:
    """Model 111 has floats: 231.5 as IEEE 754 has it, and NaN, which is "not implemented"."""
    found, _ = survey(at(40000, *SUNS, 111, 4, 0x4367, 0x8000, 0x7FC0, 0, 0xFFFF, 0))
    assert [value(placed(found)[name], found.registers) for name in ("111-a", "111-apha")] == [231.5, None]


# Odd and hostile maps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", BASES)
def test_all_bases_are_tried(base: int) -> None:
    found, _ = survey(at(base, *SUNS, 64999, 1, 7, 0xFFFF, 0))
    assert (found.base, [m.id for m in found.models], found.fault) == (base, [64999], "")


def test_a_chain_may_end_with_the_id_alone() -> None:
    found, _ = survey(at(40000, *SUNS, 64999, 0, 0xFFFF))
    assert (len(found.models), found.fault) == (1, "")


@pytest.mark.parametrize(
    ("image", "models", "fault"),
    [
        (at(40000, *SUNS), 0, "no model can be read at register 40002: exception 2"),
        (at(40000, *SUNS, 64999, 1, 0), 1, "no model can be read at register 40005"),
        (at(40000, *SUNS, *[0] * 100), 0, "no model at register 40002"),
        (at(40000, *SUNS, 64999, 0xFFFE), 0, "beyond the last one"),
        (at(40000, *SUNS, 64999, 65536 - 40004), 1, "runs beyond the last register"),
        (at(0, *SUNS, *[64999, 0] * 2 * MAX_MODELS), MAX_MODELS, f"more than {MAX_MODELS} models"),
    ],
)
def test_a_broken_chain_gives_what_there_is(image: Image, models: int, fault: str) -> None:
    found, _ = survey(image)
    assert len(found.models) == models
    assert fault in found.fault


@pytest.mark.parametrize("silent", [True, False])
def test_no_map(silent: bool) -> None:
    with pytest.raises(NotSunSpec, match=r"40000: .*50000: .*0: "):
        survey(at(40000, 1, 2), silent)


def test_a_count_beyond_the_model_is_bounded_by_its_length() -> None:
    """Model 714: NPrt at 3 of the fixed part says 60000 ports, the length has room for one."""
    words = [0xFFFF] * 43
    words[2] = 60000
    found, _ = survey(at(40000, *SUNS, 714, 43, *words, 0xFFFF, 0))
    assert {place.path for place in found.places} == {(), ("Prt", "1")}
    assert max(place.address + place.field.size for place in found.places) <= 40002 + 45


def test_two_models_of_one_kind_have_names_of_their_own() -> None:
    found, _ = survey(at(40000, *SUNS, *[203, 1, 5] * 2, 0xFFFF, 0))
    assert [name for name in placed(found) if name.endswith("-a")] == ["203-a", "203-2-a"]


MODELS = st.sampled_from([1, 12, 103, 129, 160, 213, 403, 705, 707, 714, 804, 64999, 0, 0xFFFF])


@st.composite
def images(draw: st.DrawFn) -> Image:
    """Maps with hostile heads, random registers, and others that are refused."""
    base = draw(st.sampled_from(BASES))
    image = at(base, *SUNS)
    address = base + 2
    for _ in range(draw(st.integers(0, 4))):
        length = draw(st.one_of(st.integers(0, 200), st.sampled_from([0x8000, 0xFFFF])))
        words = draw(st.lists(st.sampled_from([0, 1, 2, 0x8000, 0xFFFF, 0x4142, 300]), min_size=1, max_size=20))
        body = {address + 2 + n: words[n % len(words)] for n in range(min(length, 200))}
        image |= {address: draw(MODELS), address + 1: length, **body}
        address += 2 + length
    image |= at(address, 0xFFFF, 0)
    for first in draw(st.lists(st.integers(base, base + 300), max_size=5)):
        image = {key: word for key, word in image.items() if not first <= key < first + 3}
    return {key: word for key, word in image.items() if key < 65536}


@given(images())
@settings(max_examples=60, deadline=None)  # a length of 32768 is a second of work
def test_a_survey_of_anything_ends(image: Image) -> None:
    try:
        found, requests = survey(image)
    except NotSunSpec:
        return
    assert requests <= MAX_REQUESTS + 1
    assert len(found.models) <= MAX_MODELS
    for place in found.places:
        assert place.model.address <= place.address < place.model.end
    for place in found.places[:100]:
        value(place, found.registers)


def test_a_device_that_refuses_every_other_register_costs_a_bounded_number_of_requests() -> None:
    words = [word for _ in range(200) for word in (103, 50, *[1] * 50)]
    image = at(0, *SUNS, *words, 0xFFFF, 0)
    heads = {0, 2 + 52 * 200} | {2 + 52 * n for n in range(200)}
    found, requests = survey({key: word for key, word in image.items() if key in heads or key % 2})
    assert requests <= MAX_REQUESTS + 1
    assert f"more than {MAX_REQUESTS} requests" in found.fault
