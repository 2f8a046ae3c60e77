"""The records of a variable data structure (EN 13757-3:2018, 6.3): what each measures, of when, and the value."""

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.mbus import values
from drivers.mbus.units import CORRECTIONS, FB, FD, MODIFIERS, PHASES, PRIMARY, RECORD_ERRORS, Kind, Meaning
from drivers.mbus.values import BCDS, LENGTHS, REAL, SELECTION, SPECIAL, VARIABLE, Malformed, NoValue
from ext import GOOD, SENSOR_FAULT, UNCERTAIN, Value

EXTENSION = 0x80  # one more DIFE or VIFE follows
MAX_EXTENSIONS = 10  # DIFEs, and VIFEs, of one record (EN 13757-3:2018, 6.3 and 6.4)
MANUFACTURER_DATA, MORE_FOLLOWS, IDLE = 0x0F, 0x1F, 0x2F  # DIFs of special function (EN 13757-3:2018, table 6)
MAX_PLAIN_TEXT = 64  # characters of a unit in plain text; the standard gives no bound, a name needs fewer

FUNCTIONS = ("instantaneous", "maximum", "minimum", "error")  # EN 13757-3:2018, table 7

_TABLE_FB, _PLAIN_TEXT, _TABLE_FC, _TABLE_FD, _ANY, _MAKER = 0x7B, 0x7C, 0x7C, 0x7D, 0x7E, 0x7F
_TIMES = {2: values.date, 3: values.time_of_day, 4: values.minute, 6: values.second}


@dataclass(frozen=True, slots=True)
class Record:
    """One value: what it is (`quantity`, `modifier`), whose (`function`, `storage`, `tariff`, `subunit`), in `unit`."""

    quantity: str
    value: Value
    unit: str = ""
    function: str = FUNCTIONS[0]
    storage: int = 0
    tariff: int = 0
    subunit: int = 0
    modifier: str = ""
    quality: int = GOOD

    @property
    def name(self) -> str:
        """All that tells it from others of the telegram, as one word: `energy.t1`, `power.maximum.s2`."""
        parts = [self.quantity, self.modifier, "" if self.function == FUNCTIONS[0] else self.function]
        numbers = (("s", self.storage), ("t", self.tariff), ("u", self.subunit))
        return ".".join([*filter(None, parts), *(f"{letter}{number}" for letter, number in numbers if number)])


@dataclass(frozen=True, slots=True)
class Records:
    """All records of a telegram, the bytes of the maker's own after them, and whether another telegram follows."""

    records: tuple[Record, ...]
    manufacturer_data: bytes = b""
    more: bool = False


