"""`lamppost decode query --profile FILE`: what a profile's points say of captured answers."""

from collections.abc import Iterator

from config import Profile
from drivers.decoding import Reading
from drivers.errors import DeviceError
from drivers.profiled import by_profile
from drivers.query.driver import QueryDriver


def decode(data: bytes, profile: Profile | None = None) -> Iterator[Reading | DeviceError]:
    """Readings of the profile's points, of the answers to all steps in turn; the first character is the address."""
    if profile is not None:
        address = data.lstrip()[:1].decode("latin-1")
        profile = profile.model_copy(update={"options": {"address": address, **profile.options}})
    yield from by_profile("query", QueryDriver, data, profile)
