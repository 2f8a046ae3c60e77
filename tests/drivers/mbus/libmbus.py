"""Expected readings in the form of libmbus's tests (`.norm.xml`), in our words. libmbus rounds to six decimals."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from drivers.mbus.records import Record
from ext import Value

QUANTITIES = {
    "Energy": "energy", "Power": "power", "Volume": "volume", "Volume flow": "volume-flow", "Voltage": "voltage",
    "Current": "current", "Time point (date & time)": "time-point", "Time point (date)": "date",
    "Return temperature": "return-temperature", "Flow temperature": "flow-temperature",
    "Temperature difference": "temperature-difference", "Fabrication No": "fabrication-number",
    "Dimensionless": "dimensionless", "Operating time": "operating-time", "On time": "on-time",
    "Error flags": "error-flags", "Firmware version": "firmware-version", "Software version": "software-version",
    "Customer location": "customer-location", "Averaging Duration": "averaging-duration", "Medium": "medium",
    "(Enhanced) Identification": "identification", "cust. ID": "plain-text", "bat. time": "plain-text",
    "Actuality Duration": "actuality-duration", "Special supplier information": "supplier-information",
    "Reset counter": "reset-counter", "Parameter set identification": "parameter-set", "Model / Version": "model",
    "Digital Output": "digital-output", "PW": "plain-text", "Manufacturer specific": "manufacturer",
}  # fmt: skip
UNITS = {"m^3": "m3", "m^3/h": "m3/h", "°C": "Cel", "Â°C": "Cel", "": "", "-": ""}  # two files are encoded twice
FUNCTIONS = {
    "Instantaneous value": "instantaneous", "Maximum value": "maximum", "Minimum value": "minimum",
    "Value during error state": "error", "Actual value": "instantaneous",
}  # fmt: skip
OWN = ("Manufacturer specific", "More records follow")


@dataclass(frozen=True)
class Expected:
    """One `DataRecord`."""

    function: str
    quantity: str
    unit: str
    value: str
    storage: int
    tariff: int
    subunit: int


@dataclass(frozen=True)
class Reading:
    """One file: what the meter says of itself, its records, and bytes of the maker's own."""

    header: dict[str, str]
    records: list[Expected]
    own: str | None


def read(file: Path) -> Reading:
    """What libmbus expects of a telegram."""
    root = ET.fromstring(file.read_bytes())  # noqa: S314 - files that the tests bring along
    slave = root.find("SlaveInformation")
    header = {child.tag: child.text or "" for child in slave} if slave is not None else {}
    rows = [{child.tag: (child.text or "").strip() for child in record} for record in root.findall("DataRecord")]
    records = [
        Expected(
            row.get("Function", ""), row.get("Quantity", ""), row.get("Unit", ""), row.get("Value", ""),
            int(row.get("StorageNumber", 0)), int(row.get("Tariff", 0)), int(row.get("Device", 0)),
        )
        for row in rows
    ]  # fmt: skip
    own = next((record.value for record in records if record.function in OWN), None)
    return Reading(header, [record for record in records if record.function not in OWN], own)


def differs(record: Record, expected: Expected) -> str:
    """In what `record` is not as expected; "" when it is."""
    found = []
    if expected.function and record.function != FUNCTIONS[expected.function]:
        found.append("function")
    if (record.storage, record.tariff, record.subunit) != (expected.storage, expected.tariff, expected.subunit):
        found.append("numbers")
    if expected.quantity and not record.quantity.startswith(QUANTITIES[expected.quantity]):
        found.append("quantity")
    if expected.quantity and record.quantity != "plain-text" and record.unit != UNITS.get(expected.unit, expected.unit):
        found.append("unit")
    if not same(record.value, expected.value):
        found.append("value")
    return f"{', '.join(found)}: {record} is not {expected}" if found else ""


def same(value: Value, text: str) -> bool:
    """Whether a value is what libmbus printed, within its six decimals; a value that is none agrees with no date."""
    if isinstance(value, bytes):
        return value.hex() == text.replace(" ", "").lower()
    if isinstance(value, str):
        return value.strip() in (text.strip(), re.sub("(:00)?Z$", "", text), text.removesuffix("Z"))
    if value is None:
        return text in ("", "2000-00-00")
    try:
        return abs(Decimal(value) - Decimal(text)) <= max(Decimal("0.0000005"), abs(Decimal(text)) * Decimal("1e-15"))
    except InvalidOperation:
        return False
