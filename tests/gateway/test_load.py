"""What a plan takes of its bus, and what the daemon says of one that is too much."""

import asyncio
from pathlib import Path

import pytest

from drivers.base import Read
from gateway.polling.load import Load, load
from tests.gateway.scene import Scene
from tests.gateway.support import Asked, Heard, VirtualLoop, bus, device, make, virtually


class Dear(Asked):
    """Each read takes 340 ms."""

    def cost(self, read: Read) -> float:  # noqa: ARG002 the contract's
        return 340


def test_the_load_is_the_sum_of_what_each_read_takes_of_its_period(tmp_path: Path) -> None:
    text = bus() + device("a", "p", every="1s") + device("b", "p", every="10s")
    _, (driver,) = make(tmp_path, text, Dear)
    found = load(driver)
    assert (found.known, found.too_much) == (2, False)
    assert found.share == pytest.approx(0.374)


def test_what_nobody_knows_is_no_load(tmp_path: Path) -> None:
    for kind in (Asked, Heard):
        _, (driver,) = make(tmp_path, bus() + device("a", "p"), kind)
        assert load(driver) == Load(0, 0.0)


@pytest.mark.parametrize(("share", "said"), [(1.7, "1.7"), (1.001, "1.1"), (12.31, "12.4")])
def test_too_much_is_never_said_to_be_just_enough(share: float, said: str) -> None:
    assert Load(1, share).too_much
    assert str(Load(1, share)) == f"this plan needs {said} s of every 1.0 s"


def test_the_daemon_warns_of_a_plan_that_is_too_much_and_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def play(loop: VirtualLoop) -> None:
        _, (driver,) = make(tmp_path, bus() + "".join(device(f"u{n}", "p") for n in range(5)), Dear)
        scene = Scene(loop, [driver])
        async with scene.running():
            await asyncio.sleep(10)
        assert [record.getMessage() for record in caplog.records] == ["bus b: this plan needs 1.7 s of every 1.0 s"]
        assert len(driver.asked) >= 45

    virtually(play)
