"""`lamppost decode frame-query --profile FILE`: what a profile's points say of captured answers."""

from collections.abc import Iterator

from config import Profile
from drivers.decoding import Reading
from drivers.errors import DeviceError
from drivers.frame_query.driver import FrameQueryDriver
from drivers.profiled import by_profile


def decode(data: bytes, profile: Profile | None = None) -> Iterator[Reading | DeviceError]:
    """Readings of the profile's points."""
    yield from by_profile("frame-query", FrameQueryDriver, data, profile)
