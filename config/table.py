"""What every table of the configuration has in common."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of the configuration: frozen, and every unknown key an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    derived: ClassVar[frozenset[str]] = frozenset()
    """Fields that no file sets."""

    @classmethod
    def keys(cls) -> frozenset[str]:
        """The keys that a file may set."""
        return frozenset(cls.model_fields) - cls.derived
