from collections.abc import Sequence

from ext.layout import Layout
from ext.series import Series

class ScanPlan:
    def __init__(self, fields: Sequence[tuple[Layout, Series]], period: int = 0) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def period(self) -> int: ...
