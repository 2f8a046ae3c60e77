"""Many rows in one statement."""

from collections.abc import Collection, Iterable, Iterator
from typing import TypeVar

ROWS = 500  # SQLite takes 32,766 values, PostgreSQL as many as there is memory for

T = TypeVar("T")


def parts(items: Iterable[T]) -> Iterator[list[T]]:
    """What one statement takes, again and again; never an empty list."""
    every = list(items)
    return (every[start : start + ROWS] for start in range(0, len(every), ROWS))


def places(items: Collection[object], width: int) -> str:
    """Question marks for so many rows: `(?, ?), (?, ?)`."""
    return ", ".join([f"({', '.join('?' * width)})"] * len(items))
