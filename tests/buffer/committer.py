"""Commits to a store until it is killed, and prints each number once it is on the disk: PATH KEY."""

import itertools
import sys
from pathlib import Path

from buffer.block import Block
from buffer.header import Clock, ClockState, Priority
from buffer.keys import SigningKey
from buffer.store import Store
from tests.buffer.support import GATEWAY, SERIES, SIZE


def main(path: Path, key: Path) -> None:
    """Never ends by itself. Each block carries its number; every ninth begins a batch, every 50th frees one."""
    boot = bytes(16)
    store = Store.open(path, GATEWAY, SigningKey.load(key), boot, size_limit=SIZE, now_ms=lambda: 0)
    store.assign(SERIES)
    clock = Clock(boot, 0, ClockState.UNSET)
    first = int(sys.argv[3])
    for number in itertools.count(first):
        data = number.to_bytes(4, "big") + bytes(number % 3000)
        store.commit([Block(Priority.NORMAL, clock, 1, number, number, data, (number - first) % 9 == 0)])
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        if number % 50 == 0:
            store.acknowledge_numbers([store.last_number - 1], 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
