"""Commits numbers to a store whatever the disk says, each until it is taken: PATH KEY COUNT. Run it under a fault."""

import sys
from pathlib import Path

from buffer.block import Block
from buffer.errors import StoreCorrupt, StoreError
from buffer.header import Clock, ClockState, Priority
from buffer.keys import SigningKey
from buffer.store import Store
from tests.buffer.support import GATEWAY, SERIES, SIZE

TRIES = 2000  # a fault that lasts longer is no fault of the test's making


def commit(store: Store, number: int, *, fresh: bool) -> int:
    """One block, sealed every seventh time; how many times the disk did not take it."""
    clock = Clock(bytes(16), 0, ClockState.UNSET)
    data = number.to_bytes(4, "big") + bytes(number % 700)
    for failures in range(TRIES):
        try:
            store.commit([Block(Priority.NORMAL, clock, 1, number, number, data, fresh)], seal=number % 7 == 0)
        except StoreCorrupt:
            raise
        except StoreError as error:
            if not failures:
                sys.stdout.write(f"fault {error}\n")
        else:
            return failures
    raise TimeoutError("the fault does not end")


def main(path: Path, key: Path, count: int) -> None:
    """Say `ready`, each fault as it begins, and at the end how many commits were made and how many tries failed."""
    store = Store.open(path, GATEWAY, SigningKey.load(key), bytes(16), size_limit=SIZE, now_ms=lambda: 0)
    store.assign(SERIES)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    failures = 0
    for number in range(1, count + 1):
        failures += commit(store, number, fresh=number % 7 == 1)
        sys.stdout.write(f"committed {number}\n")
        sys.stdout.flush()
    sys.stdout.write(f"failures {failures}\n")
    sys.stdout.flush()
    store._release()  # as a crash leaves it: what counts is what the commits have put there


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
