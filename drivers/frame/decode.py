"""`lamppost decode frame --profile FILE`: what a profile's points say of captured frames."""

from collections.abc import Iterator

from config import Profile
from drivers.decoding import Reading
from drivers.errors import DeviceError
from drivers.frame.driver import FrameDriver
from drivers.profiled import by_profile


def decode(data: bytes, profile: Profile | None = None) -> Iterator[Reading | DeviceError]:
    """Readings of the profile's points."""
    yield from by_profile("frame", FrameDriver, data, profile)
