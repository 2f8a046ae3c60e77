"""What a data block says: objects by their codes. Sans-IO."""

from drivers.errors import BadAnswer
from drivers.obis import FAULT, WRONG, DataObject, Quantity, number, objects, plain_text


def parse(block: str) -> list[DataObject]:
    """The objects of a data block; raises `BadAnswer` for a line that is none."""
    try:
        return objects([line for line in block.splitlines() if line.strip()])
    except BadAnswer as error:
        raise BadAnswer(f"IEC 62056-21 readout: {error}") from None


def measured(one: DataObject) -> Quantity:
    """The first value: behind it stands the time of a maximum, or what the meter repeats."""
    return number(one.groups[0])


def text(one: DataObject) -> Quantity:
    """The first value as it was sent."""
    return plain_text(one.groups[0])


def time(one: DataObject) -> Quantity:
    """The time of a maximum, as sent: the second value."""
    if len(one.groups) < 2:
        return FAULT
    return plain_text(one.groups[1]) if one.groups[1].isdigit() else WRONG


READ = {"number": measured, "text": text, "time": time}
"""How an object is read."""
