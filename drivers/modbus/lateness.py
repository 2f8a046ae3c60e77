"""Which questions must wait because the answer to an earlier one like it may still come; no I/O."""

from drivers.modbus.pdu import Question

LATE_TIMEOUTS = 3
"""An answer that comes later than this many timeouts after its own counts as never sent: radio links and gateways that
try again themselves are known to take two."""

Shape = tuple[int, bytes]


class Lateness:
    """Shapes (unit, and how the answer begins) of questions that failed; times are those of the event loop in s."""

    def __init__(self) -> None:
        self._until: dict[Shape, float] = {}

    def failed(self, question: Question, now: float, due: float, patience: float) -> None:
        """`question` has no answer that was `due` then; it may come until `LATE_TIMEOUTS` of `patience` later."""
        self._until = {shape: until for shape, until in self._until.items() if until > now}
        self._until[_shape(question)] = due + LATE_TIMEOUTS * patience

    def __bool__(self) -> bool:
        """Whether something failed not long ago."""
        return bool(self._until)

    def until(self, question: Question) -> float:
        """When no late answer can pass for the answer to `question` any more; 0 when none is awaited."""
        return self._until.get(_shape(question), 0.0)

    def holds_function(self, question: Question, now: float) -> bool:
        """Whether an exception, which tells of no more than unit and function, could be a late one."""
        unit, function = question.unit, question.head[:1]
        return any(
            until > now for (where, head), until in self._until.items() if where == unit and head[:1] == function
        )


def _shape(question: Question) -> Shape:
    return question.unit, question.head
