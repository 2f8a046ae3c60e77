"""Decoding without a device: what `lamppost decode KIND` reads captured bytes with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from drivers.errors import DeviceError, UnknownDriver
from ext import GOOD, Value

GROUP = "lamppost.decoders"
STEP = 1 << 16  # bytes of a capture that are decoded before what they say is told: bounds what is held


@dataclass(frozen=True, slots=True)
class Reading:
    """One value that the bytes say: a name for what it is, the value exactly, its unit (UCUM), its quality.

    `format` is which of several formats the decoder took the bytes for; "" where there is one.
    """

    point: str
    value: Value
    unit: str = ""
    quality: int = GOOD
    format: str = ""


Decode = Callable[..., Iterator[Reading | DeviceError]]
"""Called with the bytes, the profile or None, and the kind's own options as texts by name. Readings and errors in the
order of the bytes; never raises for what they hold. The profile is the layout, where the bytes alone do not say it; a
decoder that needs one, or an option, and gets none raises `SetupError`."""


def steps(data: bytes) -> Iterator[bytes]:
    """`data` in pieces of at most `STEP` bytes."""
    for at in range(0, len(data), STEP):
        yield data[at : at + STEP]


def installed() -> dict[str, EntryPoint]:
    """The entry points of the group `lamppost.decoders`, by kind, none of them loaded."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def load(kind: str) -> Decode:
    """The decoder of a kind; raises `UnknownDriver`, which names those that there are."""
    found = installed()
    if kind not in found:
        raise UnknownDriver(f"nothing decodes {kind!r}; there are: {', '.join(sorted(found))}")
    decode: Decode = found[kind].load()
    return decode
