"""Formats that say themselves what they carry: bytes in, readings out. Each is loaded only where it is configured."""

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Protocol

from drivers.ble.formats.report import Locked as Locked
from drivers.ble.formats.report import Report as Report

# Core Specification 5.4, Vol 3 Part B, 2.5.1: a 16-bit UUID stands for this one with its four digits put in.
_BASE = re.compile(r"0000([0-9a-f]{4})-0000-1000-8000-00805f9b34fb")

_MODULES: Mapping[str, str] = {
    "ruuvi": "drivers.ble.formats.ruuvi",
    "bthome": "drivers.ble.formats.bthome",
    "mibeacon": "drivers.ble.formats.mibeacon",
    "atc-encrypted": "drivers.ble.formats.atc",
    "eddystone": "drivers.ble.formats.eddystone",
    "teltonika-eye": "drivers.ble.formats.teltonika",
}
"""The module of each format, which holds it as `FORMAT`."""


class Format(Protocol):
    """One self-describing format. Knows no device and keeps nothing from one advertisement to the next."""

    name: str
    companies: frozenset[int]
    services: frozenset[str]
    """Whose data may be this format: ids of manufacturer data, UUIDs of service data as `short` gives them."""
    key_bytes: frozenset[int]
    """How long its keys may be; empty when it has no encryption."""

    def decode(self, address: str, data: bytes, key: bytes | None = None) -> Report:
        """What `data` from the device at `address` says; raises `BadAnswer`, or `Locked`, when it says nothing."""


def names() -> tuple[str, ...]:
    """Every format that there is, none of them loaded."""
    return tuple(_MODULES)


def load(name: str) -> Format:
    """The format of that name; raises `KeyError`."""
    found: Format = import_module(_MODULES[name]).FORMAT
    return found


def claiming(company: int | None, service: str | None) -> Iterator[Format]:
    """Every format that may be meant; loads all of them, so it is for people's tools."""
    return (one for one in map(load, _MODULES) if company in one.companies or service in one.services)


def short(uuid: str) -> str:
    """A service UUID in lower case, of four digits where it has a 16-bit form: `fcd2`."""
    lower = uuid.lower()
    match = _BASE.fullmatch(lower)
    return match[1] if match else lower
