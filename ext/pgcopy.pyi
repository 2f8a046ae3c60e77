from array import array
from collections.abc import Callable

from ext.columns import Columns

def pg_rows(
    columns: Columns,
    numbers: array[int],
    ids: array[int],
    offset: int,
    batch: int,
    first_row: int,
    known: tuple[int, int] | None,
    hard: Callable[[int], tuple[float | None, bytes | None, bytes | None]],
) -> bytes: ...
