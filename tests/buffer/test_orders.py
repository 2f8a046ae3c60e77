"""Numbers are taken once, rates count over restarts, and results are as final as the samples that tell them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from buffer import orders
from buffer.errors import NotAllowed
from buffer.keys import SigningKey
from buffer.orders import MAX_LASTING, MAX_REFUSED, MAX_WAITING, SHOWN, Order, Quiet, Use
from buffer.store import Store
from tests.buffer.support import BOOT, GATEWAY, SERIES, SIZE, block

NOW = 1_790_000_000_000
KEY = SigningKey(Ed25519PrivateKey.generate())


def order(number: int, expires: int = NOW + 60_000, at: int = NOW, *, final: bool = False) -> Order:
    return Order(number, expires, at, b"message", f"result {number}", final)


def opened(folder: Path) -> Store:
    return Store.open(folder / "buffer.db", GATEWAY, KEY, BOOT, size_limit=SIZE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = opened(tmp_path)
    yield made
    made.close()


def accept(store: Store, one: Order, floor: int = 0, *uses: Use) -> str:
    """The reason of the refusal, "" for none."""
    try:
        store.change(partial(orders.accept, order=one, floor_ms=floor, uses=uses))
    except NotAllowed as error:
        return error.reason
    return ""


def test_a_number_is_taken_once_also_in_the_next_life(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert accept(store, order(7)) == ""
    assert accept(store, order(7)) == "replay"
    store.close(clean=False)
    store = opened(tmp_path)
    assert accept(store, order(7)) == "replay"
    assert store.ask(orders.unfinished) == [order(7)]
    store.commit([], also=partial(orders.finish, number=7, result="done"))
    store.close(clean=False)
    store = opened(tmp_path)
    assert store.ask(orders.unfinished) == []
    (found,) = store.ask(orders.newest)
    assert (found.result, found.final) == ("done", True)
    store.close()


def test_a_number_is_forgotten_only_below_a_floor_that_is_on_the_disk(tmp_path: Path) -> None:
    store = opened(tmp_path)
    first = order(1, NOW + 5, final=True)
    assert accept(store, first) == ""
    for n in range(SHOWN):
        assert accept(store, order(1000 + n, at=NOW + n + 1, final=True)) == ""
    assert accept(store, order(2), NOW + 4) == ""
    assert store.ask(partial(orders.known, number=1))
    assert accept(store, order(3), NOW + 5) == ""
    assert not store.ask(partial(orders.known, number=1))
    assert accept(store, first, NOW + 5) == "expired"
    store.close(clean=False)
    store = opened(tmp_path)
    assert store.floor_ms == NOW + 5
    store.close()


def test_rates_count_over_restarts_and_a_clock_that_falls_frees_nothing(tmp_path: Path) -> None:
    use = Use("lamp/level", 2, 1000)
    store = opened(tmp_path)
    assert accept(store, order(1, at=NOW), 0, use) == ""
    assert accept(store, order(2, at=NOW + 10), 0, use) == ""
    store.close(clean=False)
    store = opened(tmp_path)
    assert accept(store, order(3, at=NOW + 999), 0, use) == "rate"
    assert not store.ask(partial(orders.known, number=3))  # nothing of it stays
    assert accept(store, order(3, at=NOW - 5_000), 0, use) == "rate"
    assert accept(store, order(3, at=NOW + 1_000), 0, use) == ""
    assert accept(store, order(4, at=NOW + 1_001), 0, use) == "rate"
    assert accept(store, order(4, at=NOW + 1_001), 0, use, use) == "rate"
    store.close()


def test_a_flood_is_bounded(store: Store) -> None:
    for n in range(MAX_REFUSED):
        store.change(partial(orders.refuse, order=order(n + 1, final=True), floor_ms=0))
    with pytest.raises(NotAllowed, match="512 commands"):
        store.ask(partial(orders.check_refusal, number=5_000, floor_ms=0))
    with pytest.raises(NotAllowed, match="512 commands"):  # a schedule: the rest is for commands
        store.change(partial(orders.accept, order=order(5_000), floor_ms=0, most=MAX_LASTING))
    for n in range(MAX_REFUSED, MAX_WAITING):
        assert accept(store, order(n + 1, final=True)) == ""
    assert accept(store, order(9_999)) == "full"
    assert accept(store, order(9_999, NOW + 120_000), NOW + 60_000) == ""
    assert len(store.ask(partial(orders.newest, limit=-1))) == SHOWN + 1


def test_a_result_and_its_sample_are_there_together_or_not_at_all(tmp_path: Path) -> None:
    store = opened(tmp_path)
    accept(store, order(1))

    def fails(connection: object) -> None:
        raise RuntimeError

    store.assign(SERIES)
    with pytest.raises(RuntimeError):
        store.commit([block()], also=fails)
    assert store.open_samples == 0
    store.commit([block()], also=partial(orders.finish, number=1, result="r"))
    assert store.open_samples == block().samples
    assert store.ask(orders.unfinished) == []
    store.close()


def test_what_goes_back_and_how_long_it_was_quiet(store: Store) -> None:
    take = partial(orders.accept, order=order(1), floor_ms=0, reverts=[("a/p", 5), ("b/p", 50)])
    store.change(take)
    store.change(partial(orders.shift_reverts, after_ms=5, by_ms=100))
    assert store.ask(orders.pending_reverts) == {"a/p": 5, "b/p": 150}
    store.change(partial(orders.reverted, point="b/p", written_ms=50))
    store.change(partial(orders.reverted, point="a/p", written_ms=5))
    assert store.ask(orders.pending_reverts) == {"b/p": 150}
    noted = Quiet(1, 2, b"x" * 16, 4, 5)
    store.change(partial(orders.note_quiet, now=noted))
    assert store.ask(orders.quiet) == noted
