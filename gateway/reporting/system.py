"""The gateway's own points: what it says of itself goes the way of all samples, first and in the chain."""

from buffer.catalogue import SeriesDefinition
from config import Point

RESULT = "gateway/command-result"
LOCK = "gateway/lock"
CONFIGURATION = "gateway/configuration"
RUNNING = "gateway/running"
REPLACEMENT = "gateway/replacement"
DECOMMISSIONED = "gateway/decommissioned"
COMMISSIONING = "gateway/commissioning"
DEVICE = "gateway"
"""No device has this id: the configuration refuses it."""
TYPE = "json"


def points() -> dict[str, Point]:
    """The points by their full ids."""
    names = (RESULT, LOCK, CONFIGURATION, RUNNING, REPLACEMENT, DECOMMISSIONED, COMMISSIONING)
    return {
        name: Point.model_validate({"id": name, "name": name.partition("/")[2], "priority": "critical"})
        for name in names
    }


def definitions() -> dict[str, SeriesDefinition]:
    """What the catalogue says of them."""
    return {name: SeriesDefinition(DEVICE, point.name, "", TYPE) for name, point in points().items()}
