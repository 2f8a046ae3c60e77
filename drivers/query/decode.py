"""`lamppost decode query --profile FILE`: what a profile's points say of captured answers."""

from collections.abc import Iterator

from config import Profile
from drivers.decoding import Reading
from drivers.errors import DeviceError
from drivers.profiled import by_profile
from drivers.query.driver import QueryDriver


def decode(data: bytes, profile: Profile | None = None) -> Iterator[Reading | DeviceError]:
    """Readings of the profile's points; the answers to all steps in turn."""
    yield from by_profile("query", QueryDriver, data, profile)
