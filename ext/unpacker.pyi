from collections.abc import Sequence

from ext.columns import Columns
from ext.value import Value

def unpack(blocks: Sequence[bytes]) -> list[tuple[int, int, Value, int]]: ...
def unpack_columns(blocks: Sequence[bytes]) -> Columns: ...
