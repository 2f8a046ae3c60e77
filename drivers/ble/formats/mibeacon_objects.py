"""What the objects of MiBeacon mean (iot.mi.com, object definition; miot-spec.org for those from 0x4801 on).

Some mean one thing from one product and another from the next: the product ids (`_...` sets) are Xiaomi's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from drivers.ble.formats.fields import invalid, scaled, single
from drivers.decoding import Reading

_LIGHT_SWITCHES = {0x07F6, 0x098B, 0x0A8D}  # MJYD02YL, MCCGQ02HL, RTCGQ02LM: illuminance means light or dark
_THREE_STATES = {0x4683}  # XMOSB01XS: occupancy 2 is "nobody" too
_SWITCHES = {0x1568, 0x1569, 0x0DFD}  # K9B: press types 1 and 2 the other way round
_DIMMERS = {0x03B6}  # YLKG07YL, YLKG08YL
_CUBES = {0x04E1}  # XMMF01JQD
_BUTTONS_FROM_0 = {0x5968}  # XMWS01XS: left and right are 0 and 1
_BUTTONS_FROM_1 = {0x1949, 0x3A61, 0x3E17}  # XMWXKG01YL (3: both), KS1, KS1BP
_ONE_BUTTON = {0x1C10}  # K9BB-1BTN: the number is the kind of press

LIGHT = 100  # the number from which on these say light
PRESENCE_SECONDS = 30  # without movement until the maker's own app says so


@dataclass(frozen=True, slots=True)
class _Number:
    name: str
    size: int
    unit: str = ""
    scale: str = "1"
    signed: bool = False

    def read(self, data: bytes) -> Sequence[Reading] | None:
        """The number; None for another length."""
        if len(data) != self.size:
            return None
        raw = int.from_bytes(data, "little", signed=self.signed)
        return (Reading(self.name, scaled(raw, self.scale), self.unit),)


_NUMBERS: Mapping[int, _Number] = {
    0x000A: _Number("temperature", 2, "Cel", "0.01", signed=True),
    0x1004: _Number("temperature", 2, "Cel", "0.1", signed=True),
    0x1006: _Number("humidity", 2, "%RH", "0.1"),
    0x1008: _Number("moisture", 1, "%"),
    0x1009: _Number("conductivity", 2, "uS/cm"),
    0x100A: _Number("battery", 1, "%"),
    0x1010: _Number("formaldehyde", 2, "mg/m3", "0.01"),
    0x1013: _Number("consumable", 1, "%"),
    0x4802: _Number("humidity", 1, "%RH"),
    0x4803: _Number("battery", 1, "%"),
    0x483D: _Number("occupied-time", 4, "s"),
    0x483E: _Number("vacant-time", 4, "s"),
    0x4851: _Number("occupied-time", 1, "min"),
    0x4852: _Number("vacant-time", 1, "min"),
    0x4C02: _Number("humidity", 1, "%RH"),
    0x4C03: _Number("battery", 1, "%"),
    0x4C14: _Number("mode", 1),
    0x5003: _Number("battery", 1, "%"),
    0x5403: _Number("battery", 1, "%"),
    0x5414: _Number("mode", 1),
}

_FLOATS = {
    0x4801: ("temperature", "Cel"), 0x4805: ("illuminance", "lx"), 0x4808: ("humidity", "%RH"),
    0x4C01: ("temperature", "Cel"), 0x4C08: ("humidity", "%RH"),
}  # fmt: skip

# id: name, and the number of each state
_STATES: Mapping[int, tuple[str, Mapping[int, bool]]] = {
    0x0008: ("armed", {0: True, 1: False}),
    0x1012: ("switch", {0: False, 1: True}),
    0x1014: ("moisture-detected", {0: False, 1: True}),
    0x1015: ("smoke", {0: False, 1: True}),
    0x1018: ("light", {0: False, 1: True}),
    0x1019: ("opening", {0: True, 1: False, 2: True}),
    0x4804: ("opening", {1: True, 2: False}),
    0x4806: ("moisture-detected", {0: False, 1: True}),
    0x480C: ("opening", {0: True, 1: False}),
    0x483C: ("occupancy", {0: False, 1: True}),
    0x487B: ("splash", {0: False, 1: True}),
    0x4A01: ("battery-low", {0: False, 1: True}),
    0x4A0F: ("tamper", {0: False, 1: True}),
    0x4A12: ("opening", {1: True, 2: False}),
    0x4A1A: ("left-open", {0: False, 1: True}),
    0x4E01: ("battery-low", {0: False, 1: True}),
    0x5601: ("battery-low", {0: False, 1: True}),
    0x5810: ("asleep", {0: True, 1: False}),
    0x6461: ("wearing", {0: True, 1: False}),
}

_EVENTS: Mapping[int, tuple[str, Mapping[int, str]]] = {
    0x5422: ("charging", {0: "charging", 1: "not_charging", 2: "full"}),
}

_DOOR = {0: "open", 1: "closed", 2: "left_open", 3: "knock", 4: "pried", 5: "stuck"}
_OPEN = {"open", "left_open", "pried"}
_LOCK_ACTIONS = {0: True, 1: False, 4: True, 5: False, 8: False}  # unlocked or not; the others are of other bolts

_PRESSES = {0x0C: "press", 0x0D: "double_press", 0x0E: "long_press"}
_PRESS_TYPES = {0: "press", 1: "double_press", 2: "long_press", 5: "press", 6: "long_press"}
_SWITCH_TYPES = {0: "press", 1: "long_press", 2: "double_press"}
_ONE_BUTTON_PRESSES = {1: "press", 8: "long_press", 15: "double_press"}
_LOCK_BYTES, _FINGER_BYTES, _SCALE_BYTES = 9, 5, 9


def readings(kind: int, data: bytes, product: int) -> Sequence[Reading] | None:
    """What an object of `product` says; None when it is unknown or of another length."""
    if kind in _NUMBERS:
        return _NUMBERS[kind].read(data)
    if kind in _STATES:
        return _state(*_STATES[kind], data)
    if kind in _EVENTS:
        return _event(*_EVENTS[kind], data)
    if kind in _FLOATS:
        return _float(*_FLOATS[kind], data)
    if kind >> 8 in {0x4A, 0x4E, 0x56} and kind & 0xFF in _PRESSES:
        return _press(_PRESSES[kind & 0xFF], data, product)
    found = _OTHERS.get(kind)
    return None if found is None or len(data) not in found[0] else found[1](data, product)


def _state(name: str, states: Mapping[int, bool], data: bytes) -> Sequence[Reading] | None:
    if len(data) != 1:
        return None
    return (Reading(name, states[data[0]]) if data[0] in states else invalid(name),)


def _event(name: str, events: Mapping[int, str], data: bytes) -> Sequence[Reading] | None:
    if not data:
        return None
    return (Reading(name, events[data[0]]) if data[0] in events else invalid(name),)


def _float(name: str, unit: str, data: bytes) -> Sequence[Reading] | None:
    if len(data) != 4:
        return None
    value = single(data)
    return (invalid(name, unit) if value is None else Reading(name, value, unit),)


def _press(press: str, data: bytes, product: int) -> Sequence[Reading]:
    if product in _ONE_BUTTON and data:
        return _event("button", _ONE_BUTTON_PRESSES, data) or ()
    if not data or product not in _BUTTONS_FROM_0 | _BUTTONS_FROM_1:
        return (Reading("button", press),)
    return Reading("button", press), Reading("button-number", data[0] + (product in _BUTTONS_FROM_0))


def _button(data: bytes, product: int) -> Sequence[Reading]:
    number, value, press = data
    if product in _CUBES:
        return _event("cube", {0: "rotate_right", 1: "rotate_left"}, data) or ()
    if product in _DIMMERS:
        return _dimmer(number, value, press)
    types = _SWITCH_TYPES if product in _SWITCHES else _PRESS_TYPES
    event = Reading("button", types[press]) if press in types else invalid("button")
    return event, Reading("button-number", number)


def _dimmer(number: int, value: int, press: int) -> Sequence[Reading]:
    """Pressed (number of presses or seconds) or turned (steps, to the left as a negative number), or both."""
    if press == 3 and number in {0, 1}:
        return Reading("dimmer", "long_press" if number else "press"), Reading("dimmer-steps", value)
    if press != 4:
        return (invalid("dimmer"),)
    turned, pressed = (number, "_pressed") if number else (value, "")
    left = turned > 127
    steps = Reading("dimmer-steps", 256 - turned if left else turned)
    return Reading("dimmer", f"rotate_{'left' if left else 'right'}{pressed}"), steps


def _illuminance(data: bytes, product: int) -> Sequence[Reading]:
    value = int.from_bytes(data, "little")
    return (Reading("light", value >= LIGHT) if product in _LIGHT_SWITCHES else Reading("illuminance", value, "lx"),)


def _moving(data: bytes, product: int) -> Sequence[Reading]:
    return Reading("motion", value=True), *(_illuminance(data, product) if data else ())


def _moving_lit(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001 - one of `_OTHERS`
    return Reading("motion", value=True), *(_float("illuminance", "lx", data) or ())


def _idle(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001
    seconds = int.from_bytes(data, "little")
    return Reading("motion", seconds <= PRESENCE_SECONDS), Reading("idle-time", seconds, "s")


def _still(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001
    return (Reading("motion", value=False),)


def _kettle(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001
    return Reading("switch", bool(data[0])), Reading("temperature", data[1], "Cel")


def _climate(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001
    return *(_NUMBERS[0x1004].read(data[:2]) or ()), *(_NUMBERS[0x1006].read(data[2:]) or ())


def _occupancy(data: bytes, product: int) -> Sequence[Reading]:
    return (Reading("occupancy", data[0] == 1 if product in _THREE_STATES else data[0] > 0),)


def _bed(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001
    states = {1: Reading("occupancy", value=True), 2: Reading("occupancy", value=False)}
    return (states.get(data[0]) or Reading("button", "double_press") if data[0] in {1, 2, 3} else invalid("occupancy"),)


def _finger(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001
    return Reading("fingerprint", data[4] == 0), Reading("key-id", int.from_bytes(data[:4], "little"))


def _door(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001
    if data[0] not in _DOOR:
        return (invalid("door"),)
    event = _DOOR[data[0]]
    return Reading("door", event in _OPEN), Reading("door-event", event)


def _lock(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001
    """Who did what to a lock; `lock` is true for unlocked, as in BTHome."""
    action = data[0] & 0x0F
    return (
        *((Reading("lock", _LOCK_ACTIONS[action]),) if action in _LOCK_ACTIONS else ()),
        Reading("lock-action", action),
        Reading("lock-method", data[0] >> 4),
        Reading("key-id", int.from_bytes(data[1:5], "little")),
        Reading("timestamp", int.from_bytes(data[5:9], "little"), "s"),
    )


def _brush(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001
    """It begins (0), with a count, or ends, with a score."""
    last = (Reading("count" if data[0] == 0 else "score", data[1]),) if len(data) > 1 else ()
    return Reading("toothbrush", data[0] == 0), *last


def _brushing(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001
    score = (Reading("score", data[5]),) if len(data) > 5 else ()
    return Reading("toothbrush", data[0] == 0), Reading("timestamp", int.from_bytes(data[1:5], "little"), "s"), *score


def _body(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001
    """A patch on the skin: what its two sensors measure; the body's temperature is the maker's secret."""
    first, second = (int.from_bytes(data[at : at + 2], "little", signed=True) for at in (0, 2))
    return (
        Reading("sensor-temperature", scaled(first, "0.01"), "Cel"),
        Reading("sensor-temperature", scaled(second, "0.01"), "Cel"),
        Reading("battery", data[4], "%"),
    )


def _scale(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001
    mass = int.from_bytes(data[1:5], "little")
    return (Reading("profile-id", data[0]), *((Reading("mass", scaled(mass, "0.01"), "kg"),) if mass else ()))


def _body_scale(data: bytes, product: int) -> Sequence[Reading]:  # noqa: ARG001
    """Bits: 11 of mass, 7 of heart rate (above 50), 14 of impedance; 0, or all ones, is none."""
    bits = int.from_bytes(data[1:5], "little")
    mass, heart, impedance = bits & 0x7FF, bits >> 11 & 0x7F, bits >> 18
    found = [Reading("profile-id", data[0])]
    if mass not in {0, 0x7FF}:
        found.append(Reading("mass", scaled(mass, "0.1"), "kg"))
    if heart not in {0, 0x7F}:
        found.append(Reading("heart-rate", heart + 50, "/min"))
    if impedance:
        found.append(Reading("impedance", scaled(impedance, "0.1"), "Ohm"))
    return found


_OTHERS: Mapping[int, tuple[range | tuple[int, ...], Callable[[bytes, int], Sequence[Reading]]]] = {
    0x0003: (range(256), lambda data, product: _moving(b"", product)),  # noqa: ARG005
    0x0006: ((_FINGER_BYTES,), _finger),
    0x0007: (range(1, 256), _door),
    0x000B: ((_LOCK_BYTES,), _lock),
    0x000F: ((3,), _moving),
    0x0010: ((1, 2), _brush),
    0x1001: ((3,), _button),
    0x1005: ((2,), _kettle),
    0x1007: ((3,), _illuminance),
    0x100D: ((4,), _climate),
    0x1017: ((4,), _idle),
    0x101B: (range(256), _still),
    0x2000: ((5,), _body),
    0x3003: ((5, 6), _brushing),
    0x4818: ((2,), _idle),
    0x484E: ((1,), _occupancy),
    0x4A08: ((4,), _moving_lit),
    0x4A13: ((1,), lambda data, product: _event("button", {1: "press"}, data) or ()),  # noqa: ARG005
    0x4E16: ((_SCALE_BYTES,), _scale),
    0x5A16: ((1,), _bed),
    0x6E16: ((_SCALE_BYTES,), _body_scale),
}
"""The lengths that an object may have, and what it says."""
