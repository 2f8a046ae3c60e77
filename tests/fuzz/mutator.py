"""Inputs of the unpacker: blocks in a frame, and mutations that know what a block is."""

import random
from collections.abc import Sequence
from typing import Final

from tests.fuzz import symbols
from tests.fuzz.invented import invented
from tests.fuzz.script import packed

MOST_BYTES: Final = 4096  # of an input that a mutation makes
SHORT: Final = 512  # bytes of an input that is mutated by its symbols
LENGTH_BYTES: Final = 2


def framed(blocks: Sequence[bytes]) -> bytes:
    """The blocks as one input: each behind its length."""
    return b"".join(len(block).to_bytes(LENGTH_BYTES, "big") + block for block in blocks)


def blocks_in(data: bytes) -> list[bytes]:
    """The blocks of any input; the last ends where the input does."""
    blocks, at = [], 0
    while at + LENGTH_BYTES <= len(data):
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        blocks.append(data[start:at])
    return blocks


class Mutator:
    """Makes inputs from others; the same ones for the same seed."""

    def __init__(self, seeds: Sequence[bytes]) -> None:
        self.seeds = seeds

    def mutate_plain(self, data: bytes, seed: int) -> bytes:
        """Another input that is no frame of blocks."""
        chance = random.Random(seed)
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 4))):
            self.alter(changed, chance)
        return bytes(changed[:MOST_BYTES])

    def mutate(self, data: bytes, seed: int) -> bytes:
        """Another frame of blocks: now and then by its symbols, from a script or invented, mostly by its bytes."""
        chance = random.Random(seed)
        kind = chance.randrange(256)
        if kind == 0:
            blocks = packed(chance.randbytes(chance.choice((20, 60, 200))))
        elif kind == 1:
            blocks = invented(chance)
        elif kind < 6 and len(data) < SHORT:
            blocks = symbols.mutated(blocks_in(data), chance)
        else:
            blocks = self.by_bytes(blocks_in(data), chance)
        return framed(blocks)[:MOST_BYTES]

    def by_bytes(self, blocks: list[bytes], chance: random.Random) -> list[bytes]:
        """Blocks with bytes altered, cut, doubled, spliced or pushed in, or blocks out of their order."""
        changed = [bytearray(block) for block in blocks] or [bytearray(b"\x03")]
        for _ in range(chance.choice((1, 1, 2, 4))):
            if chance.random() < 0.1:
                self.shuffle(changed, chance)
            else:
                self.alter(chance.choice(changed), chance)
        return [bytes(block) for block in changed]

    def shuffle(self, blocks: list[bytearray], chance: random.Random) -> None:
        """Another block, none, or one of another batch."""
        at = chance.randrange(len(blocks))
        match chance.randrange(3):
            case 0:
                blocks.insert(at, bytearray(blocks[at]))
            case 1 if len(blocks) > 1:
                del blocks[at]
            case _:
                blocks.extend(map(bytearray, blocks_in(chance.choice(self.seeds))[:2]))

    def alter(self, block: bytearray, chance: random.Random) -> None:
        """One change of a block's bytes."""
        at = chance.randint(0, len(block))
        match chance.randrange(8):
            case 0:
                del block[at:]
            case 1:
                block[at:at] = chance.randbytes(chance.choice((1, 2, 4, 32)))
            case 2:
                block[at:at] = block[at : at + chance.randint(1, 40)]
            case 3:
                block[at : at + 1] = bytes([chance.choice((0, 1, 0x7F, 0x80, 0xFF))])
            case 4:
                block[at:] = bytes([chance.choice((0, 0xFF))]) * chance.choice((1, 8, 300))
            case 5:
                donor = chance.choice(self.seeds)
                block[at:] = donor[chance.randint(0, len(donor)) :][:400]
            case 6:
                del block[at : at + chance.randint(1, 8)]
            case _ if at < len(block):
                block[at] ^= 1 << chance.randrange(8)
            case _:
                block.append(chance.randrange(256))
