"""Whatever the order and however often: the same tables. Whatever is altered: no change."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buffer.header import ClockState
from buffer.keys import SigningKey
from collector.receiving.incoming import Message
from ext import CLOCK
from tests.collector.maker import OFFSET_MS, Bench, Gateway

KEY = SigningKey(Ed25519PrivateKey.generate())
MUTATIONS = 20_000
GROUP = 500


def life() -> list[Message]:
    """A stream with two catalogues, a boot that learns the time late, a clock step, losses, and a broken joint."""
    gateway = Gateway(key=KEY, clock_state=ClockState.UNSET)
    made = [gateway.describe()]
    made.append(gateway.send([(1, 10, 1.5, CLOCK), (2, 11, 7, 0)], ledger=(gateway.loses(1, 5, ClockState.UNSET),)))
    made.append(gateway.send([(1, 20, "text", 0)]))
    gateway.clock_state = ClockState.SYNCHRONIZED
    made.append(gateway.send([(1, 30, 2.5, 0)]))
    gateway.clock_ms = OFFSET_MS + 5000
    made.append(gateway.describe(gateway.lines(4)))
    made.append(gateway.send([(4, 40, 3.5, 0), (4, 50, None, 6)], ledger=(gateway.loses(31, 33),)))
    gateway.boot, gateway.clock_state = bytes([9]) * 16, ClockState.UNSET
    made.append(gateway.send([(1, 1, 4.5, 0)]))
    gateway.previous = bytes([3]) * 32
    made.append(gateway.send([(2, 2, 5.5, 0)]))
    made.append(gateway.send([(3, 3, 2**60, 0)]))
    return made


LIFE = life()


def result(groups: list[list[Message]]) -> dict[str, list[tuple[object, ...]]]:
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "c.db", Gateway(key=KEY))
        try:
            for group in groups:
                bench.take(*group)
            return bench.tables()
        finally:
            bench.close()


WANTED = result([LIFE])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.permutations(LIFE), st.lists(st.sampled_from(LIFE), max_size=5), st.integers(1, 5))
def test_any_order_and_any_duplication_gives_the_same_tables(
    order: list[Message], again: list[Message], size: int
) -> None:
    messages = [*order, *again]
    assert result([messages[at : at + size] for at in range(0, len(messages), size)]) == WANTED


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, len(LIFE) - 1)), st.permutations(range(len(LIFE))))
def test_any_subset_in_any_order_gives_the_same_tables(chosen: set[int], order: list[int]) -> None:
    forward = [LIFE[at] for at in sorted(chosen)]
    mixed = [LIFE[at] for at in order if at in chosen]
    assert result([forward]) == result([[message] for message in mixed])


def mutate(rng: random.Random, message: Message) -> Message:
    payload = bytearray(message.payload)
    match rng.randrange(6):
        case 0:
            payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
        case 1:
            del payload[rng.randrange(len(payload)) :]
        case 2:
            at = rng.randrange(len(payload))
            payload[at:at] = rng.randbytes(rng.randrange(1, 9))
        case 3:
            at = rng.randrange(len(payload))
            payload[at : at + rng.randrange(1, 9)] = b""
        case 4:
            at = rng.randrange(len(payload))
            payload[at : at + 8] = rng.randbytes(8)
        case _:
            payload = bytearray(rng.randbytes(rng.randrange(200)))
    return Message(message.topic, bytes(payload))


def test_mutations_are_refused_counted_and_change_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "c.db", Gateway(key=KEY))
    bench.take(*LIFE)
    before = bench.tables()
    whole = {message.payload for message in LIFE}
    rng = random.Random(20260504)
    sent = 0
    while sent < MUTATIONS:
        group = [m for m in (mutate(rng, rng.choice(LIFE)) for _ in range(GROUP)) if m.payload not in whole]
        assert bench.take(*group) == []
        sent += len(group)
    assert bench.tables() == before
    ((counted, overflow),) = bench.rows("SELECT sum(count), sum(overflow) FROM refusals")
    ((kept,),) = bench.rows("SELECT count(*) FROM refused")
    assert counted == sent
    assert kept == 10_000
    assert overflow == sent - 10_000
    assert bench.ack(LIFE[0]).cumulative == 7
    bench.close()
