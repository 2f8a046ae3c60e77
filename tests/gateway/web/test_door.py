"""Who is let in, by a clock that is set by hand: codes, sessions, and no more tries than there may be."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import FileDamaged, SetupFailed
from gateway.web import secret
from gateway.web.door import (
    ADDRESSES_MAX,
    ALL_TRIES,
    ALL_TRY_S,
    IDLE_S,
    LIFE_S,
    SESSIONS_MAX,
    TRIES,
    TRY_S,
    Door,
)
from gateway.web.secret import Password


class Hand:
    """A steady clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hand() -> Hand:
    return Hand()


def test_a_code_lets_in_once_and_only_the_newest_does(hand: Hand) -> None:
    door = Door(hand)
    old, new = door.code(), door.code()
    assert not door.redeem(old)
    assert not door.redeem("")
    assert door.redeem(new)
    assert not door.redeem(new)
    assert len(new) == 22  # 128 bits in base64url: what the page looks for in its address


def test_a_session_ends_when_nobody_uses_it(hand: Hand) -> None:
    door = Door(hand)
    cookie, session = door.enter()
    for _ in range(3):
        hand.now += IDLE_S - 1
        assert door.find(cookie) is session
    hand.now += IDLE_S
    assert door.find(cookie) is None


def test_a_session_ends_with_the_day_and_with_the_page(hand: Hand) -> None:
    door, opened = Door(hand, idle=1e9), Door(hand, ends=hand.now + 60, idle=1e9)
    day, hour = door.enter()[0], opened.enter()[0]
    hand.now += 59.9
    assert opened.find(hour)
    hand.now += 0.2
    assert opened.find(hour) is None
    hand.now += LIFE_S - 61
    assert door.find(day)
    hand.now += 61
    assert door.find(day) is None


def test_a_session_ends_on_request_and_others_stay(hand: Hand) -> None:
    door = Door(hand)
    cookies = [door.enter()[0] for _ in range(SESSIONS_MAX)]
    door.find(cookies[0])
    extra = door.enter()[0]
    assert [door.find(cookie) is None for cookie in cookies] == [False, True, *[False] * (SESSIONS_MAX - 2)]
    door.leave(extra)
    door.leave("nobody's")
    assert door.find(extra) is None
    assert len({door.enter()[1].token for _ in range(9)}) == 9


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", "d", "e", "f"]), st.floats(0, 40, allow_nan=False)),
        min_size=1, max_size=200,
    )
)  # fmt: skip
def test_nobody_guesses_faster_than_the_limits(script: list[tuple[str, float]]) -> None:
    hand = Hand()
    door = Door(hand)
    let: list[tuple[float, str]] = []
    for address, pause in script:
        hand.now += pause
        wait = door.wait(address)
        assert wait >= 0
        if not wait:
            let.append((hand.now, address))
    for address in ("a", "b", "c", "d", "e", "f"):
        times = [at for at, who in let if who == address]
        assert all(len(times[i : j + 1]) <= TRIES + (times[j] - times[i]) / TRY_S + 1e-6
                   for i in range(len(times)) for j in range(i, len(times)))  # fmt: skip
    times = [at for at, _ in let]
    for i, began in enumerate(times):
        assert len(times) - i <= ALL_TRIES + (times[-1] - began) / ALL_TRY_S + 1e-6


def test_who_waited_as_told_may_try_and_good_tries_cost_nothing(hand: Hand) -> None:
    door = Door(hand)
    for _ in range(3 * ALL_TRIES):
        assert door.wait("good") == 0
        door.well("good")
    assert [door.wait("bad") for _ in range(TRIES)] == [0] * TRIES
    wait = door.wait("bad")
    assert 0 < wait <= TRY_S
    hand.now += wait + 1e-6
    assert door.wait("bad") == 0


def test_many_addresses_take_no_more_memory(hand: Hand) -> None:
    door = Door(hand)
    for number in range(3 * ADDRESSES_MAX):
        door.wait(f"10.0.{number}")
    assert len(door._tries) == ADDRESSES_MAX


def test_a_password_is_kept_as_scrypts_output(tmp_path: Path) -> None:
    known = Password(tmp_path)
    assert not known.is_set
    assert not known.fits("")
    secret.set_password(tmp_path, "rain on the pole 7")
    file = tmp_path / secret.PASSWORD
    assert known.is_set
    assert "rain" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o640
    assert [known.fits(said) for said in ("rain on the pole 7", "rain on the pole 8", "x" * 1000)] == [
        True,
        False,
        False,
    ]
    before = file.read_text()
    secret.set_password(tmp_path, "rain on the pole 7")
    assert file.read_text() != before, "the salt is the same"
    for damage in ("", "{}", "[" * 900, before.replace("32768", "2"), before[:-20]):
        file.write_text(damage)
        with pytest.raises(FileDamaged):
            known.fits("rain on the pole 7")


@pytest.mark.parametrize("said", ["", "short", "x" * 11, "x" * 129])
def test_a_password_that_is_none_is_refused(tmp_path: Path, said: str) -> None:
    with pytest.raises(SetupFailed):
        secret.set_password(tmp_path, said)
    assert not list(tmp_path.iterdir())


def test_a_token_of_the_metrics_is_kept_as_its_hash(tmp_path: Path) -> None:
    assert not secret.token_fits(tmp_path, "")
    assert not secret.token_fits(None, "")
    token = secret.new_token(tmp_path)
    assert token not in (tmp_path / secret.TOKEN).read_text()
    assert secret.token_fits(tmp_path, token)
    assert not secret.token_fits(tmp_path, (tmp_path / secret.TOKEN).read_text().strip())
    secret.new_token(tmp_path)
    assert not secret.token_fits(tmp_path, token)
