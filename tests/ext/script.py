"""Blocks made of the symbols one names: what a decoder would read, encoded by its own frequencies."""

from collections.abc import Iterable, Iterator

from tests.reference_decoder import END, Coder, Decoder, ReferenceFormatError


def number(value: int) -> list[int]:
    """The two symbols and the bits that say a number."""
    magnitude = value if value >= 0 else -value - 1
    length = magnitude.bit_length()
    symbols = [length >> 2, (length & 3) + (4 if value < 0 else 0)]
    return [*symbols, magnitude - (1 << (length - 1))] if length > 1 else symbols


class ScriptEnded(Exception):
    """The script says no more."""


class ScriptedCoder(Coder):
    """A coder that says what the script says, and writes it down."""

    def __init__(self, script: Iterator[int]) -> None:
        self.script = script
        self.low = 0
        self.range = (1 << 32) - 1
        self.shifts = 0

    def take(self) -> int:
        """The next symbol."""
        return self.take_bits()

    def take_bits(self) -> int:
        """The next plain bits."""
        for value in self.script:
            return value
        raise ScriptEnded

    def narrow(self, start: int, width: int) -> None:
        self.low += start
        self.range = width
        while self.range < 1 << 24:
            self.low <<= 8
            self.range <<= 8
            self.shifts += 1

    def symbol_by(self, c: list[int]) -> int:
        symbol = self.take()
        unit = self.range >> 15
        stop = 32_768 if symbol == 15 else c[symbol + 1]
        self.narrow(unit * c[symbol], unit * (stop - c[symbol]))
        return symbol

    def bits(self, count: int) -> int:
        value = self.take_bits() if count > 0 else 0
        while count > 0:
            part = count % 16 or 16
            count -= part
            self.narrow((self.range >> part) * (value >> count & ((1 << part) - 1)), self.range >> part)
        return value

    def written(self) -> bytes:
        """The bytes so far, and the fewest that end them."""
        for count in range(5):
            unit = 1 << (32 - 8 * count)
            value = (self.low + unit - 1) // unit * unit
            if value < self.low + self.range:
                break
        return (value >> (32 - 8 * count)).to_bytes(self.shifts + count, "big")


class Scripted(Decoder):
    """A decoder that reads scripts instead of blocks."""

    coder_class = ScriptedCoder

    def written(self, script: Iterable[int]) -> bytes:
        self.coder = coder = self.coder_class(iter(script))
        try:
            while (head := self.read_head()) != END:
                self.record(head)
        except (ReferenceFormatError, ScriptEnded):
            pass  # what is wrong with it is for the decoders under test to say
        return coder.written()


def scripted(*scripts: list[int]) -> list[bytes]:
    """The blocks of one batch, each by the symbols and plain bits that a decoder reads of it, up to what it refuses."""
    writer = Scripted()
    blocks = [writer.written(script) for script in scripts]
    return [b"\x03" + blocks[0], *blocks[1:]]
