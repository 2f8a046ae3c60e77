"""Looks for units on a bus: who answers, what they say of themselves, and which profiles fit them."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field

from drivers.errors import BadAnswer, DeviceError, ExceptionAnswer, NoAnswer
from drivers.modbus.client import Client
from drivers.modbus.identification import BASIC, NAMES, REGULAR, IdentityQuestion, objects
from drivers.modbus.identity import Identity, Line
from drivers.modbus.pdu import DEVICE_FAILURE, Request, Table

UNITS = range(1, 248)  # LINE 2.2
TOP_UNITS = (247, 246, 245, 244)  # hardly anybody's
PATH_UNAVAILABLE = 10  # exceptions of gateways for units that are not there: APP 7
MAX_PARTS = 8  # answers of one identification: its texts together are shorter than two of them
CERTAIN = 10  # what a fact that identifies counts; what merely can be read counts less than one of them


@dataclass(frozen=True, slots=True)
class Present:
    """A unit that answers, or that garbles."""

    unit: int
    said: str = ""
    """The exception that it answered with, or what garbled; "" for registers."""
    garbled: bool = False
    code: int = 0
    """Of the exception."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What of a profile is looked at: its name, how its model is told, and the reads of its points."""

    name: str
    identity: Identity
    requests: tuple[Request, ...]
    """For unit 1."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A profile that may be the unit's, and why."""

    profile: str
    score: int
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """All that was learned of one unit."""

    present: Present
    texts: dict[str, str] = field(default_factory=dict)
    fits: tuple[Fit, ...] = ()

    @property
    def profile(self) -> str | None:
        """The one profile that the unit's own words or registers name; None where they name none, or several."""
        best = [fit for fit in self.fits if fit.score >= CERTAIN]
        if not best or (len(best) > 1 and best[0].score == best[1].score):
            return None
        return best[0].profile


def first_question(unit: int) -> Request:
    """What everybody answers, if only with an exception: holding register 0."""
    return Request(unit, Table.HOLDING, 0, 1)


async def units(client: Client, numbers: Iterable[int], absent: int = 0) -> AsyncIterator[tuple[int, Present | None]]:
    """Each unit, and whether it is there; `absent` is an exception that means it is not. Raises `BusError`."""
    for unit in numbers:
        present = await _present(client, unit)
        yield unit, None if present is not None and present.code and present.code == absent else present


@dataclass(frozen=True, slots=True)
class Manners:
    """What a host does with questions to units that hardly anybody has."""

    deaf: bool = False
    """It answers them all: it does not look at the number."""
    absent: int = 0
    """The exception by which it says that there is no such unit, where it is not one of a gateway's."""


async def manners(client: Client) -> Manners:
    """Ask for the topmost units; raises `BusError`."""
    codes = set()
    for unit in TOP_UNITS:
        present = await _present(client, unit)
        if present is None or present.garbled:
            return Manners()
        codes.add(present.code)
    return Manners(absent=DEVICE_FAILURE) if codes == {DEVICE_FAILURE} else Manners(deaf=True)


async def _present(client: Client, unit: int) -> Present | None:
    """A garbled answer is asked for twice more, in other ways: one may have been noise, or a late one of another's."""
    garbled: list[str] = []
    for question in (first_question(unit), Request(unit, Table.INPUT, 0, 1), Request(unit, Table.HOLDING, 0, 2)):
        try:
            await client.ask(question)
        except ExceptionAnswer as error:
            return None if error.code == PATH_UNAVAILABLE else Present(unit, str(error), code=error.code)
        except BadAnswer as error:
            garbled.append(str(error))
        except NoAnswer:
            if not garbled:
                return None
        else:
            return Present(unit)
    return Present(unit, garbled[0], garbled=True) if len(garbled) > 1 else None


async def identify(client: Client, unit: int) -> dict[str, str]:
    """What the unit says of itself, by the names of the standard; nothing when it does not. Raises `BusError`."""
    found: dict[int, str] = {}
    for code in (BASIC, REGULAR):
        try:
            found |= await _category(client, unit, code)
        except DeviceError:
            break
    return {NAMES[number]: text for number, text in sorted(found.items()) if number in NAMES and text}


async def _category(client: Client, unit: int, code: int) -> dict[int, str]:
    found: dict[int, str] = {}
    first: int | None = 0
    for _ in range(MAX_PARTS):
        if first is None:
            break
        part, first = objects(await client.ask(IdentityQuestion(unit, code, first)))
        found |= part
    return found


class Fitting:
    """Judges the profiles for one unit; each register is asked for once."""

    def __init__(self, client: Client, unit: int, texts: dict[str, str], line: Line | None) -> None:
        self._client = client
        self._unit = unit
        self._texts = texts
        self._line = line
        self._known: dict[tuple[Table, int], int | None] = {}

    async def judge(self, candidates: Sequence[Candidate]) -> tuple[Fit, ...]:
        """Those that fit, the best first: by what identifies them, or else by what can be read. Raises `BusError`."""
        certain = [fit for one in candidates if (fit := await self._certain(one)) is not None]
        vague = [] if certain else [fit for one in candidates if (fit := await self._vague(one)) is not None]
        return tuple(sorted((*certain, *vague), key=lambda fit: (-fit.score, fit.profile)))

    async def _certain(self, one: Candidate) -> Fit | None:
        facts = []
        for name, part in (("vendor", one.identity.vendor), ("product", one.identity.product)):
            if part is not None:
                if part.casefold() not in self._texts.get(name, "").casefold():
                    return None
                facts.append(f"{name} {part!r}")
        for mark in one.identity.registers:
            value = await self._register(mark.table, mark.register_)
            if value not in mark.equals:
                return None
            facts.append(f"{mark.table} {mark.register_} = {value}")
        return Fit(one.name, CERTAIN * len(facts) + self._as_shipped(one), "; ".join(facts)) if facts else None

    async def _vague(self, one: Candidate) -> Fit | None:
        """Of a model that nothing identifies: whether all can be read that it has."""
        if one.identity.registers or one.identity.vendor or one.identity.product or not one.requests:
            return None
        for request in one.requests:
            try:
                await self._client.ask(Request(self._unit, request.table, request.address, request.count))
            except DeviceError:
                return None
        return Fit(one.name, 1 + self._as_shipped(one), "all its registers can be read, which proves little")

    def _as_shipped(self, one: Candidate) -> int:
        """One for the serial settings that its maker ships, which are nearly everybody's."""
        made, here = one.identity.serial, self._line
        return int(made is not None and here is not None and (made.baud, made.parity) == (here.baud, here.parity))

    async def _register(self, table: Table, register: int) -> int | None:
        if (table, register) not in self._known:
            try:
                data = await self._client.ask(Request(self._unit, table, register, 1))
                self._known[table, register] = int.from_bytes(data, "big")
            except DeviceError:
                self._known[table, register] = None
        return self._known[table, register]