class Bytes:
    """The rest of a telegram; what is not there raises `Malformed`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int, what: str) -> bytes:
        """The next `count` bytes."""
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise Malformed(f"the telegram ends within {what}")
        self._at += count
        return taken

    def byte(self, what: str) -> int:
        """The next one."""
        return self.take(1, what)[0]

    def next(self) -> int:
        """The byte that `byte` will give; 0 at the end."""
        return self._data[self._at] if self else 0

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data) - self._at, "")

    def extensions(self, first: int, what: str) -> list[int]:
        """The bytes that `first` and each further one announce."""
        found: list[int] = []
        while (found[-1] if found else first) & EXTENSION:
            if len(found) == MAX_EXTENSIONS:
                raise Malformed(f"more than {MAX_EXTENSIONS} {what}s")
            found.append(self.byte(f"a {what}"))
        return found


def records(data: bytes, *, backwards: bool = False) -> Records:
    """The records in `data`; `backwards` for data whose highest byte comes first. Raises `Malformed`."""
    rest = Bytes(data)
    found: list[Record] = []
    while rest:
        dif = rest.byte("a DIF")
        if dif in (MANUFACTURER_DATA, MORE_FOLLOWS):
            return Records(tuple(found), rest.rest(), dif == MORE_FOLLOWS)
        if dif == IDLE:
            continue
        if dif & 0x0F == SPECIAL:
            raise Malformed(f"reserved DIF {dif:#04x}")
        record = _record(dif, rest, backwards=backwards)
        if record is not None:
            found.append(record)
    return Records(tuple(found))


def _record(dif: int, rest: Bytes, *, backwards: bool) -> Record | None:
    """The record that starts with `dif`; None for one that says that it holds no data."""
    storage, tariff, subunit = _numbers(dif, rest.extensions(dif, "DIFE"))
    meaning, modifier, refused = _information(rest)
    value, quality = _value(dif & 0x0F, meaning, rest, backwards=backwards)
    if dif & 0x0F in (0, SELECTION) and not refused:
        return None
    function = FUNCTIONS[dif >> 4 & 0x03]
    if refused:
        value, quality = None, SENSOR_FAULT
    elif function == "error" and quality == GOOD:
        quality = UNCERTAIN  # EN 13757-3:2018, table 7: the value during an error
    return Record(meaning.quantity, value, meaning.unit, function, storage, tariff, subunit, modifier, quality)


def _numbers(dif: int, extensions: list[int]) -> tuple[int, int, int]:
    """Storage number, tariff, subunit (EN 13757-3:2018, table 8: four, two and one bit of each DIFE, lowest first)."""
    storage, tariff, subunit = dif >> 6 & 1, 0, 0
    for n, extension in enumerate(extensions):
        storage |= (extension & 0x0F) << (1 + 4 * n)
        tariff |= (extension >> 4 & 0x03) << (2 * n)
        subunit |= (extension >> 6 & 1) << n
    return storage, tariff, subunit


def _information(rest: Bytes) -> tuple[Meaning, str, bool]:
    """What VIF and VIFEs say: the meaning, the modifiers, and whether the meter says that it has no value."""
    vif = rest.byte("a VIF")
    code = vif & ~EXTENSION
    if code == _PLAIN_TEXT:
        return _plain_text(vif, rest)
    extensions = rest.extensions(vif, "VIFE")
    if code == _MAKER:
        return Meaning("-".join(["manufacturer", *(f"{e & ~EXTENSION:02x}" for e in extensions)])), "", False
    if code in (_TABLE_FB, _TABLE_FD) and extensions:
        table, name = (FB, "fb") if code == _TABLE_FB else (FD, "fd")
        second = extensions[0] & ~EXTENSION
        return _modified(table.get(second) or Meaning(f"vif-{name}{second:02x}"), extensions[1:])
    return _modified(PRIMARY.get(code) or Meaning(f"vif-{code:02x}"), extensions)


def _plain_text(vif: int, rest: Bytes) -> tuple[Meaning, str, bool]:
    """A unit in plain text: before the VIFEs in the editions up to 2004, behind them since; its length tells which."""
    late = bool(vif & EXTENSION) and rest.next() > MAX_PLAIN_TEXT
    extensions = rest.extensions(vif, "VIFE") if late else []
    length = rest.byte("a unit in plain text")
    if not 1 <= length <= MAX_PLAIN_TEXT:
        raise Malformed(f"a unit in plain text of {length} characters")
    unit = values.text(rest.take(length, "a unit in plain text"))
    return _modified(Meaning("plain-text", unit), extensions or rest.extensions(vif, "VIFE"))


def _modified(meaning: Meaning, extensions: list[int]) -> tuple[Meaning, str, bool]:
    modifiers: list[str] = []
    refused, rest = False, iter([extension & ~EXTENSION for extension in extensions])
    for code in rest:
        if code == _MAKER:
            modifiers.append("-".join(["manufacturer", *(f"{own:02x}" for own in rest)]))
        elif code == _TABLE_FC:
            further = next(rest, None)
            modifiers.append(PHASES.get(further, f"vife-fc{further:02x}") if further is not None else "vife-fc")
        elif code in CORRECTIONS:
            meaning = meaning.times(CORRECTIONS[code])
        elif code in RECORD_ERRORS:
            refused = True
        elif code:
            modifiers.append(MODIFIERS.get(code, f"vife-{code:02x}"))
    return meaning, ".".join(modifiers), refused


def _value(field: int, meaning: Meaning, rest: Bytes, *, backwards: bool) -> tuple[Value, int]:
    size, read = LENGTHS[field], None
    if field == VARIABLE:
        variable = values.variable(rest.byte("an LVAR"))
        size, read = variable.size, variable.read
    data = rest.take(size, "the data of a record")
    if backwards:
        data = data[::-1]
    if not data:
        return None, SENSOR_FAULT
    try:
        return _read(field, meaning, data) if read is None else _scaled(read(data), meaning), GOOD
    except NoValue:
        return None, SENSOR_FAULT


def _read(field: int, meaning: Meaning, data: bytes) -> Value:
    if meaning.kind is Kind.TIME:
        return _time(field, data)
    if meaning.kind is Kind.MAKER and len(data) == 2 and field not in BCDS:
        return values.manufacturer(values.unsigned(data))
    if field in BCDS:
        return _scaled(values.bcd(data), meaning)
    if field == REAL:
        return _scaled(values.real(data), meaning)
    return _scaled(values.integer(data) if meaning.kind is Kind.NUMBER else values.unsigned(data), meaning)


def _scaled(value: Value, meaning: Meaning) -> Value:
    return values.scaled(value, meaning.exponent, meaning.factor)


def _time(field: int, data: bytes) -> str:
    read = _TIMES.get(len(data))
    if read is None or field in BCDS or field == REAL:
        raise NoValue("no type of date or time")
    return read(data)


def distinct(found: tuple[Record, ...]) -> Iterator[tuple[str, Record]]:
    """Records with names that differ: the second of a name has `#2`, and so on."""
    seen: dict[str, int] = {}
    for record in found:
        seen[record.name] = count = seen.get(record.name, 0) + 1
        yield record.name if count == 1 else f"{record.name}#{count}", record
