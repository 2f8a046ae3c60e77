"""Samples of the real packer through the store and back, over a stop in the middle of a batch."""

from decimal import Decimal

from buffer import batch
from buffer.block import Block
from buffer.header import Priority
from buffer.keys import PublicKey
from ext import GOOD, Packer, Series, unpack
from tests.buffer.support import CLOCK, SERIES, Open


def test_samples_come_back_from_batches_cut_anywhere(open_store: Open, public: PublicKey) -> None:
    store = open_store()
    numbers = store.assign(SERIES)
    packer = Packer()
    sent = []
    for at in range(40):
        if at in {13, 27}:
            packer.reset()
        if at == 27:
            store.close(clean=False)
            store = open_store()
        for number in numbers:
            value = Decimal(at * number) / 10
            assert packer.append(Series(number), at * 1000, value, GOOD)
            sent.append((number, at * 1000, value, GOOD))
        fresh = at in {0, 13, 27}
        store.commit([Block(Priority.NORMAL, CLOCK, len(numbers), at * 1000, at * 1000, packer.commit(), fresh)])
    store.seal()
    found = []
    for held in store.held():
        made = batch.decode(store.message(held.number), public)
        samples = unpack(made.blocks) if made.header.samples else []
        assert len(samples) == made.header.samples
        found += samples
    assert found == sent
