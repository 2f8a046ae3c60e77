"""Where the fields of a SunSpec model lie in the registers of a device."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from drivers.modbus.sunspec_models import REPEATS, Definition, Field, Group

HEAD = 2  # registers of a model before its own: id and length
UNKNOWN_COUNT = 0xFFFF  # "not implemented" of a count, which is a uint16

Registers = dict[int, int]
"""What the registers hold, by address."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model in the chain of a device."""

    id: int
    address: int
    """Its first register, which holds the id."""
    length: int
    """Registers behind the two of its head."""

    @property
    def end(self) -> int:
        """The register behind its last one."""
        return self.address + HEAD + self.length


@dataclass(frozen=True, slots=True)
class Place:
    """A field of a model of a device."""

    model: Model
    path: tuple[str, ...]
    """The groups that it is in, each with its number where the group repeats."""
    field: Field
    address: int
    scale: int | None = None
    """The register that holds its power of ten."""


def lay_out(model: Model, definition: Definition, registers: Mapping[int, int]) -> list[Place]:
    """All places up to the end of the model, head included; groups whose number is not in `registers` are left out."""
    return list(_Layout(model, definition, registers).places())


class _Layout:
    def __init__(self, model: Model, definition: Definition, registers: Mapping[int, int]) -> None:
        self._model = model
        self._top = definition.group
        self._registers = registers
        self._at = model.address
        self._counts: dict[str, int] = {}

    def places(self) -> Iterator[Place]:
        yield from self._group(self._top, (), {})

    def _group(self, group: Group, path: tuple[str, ...], outer: Mapping[str, int]) -> Iterator[Place]:
        scales = {**outer, **self._scales(group)}
        for field in group.fields:
            if self._at + field.size > self._model.end:
                self._at = self._model.end
                return
            if group is self._top:
                self._counts[field.name] = self._registers.get(self._at, UNKNOWN_COUNT)
            scale = scales.get(field.scale) if isinstance(field.scale, str) else None
            yield Place(self._model, path, field, self._at, scale)
            self._at += field.size
        for inner in group.groups:
            yield from self._repeated(inner, path, scales)

    def _repeated(self, group: Group, path: tuple[str, ...], scales: Mapping[str, int]) -> Iterator[Place]:
        """As often as the definition says; the end of the model and a group without registers end it in any case."""
        number, count = 0, self._count(group)
        while self._at < self._model.end and (count == REPEATS or number < count):
            before, number = self._at, number + 1
            name = (group.name,) if group.count == 1 else (group.name, str(number))
            yield from self._group(group, (*path, *name), scales)
            if self._at == before:
                return

    def _count(self, group: Group) -> int:
        """How often, below 0 for never; where the number is not known, nothing that follows has a place."""
        if isinstance(group.count, int):
            return group.count
        count = self._counts.get(group.count, UNKNOWN_COUNT)
        if count == UNKNOWN_COUNT:
            self._at = self._model.end
        return count or -1

    def _scales(self, group: Group) -> dict[str, int]:
        """The registers of the scale factors of a group, which may follow what they scale."""
        found, at = {}, self._at
        for field in group.fields:
            if field.type == "sunssf" and at < self._model.end:
                found[field.name] = at
            at += field.size
        return found
