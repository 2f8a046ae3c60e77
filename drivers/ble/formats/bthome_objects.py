"""The objects of BTHome version 2 (bthome.io/format, tables of sensor, binary sensor, event and device data)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How the bytes of an object are read; numbers are little-endian."""

    UNSIGNED = "unsigned"
    SIGNED = "signed"
    BINARY = "binary"
    BUTTON = "button"
    DIMMER = "dimmer"
    COMMAND = "command"
    TEXT = "text"
    RAW = "raw"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class Object:
    """One object id: `size` bytes (0: the object says so itself), value = number * `scale` in `unit`."""

    name: str
    size: int
    unit: str = ""
    scale: str = "1"
    kind: Kind = Kind.UNSIGNED


_S = Kind.SIGNED

# Pressure is sent in 0.01 hPa, which is 1 Pa. Names that the specification uses for a number and for a state are told
# apart: the state of `gas` is `gas-detected`.
_NUMBERS = {
    0x00: Object("packet-id", 1),
    0x01: Object("battery", 1, "%"),
    0x02: Object("temperature", 2, "Cel", "0.01", _S),
    0x03: Object("humidity", 2, "%RH", "0.01"),
    0x04: Object("pressure", 3, "Pa"),
    0x05: Object("illuminance", 3, "lx", "0.01"),
    0x06: Object("mass", 2, "kg", "0.01"),
    0x07: Object("mass", 2, "[lb_av]", "0.01"),
    0x08: Object("dew-point", 2, "Cel", "0.01", _S),
    0x09: Object("count", 1),
    0x0A: Object("energy", 3, "kWh", "0.001"),
    0x0B: Object("power", 3, "W", "0.01"),
    0x0C: Object("voltage", 2, "V", "0.001"),
    0x0D: Object("pm2-5", 2, "ug/m3"),
    0x0E: Object("pm10", 2, "ug/m3"),
    0x12: Object("co2", 2, "[ppm]"),
    0x13: Object("tvoc", 2, "ug/m3"),
    0x14: Object("moisture", 2, "%", "0.01"),
    0x2E: Object("humidity", 1, "%RH"),
    0x2F: Object("moisture", 1, "%"),
    0x3D: Object("count", 2),
    0x3E: Object("count", 4),
    0x3F: Object("rotation", 2, "deg", "0.1", _S),
    0x40: Object("distance", 2, "mm"),
    0x41: Object("distance", 2, "m", "0.1"),
    0x42: Object("duration", 3, "s", "0.001"),
    0x43: Object("current", 2, "A", "0.001"),
    0x44: Object("speed", 2, "m/s", "0.01"),
    0x45: Object("temperature", 2, "Cel", "0.1", _S),
    0x46: Object("uv-index", 1, "", "0.1"),
    0x47: Object("volume", 2, "L", "0.1"),
    0x48: Object("volume", 2, "mL"),
    0x49: Object("volume-flow", 2, "m3/h", "0.001"),
    0x4A: Object("voltage", 2, "V", "0.1"),
    0x4B: Object("gas", 3, "m3", "0.001"),
    0x4C: Object("gas", 4, "m3", "0.001"),
    0x4D: Object("energy", 4, "kWh", "0.001"),
    0x4E: Object("volume", 4, "L", "0.001"),
    0x4F: Object("water", 4, "L", "0.001"),
    0x50: Object("timestamp", 4, "s"),
    0x51: Object("acceleration", 2, "m/s2", "0.001"),
    0x52: Object("gyroscope", 2, "deg/s", "0.001"),
    0x55: Object("volume-storage", 4, "L", "0.001"),
    0x56: Object("conductivity", 2, "uS/cm"),
    0x57: Object("temperature", 1, "Cel", "1", _S),
    0x58: Object("temperature", 1, "Cel", "0.35", _S),
    0x59: Object("count", 1, "", "1", _S),
    0x5A: Object("count", 2, "", "1", _S),
    0x5B: Object("count", 4, "", "1", _S),
    0x5C: Object("power", 4, "W", "0.01", _S),
    0x5D: Object("current", 2, "A", "0.001", _S),
    0x5E: Object("direction", 2, "deg", "0.01"),
    0x5F: Object("precipitation", 2, "mm", "0.1"),
    0x60: Object("channel", 1),
    0x61: Object("rotational-speed", 2, "/min"),
    0x62: Object("speed", 4, "m/s", "0.000001", _S),
    0x63: Object("acceleration", 4, "m/s2", "0.000001", _S),
    0x64: Object("light-level", 1),
    0x65: Object("settings-revision", 1),
    0xF0: Object("device-type", 2),
}

_STATES = {
    0x0F: "generic", 0x10: "power-on", 0x11: "opening", 0x15: "battery-low", 0x16: "battery-charging",
    0x17: "carbon-monoxide", 0x18: "cold", 0x19: "connectivity", 0x1A: "door", 0x1B: "garage-door",
    0x1C: "gas-detected", 0x1D: "heat", 0x1E: "light", 0x1F: "lock", 0x20: "moisture-detected", 0x21: "motion",
    0x22: "moving", 0x23: "occupancy", 0x24: "plug", 0x25: "presence", 0x26: "problem", 0x27: "running",
    0x28: "safety", 0x29: "smoke", 0x2A: "sound", 0x2B: "tamper", 0x2C: "vibration", 0x2D: "window",
}  # fmt: skip

OBJECTS: Mapping[int, Object] = {
    **_NUMBERS,
    **{number: Object(name, 1, kind=Kind.BINARY) for number, name in _STATES.items()},
    0x3A: Object("button", 1, kind=Kind.BUTTON),
    0x3B: Object("command", 0, kind=Kind.COMMAND),
    0x3C: Object("dimmer", 2, kind=Kind.DIMMER),
    0x53: Object("text", 0, kind=Kind.TEXT),
    0x54: Object("raw", 0, kind=Kind.RAW),
    0xF1: Object("firmware", 4, kind=Kind.VERSION),
    0xF2: Object("firmware", 3, kind=Kind.VERSION),
}

BUTTONS: Mapping[int, str] = {
    0x00: "none", 0x01: "press", 0x02: "double_press", 0x03: "triple_press", 0x04: "long_press",
    0x05: "long_double_press", 0x06: "long_triple_press", 0x80: "hold_press", 0x81: "hold_release",
}  # fmt: skip
DIMMERS: Mapping[int, str] = {0x00: "none", 0x01: "rotate_left", 0x02: "rotate_right"}
COMMANDS: Mapping[int, str] = {0x00: "off", 0x01: "on", 0x02: "toggle", 0x03: "step_up", 0x04: "step_down"}
