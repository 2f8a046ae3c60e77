"""Where one point lies in the bytes of a response, and how they are read."""

from dataclasses import dataclass
from typing import Final

WIDTHS: Final = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int24": 3,
    "uint24": 3,
    "int32": 4,
    "uint32": 4,
    "int48": 6,
    "uint48": 6,
    "int64": 8,
    "uint64": 8,
    "float32": 4,
    "float64": 8,
    "bcd16": 2,
    "bcd32": 4,
    "bcd48": 6,
    "bcd64": 8,
    "m10k32": 4,
    "m10k48": 6,
    "m10k64": 8,
    "sm10k32": 4,
    "sm10k48": 6,
    "sm10k64": 8,
    "sm16": 2,
    "sm32": 4,
}

CODINGS: Final = ("bcd", "m10k", "sm10k", "sm")
"""How integers are written that are no binary numbers: a decimal digit in each four bits; words of 0..9999, or of
-9999..9999 in two's complement, each worth 10000 of the next; a sign bit above a magnitude. Bits that no such number
has are a sensor fault, and sentinels mean the bits as they are."""

# The largest payload a plan reads: the limit of a BLE attribute (512) and a Modbus PDU (253) lie far below.
MAX_PAYLOAD: Final = 65_536

_LETTERS = "ABCDEFGH"


@dataclass(frozen=True, slots=True)
class Layout:
    """One point in a payload; ValueError at once when the parts do not fit each other.

    `order` "" is big-endian. Letter i names the big-endian byte found at position i; the four register orders
    ABCD, CDAB, BADC, DCBA are taken for every width and mean the same there (registers swapped, bytes swapped, both).
    `bits` > 0 gives (raw >> shift) & (2**bits - 1), unsigned. A bool is bit `shift` of its byte.
    """

    offset: int
    type: str = "uint16"
    order: str = ""
    shift: int = 0
    bits: int = 0

    def __post_init__(self) -> None:
        if self.type not in WIDTHS:
            raise ValueError(f"type {self.type!r} is not one of {', '.join(WIDTHS)}")
        if not 0 <= self.offset <= MAX_PAYLOAD - self.width:
            raise ValueError(f"offset {self.offset} is not within 0..{MAX_PAYLOAD - self.width}")
        self._check_bits()
        self.positions()

    @property
    def width(self) -> int:
        """How many bytes are read."""
        return WIDTHS[self.type]

    @property
    def coding(self) -> str:
        """One of `CODINGS`; "" for what is binary."""
        name = self.type.rstrip("0123456789")
        return name if name in CODINGS else ""

    def positions(self) -> tuple[int, ...]:
        """For each byte in the payload, its place in the big-endian number."""
        letters = _expand(self.order, self.width)
        if sorted(letters) != list(_LETTERS[: self.width]):
            raise ValueError(f"order {self.order!r} does not fit {self.type}, which has {self.width} bytes")
        return tuple(_LETTERS.index(letter) for letter in letters)

    def _check_bits(self) -> None:
        size = 8 * self.width
        if self.type.startswith("float") or self.coding:
            if self.shift or self.bits:
                raise ValueError(f"{self.type} has no bit field")
        elif self.type == "bool":
            if not 0 <= self.shift < size or self.bits not in (0, 1):
                raise ValueError(f"bool is one bit of a byte, not shift {self.shift}, bits {self.bits}")
        elif self.shift < 0 or self.bits < 0 or self.shift + self.bits > size or (self.shift and not self.bits):
            raise ValueError(f"shift {self.shift}, bits {self.bits} is no bit field of {self.type}")


def _expand(order: str, width: int) -> str:
    """The order for `width` bytes; a register order is carried over to the other widths."""
    natural = _LETTERS[:width]
    if order in ("", "ABCD"):
        return natural
    if len(order) == width or order not in ("CDAB", "BADC", "DCBA"):
        return order
    if order == "DCBA":
        return natural[::-1]
    if width % 2:
        return natural if order == "CDAB" else order
    words = [natural[i : i + 2] for i in range(0, width, 2)]
    return "".join(reversed(words)) if order == "CDAB" else "".join(word[::-1] for word in words)
