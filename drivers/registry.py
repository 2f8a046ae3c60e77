"""Which drivers are installed."""

from importlib.metadata import EntryPoint, entry_points

from drivers.base import Driver
from drivers.errors import UnknownDriver

GROUP = "lamppost.drivers"


def installed() -> dict[str, EntryPoint]:
    """The entry points of the group `lamppost.drivers`, by name, none of them loaded."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def load(name: str) -> type[Driver]:
    """The driver class called `name`; raises `UnknownDriver`, which names those that there are."""
    found = installed()
    if name not in found:
        raise UnknownDriver(f"no driver {name!r} is installed; there are: {', '.join(sorted(found))}")
    driver: type[Driver] = found[name].load()
    return driver
