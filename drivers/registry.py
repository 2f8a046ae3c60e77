"""Which drivers are installed."""

from importlib.metadata import EntryPoint, entry_points

from drivers.base import Driver
from drivers.errors import UnknownDriver

GROUP = "lamppost.drivers"


def installed() -> dict[str, EntryPoint]:
    """The entry points of the group `lamppost.drivers`, by name, none of them loaded."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def load(name: str) -> type[Driver]:
    """The driver class called `name`; raises `UnknownDriver`, which names those that there are, or what is wrong."""
    found = installed()
    if name not in found:
        raise UnknownDriver(f"no driver {name!r} is installed; there are: {', '.join(sorted(found))}")
    try:
        driver: type[Driver] = found[name].load()
    except Exception as error:  # a partner's module may fail in any way, and the others must be told of too
        raise UnknownDriver(f"the driver {name!r} cannot be loaded: {error!r}") from error
    return driver
