"""Batches as the symbols that a decoder reads: mutations there keep the range coder in step and reach deep states."""

import random
from collections.abc import Iterator
from typing import Final

from tests.ext.script import Scripted, ScriptedCoder
from tests.reference_decoder import END, LIKE_FLAGS, Coder, Decoder, ReferenceFormatError

MOST_SYMBOLS: Final = 1200  # of a batch that is mutated so: the reference decoder takes some microseconds for each


class _Full(Exception):
    """Enough symbols."""


class _Listener(Coder):
    """A coder that notes what it reads."""

    def __init__(self, data: bytes, heard: list[int]) -> None:
        self.heard = heard
        super().__init__(data)

    def symbol_by(self, c: list[int]) -> int:
        symbol = super().symbol_by(c)
        self.note(symbol)
        return symbol

    def bits(self, count: int) -> int:
        value = super().bits(count)
        if count > 0:
            self.note(value)
        return value

    def note(self, value: int) -> None:
        if len(self.heard) >= MOST_SYMBOLS:
            raise _Full
        self.heard.append(value)


class _Hearing(Decoder):
    """A decoder that notes the symbols of each block."""

    def heard(self, data: bytes) -> list[int]:
        heard: list[int] = []
        self.coder = _Listener(data, heard)
        while True:
            head = self.read_head()
            if head == END or head > LIKE_FLAGS:
                return heard
            self.record(head)


def symbols_of(blocks: list[bytes]) -> list[list[int]]:
    """What a decoder reads of each block, up to what it refuses or enough."""
    decoder, scripts = _Hearing(), []
    for index, block in enumerate(blocks):
        try:
            scripts.append(decoder.heard(block[1:] if index == 0 else block))
        except (ReferenceFormatError, _Full):
            scripts.append(decoder.coder.heard if isinstance(decoder.coder, _Listener) else [])
            break
    return scripts


class _Lenient(ScriptedCoder):
    """Takes every number for a symbol."""

    def take(self) -> int:
        return super().take() & 15


class _Writer(Scripted):
    coder_class = _Lenient


def blocks_of(scripts: list[list[int]]) -> list[bytes]:
    """Blocks that say the symbols, each up to what a decoder refuses."""
    writer = _Writer()
    blocks = [writer.written(script) for script in scripts]
    return [b"\x03" + blocks[0], *blocks[1:]] if blocks else []


def mutated(blocks: list[bytes], chance: random.Random) -> list[bytes]:
    """The blocks with some of their symbols altered, doubled, taken out or pushed in."""
    scripts = [script for script in symbols_of(blocks) if script] or [[5]]
    for _ in range(chance.randint(1, 4)):
        _change(chance.choice(scripts), chance)
    if chance.random() < 0.2:
        scripts.append(list(chance.choice(scripts)))
    return blocks_of(scripts)


def _change(script: list[int], chance: random.Random) -> None:
    at = chance.randint(0, len(script))
    length = chance.choice((1, 2, 3, 8, 30))
    match chance.randint(0, 6):
        case 0 | 1 if at < len(script):
            script[at] = _symbol(chance)
        case 2:
            script[at:at] = [_symbol(chance) for _ in range(length)]
        case 3:
            script[at:at] = script[max(0, at - length) : at] * chance.choice((1, 2, 20))
        case 4:
            del script[at : at + length]
        case 5:
            del script[at:]
            script.extend(_endless(chance, 60))
        case _:
            script[at:at] = [0] * chance.choice((1, 5, 100))  # records as expected


def _symbol(chance: random.Random) -> int:
    return chance.choice((0, 1, 3, 5, 7, 14, 15, chance.randint(0, 15), chance.getrandbits(16), chance.getrandbits(62)))


def _endless(chance: random.Random, count: int) -> Iterator[int]:
    return (_symbol(chance) for _ in range(count))
