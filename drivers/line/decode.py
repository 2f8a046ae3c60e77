"""`lamppost decode line --profile FILE`: what a profile's points say of captured lines."""

from collections.abc import Iterator

from config import Profile
from drivers.decoding import Reading
from drivers.errors import DeviceError
from drivers.line.driver import LineDriver
from drivers.profiled import by_profile


def decode(data: bytes, profile: Profile | None = None) -> Iterator[Reading | DeviceError]:
    """Readings of the profile's points; a line without an end at the end of `data` counts as whole."""
    yield from by_profile("line", LineDriver, data, profile)
