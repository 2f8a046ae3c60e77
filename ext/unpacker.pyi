from collections.abc import Sequence

from ext.value import Value

def unpack(blocks: Sequence[bytes]) -> list[tuple[int, int, Value, int]]: ...
