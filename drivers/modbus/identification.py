"""Read Device Identification (APP 6.21): what a unit says of itself in texts; no I/O."""

from dataclasses import dataclass

from drivers.errors import BadAnswer
from drivers.modbus.pdu import MAX_PDU

IDENTIFY = b"\x2b\x0e"  # function 43, MEI type 14: APP 6.21
BASIC, REGULAR = 1, 2  # "Read Device ID code": APP 6.21
HEADER = 7  # bytes before the first object: function, MEI type, code, conformity, more, next, count
MORE = 0xFF
NAMES = {  # APP 6.21, table of objects
    0: "vendor", 1: "product", 2: "revision", 3: "url", 4: "product name", 5: "model", 6: "application",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class IdentityQuestion:
    """Asks `unit` for its objects of a category, from one on."""

    unit: int
    code: int = BASIC
    first: int = 0

    @property
    def pdu(self) -> bytes:
        """Function, MEI type, category, first object."""
        return IDENTIFY + bytes((self.code, self.first))

    @property
    def head(self) -> bytes:
        """All that is known of the answer before it comes."""
        return IDENTIFY + bytes((self.code,))

    @property
    def length(self) -> int:
        """The longest answer: how long it is, only the answer says."""
        return MAX_PDU

    def measure(self, pdu: bytes) -> int | None:
        """How long the answer that begins so is; None when that is not known yet."""
        return measure(pdu)

    def take(self, pdu: bytes) -> bytes:
        """The answer itself; raises `BadAnswer`."""
        if measure(pdu) != len(pdu):
            raise BadAnswer("the objects of the identification are longer or shorter than the answer")
        return pdu


def measure(pdu: bytes) -> int | None:
    """How long an identification is that begins so; None when that is not known yet."""
    size = HEADER
    for _ in range(pdu[HEADER - 1] if len(pdu) >= HEADER else 0):
        if len(pdu) < size + 2:
            return None
        size += 2 + pdu[size + 1]
    return size if len(pdu) >= HEADER else None


def objects(pdu: bytes) -> tuple[dict[int, str], int | None]:
    """The texts by object, and the object to go on with where there are more. `pdu` is a whole answer."""
    found: dict[int, str] = {}
    at = HEADER
    for _ in range(pdu[HEADER - 1]):
        number, size = pdu[at], pdu[at + 1]
        found[number] = pdu[at + 2 : at + 2 + size].decode("ascii", "replace").strip("\0 ")
        at += 2 + size
    return found, pdu[5] if pdu[4] == MORE else None
