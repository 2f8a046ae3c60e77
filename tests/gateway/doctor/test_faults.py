"""Twenty faults made on purpose on a real installation: the doctor names each one's cause, and nothing else."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from tests.gateway.doctor.cabinet import MAY, MAY_NOT, YEAR, Cabinet
from tests.integration.test_faults_disk import fill

pytestmark = pytest.mark.asyncio(loop_scope="module")
SEED = int(os.environ.get("LAMPPOST_SEED", "7"))
HELD = """
import fcntl, sys, time
port = open(sys.argv[1], "rb+", 0)
fcntl.flock(port, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""
RUNS = int(os.environ.get("LAMPPOST_DOCTOR_RUNS", "3"))
"""100 in the long variant: `LAMPPOST_DOCTOR_RUNS=100 make test TESTS=tests/gateway/doctor`."""
EXPIRED = timedelta(hours=-1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cabinet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cabinet]:
    async with Cabinet(tmp_path_factory.mktemp("cabinet"), SEED) as made:
        await made.until_faults()
        yield made


Undo = Callable[[], Awaitable[None]]


async def no_undo() -> None:
    """Nothing to mend."""


async def wrong_baud(cabinet: Cabinet) -> Undo:
    cabinet.line.baud, cabinet.line.garbles = 19200, cabinet.draw.random() < 0.5

    async def undo() -> None:
        cabinet.line.baud = 9600

    return undo


async def wrong_unit(cabinet: Cabinet) -> Undo:
    unit = cabinet.draw.choice(cabinet.line.units)
    right, taken = unit.address, {one.address for one in cabinet.line.units}
    unit.address = next(near for near in range(right + 1, 248) if near not in taken)

    async def undo() -> None:
        unit.address = right

    return undo


def toggled(name: str, *, to: bool) -> Callable[[Cabinet], Awaitable[Undo]]:
    async def make(cabinet: Cabinet) -> Undo:
        unit = cabinet.draw.choice(cabinet.line.units)
        setattr(unit, name, to)

        async def undo() -> None:
            setattr(unit, name, not to)

        return undo

    return make


async def cable_out(cabinet: Cabinet) -> Undo:
    cabinet.line.reach = 0

    async def undo() -> None:
        cabinet.line.reach = 4

    return undo


async def cable_open(cabinet: Cabinet) -> Undo:
    cabinet.line.reach = cabinet.draw.choice((1, 2))

    async def undo() -> None:
        cabinet.line.reach = 4

    return undo


async def broker_down(cabinet: Cabinet) -> Undo:
    await cabinet.link.cut()
    return cabinet.link.start


async def wrong_ca(cabinet: Cabinet) -> Undo:
    return await _replaced(cabinet, "ca.pem", (cabinet.folder / "other.pem").read_bytes())


async def own_expired(cabinet: Cabinet) -> Undo:
    before = (cabinet.folder / "gw.pem").read_bytes(), (cabinet.folder / "gw.key").read_bytes()
    cabinet.install(cabinet.authority, "gw", "gw", EXPIRED)
    cabinet.drop_link()

    async def undo() -> None:
        (cabinet.folder / "gw.pem").write_bytes(before[0])
        (cabinet.folder / "gw.key").write_bytes(before[1])

    return undo


async def broker_expired(cabinet: Cabinet) -> Undo:
    cabinet.install(cabinet.authority, "broker", "broker", EXPIRED)
    await cabinet.until_served()
    cabinet.drop_link()

    async def undo() -> None:
        cabinet.install(cabinet.authority, "broker", "broker", YEAR)
        await cabinet.until_served()

    return undo


async def acl(cabinet: Cabinet) -> Undo:
    (cabinet.folder / "acl").write_text(MAY_NOT)
    cabinet.broker_reloads()

    async def undo() -> None:
        (cabinet.folder / "acl").write_text(MAY)
        cabinet.broker_reloads()
        cabinet.drop_link()

    return undo


async def no_ack(cabinet: Cabinet) -> Undo:
    pid = cabinet.children.pid("collector")
    os.kill(pid, signal.SIGSTOP)

    async def undo() -> None:
        os.kill(pid, signal.SIGCONT)
        cabinet.drop_link()

    return undo


async def adapter_off(cabinet: Cabinet) -> Undo:
    cabinet.bluez.power(on=False)

    async def undo() -> None:
        cabinet.bluez.power(on=True)

    return undo


async def unknown_key(cabinet: Cabinet) -> Undo:
    await asyncio.to_thread(cabinet.write, 'colour = "red"\n')

    async def undo() -> None:
        await asyncio.to_thread(cabinet.write)

    return undo


async def stale_profile(cabinet: Cabinet) -> Undo:
    before = cabinet.profile.read_text()
    cabinet.profile.write_text(before.replace("max = 1000", "max = 400"))

    async def undo() -> None:
        cabinet.profile.write_text(before)

    return undo


async def bus_overload(cabinet: Cabinet) -> Undo:
    cabinet.every = "50ms"
    await cabinet.restart()

    async def undo() -> None:
        cabinet.every = "150ms"
        await cabinet.restart()

    return undo


async def disk_full(cabinet: Cabinet) -> Undo:
    if not cabinet.full:
        pytest.skip("mounting a tmpfs needs root")
    ballast = await asyncio.to_thread(fill, cabinet.mount)

    async def undo() -> None:
        ballast.unlink()

    return undo


async def port_denied(cabinet: Cabinet) -> Undo:
    """The port is somebody else's, and the agent has no right beyond its user's."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("taking a port away from root needs root and setpriv (Debian package util-linux)")
    os.chown(cabinet.line.path, 65534, -1)
    await asyncio.to_thread(Path(cabinet.line.path).chmod, 0o600)
    cabinet.before = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    await cabinet.restart()

    async def undo() -> None:
        os.chown(cabinet.line.path, 0, -1)
        cabinet.before = ()
        await cabinet.restart()

    return undo


async def port_taken(cabinet: Cabinet) -> Undo:
    await cabinet.stop_agent()
    holder = await cabinet.children.start("holder", [sys.executable, "-c", HELD, cabinet.line.path])
    assert holder.stdout is not None
    await holder.stdout.readline()
    await cabinet.restart()

    async def undo() -> None:
        await cabinet.children.kill("holder")

    return undo


async def clock_1971(cabinet: Cabinet) -> Undo:
    library = await asyncio.to_thread(shim, cabinet.folder)
    await cabinet.restart(LD_PRELOAD=str(library))

    async def undo() -> None:
        await cabinet.restart()

    return undo


async def corrupt_buffer(cabinet: Cabinet) -> Undo:
    await cabinet.stop_agent()
    with cabinet.buffer.open("r+b") as file:
        file.write(bytes(512))
    await cabinet.restart()

    async def undo() -> None:
        await cabinet.stop_agent()
        for file in cabinet.mount.glob("buffer.db*"):
            file.unlink()
        await cabinet.restart()

    return undo


async def _replaced(cabinet: Cabinet, name: str, data: bytes) -> Undo:
    """A file with other bytes, and the link made anew."""
    path = cabinet.folder / name
    before = path.read_bytes()
    path.write_bytes(data)
    cabinet.drop_link()

    async def undo() -> None:
        path.write_bytes(before)

    return undo


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
#include <sys/time.h>
static long begun;
static long then(long now) { if (!begun) begun = now; return 31536000 + now - begun; }
int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, at);
    if (clock == CLOCK_REALTIME) at->tv_sec = then(at->tv_sec);
    return failed;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""
"""A wall clock that starts on 1971-01-01, for one process."""


def shim(folder: Path) -> Path:
    """SHIM as a library. Blocks; skips without a compiler."""
    source, library = folder / "shim.c", folder / "shim.so"
    source.write_text(SHIM)
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no C compiler: {error}")
    return library


FAULTS: dict[str, tuple[str, Callable[[Cabinet], Awaitable[Undo]]]] = {
    "wrong baud": ("wrong-baud", wrong_baud),
    "wrong unit": ("wrong-unit", wrong_unit),
    "swapped words": ("swapped-words", toggled("swapped", to=True)),
    "cable out": ("line-silent", cable_out),
    "cable open": ("line-open", cable_open),
    "dead device": ("device-silent", toggled("alive", to=False)),
    "duplicate address": ("duplicate-address", toggled("double", to=True)),
    "broker down": ("broker-down", broker_down),
    "wrong CA": ("wrong-ca", wrong_ca),
    "own certificate expired": ("certificate-expired", own_expired),
    "broker's certificate expired": ("broker-certificate-expired", broker_expired),
    "ACL refusal": ("acl", acl),
    "platform not acknowledging": ("no-ack", no_ack),
    "adapter off": ("adapter-off", adapter_off),
    "unknown key": ("config", unknown_key),
    "stale profile": ("stale-profile", stale_profile),
    "bus overload": ("bus-overload", bus_overload),
    "disk full": ("disk-full", disk_full),
    "no permission on the port": ("port-denied", port_denied),
    "port taken": ("port-taken", port_taken),
    "clock in 1971": ("clock-wrong", clock_1971),
    "corrupt buffer": ("buffer-damaged", corrupt_buffer),
}


SLOW_TO_MEND = ("wrong-baud", "wrong-unit", "line-silent", "line-open", "device-silent", "duplicate-address")
"""Devices that are gone are only probed now and then: a restart asks them all."""


LONG = {"cable out", "platform not acknowledging", "corrupt buffer", "bus overload", "no permission on the port"}
"""Each takes some seconds here; in every run they are judged in test_judge.py."""
long_only = pytest.mark.skipif("LAMPPOST_DOCTOR_RUNS" not in os.environ, reason="only with LAMPPOST_DOCTOR_RUNS")


@pytest.mark.parametrize("fault", [pytest.param(f, marks=[long_only] if f in LONG else []) for f in FAULTS])
async def test_each_fault_is_named_and_nothing_else(cabinet: Cabinet, fault: str) -> None:
    name, make = FAULTS[fault]
    await cabinet.until(lambda: bool(cabinet.status()["uplink"]["up"]), "the link is up, and can be dropped")
    undo = await make(cabinet)
    try:
        (found,) = [one for one in await cabinet.until_faults(name) if one.fault == name]
        assert found.remedy
        assert found.message.endswith(".")
    finally:
        await undo()
        if name in SLOW_TO_MEND:
            await cabinet.restart()
    await cabinet.until_faults()


PAIRS = (("dead device", "broker down"), ("cable out", "adapter off"), ("swapped words", "wrong CA"))
"""Faults of different places; all pairs are in test_judge.py."""


@long_only
@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
async def test_both_of_a_pair_are_named(cabinet: Cabinet, pair: tuple[str, str]) -> None:
    undos = [await FAULTS[fault][1](cabinet) for fault in pair]
    try:
        await cabinet.until_faults(*(FAULTS[fault][0] for fault in pair))
    finally:
        for undo in undos:
            await undo()
        await cabinet.restart()
    await cabinet.until_faults()


async def test_a_healthy_system_gives_no_finding(cabinet: Cabinet) -> None:
    await cabinet.until_faults()
    await cabinet.until(lambda: bool(cabinet.status()["uplink"]["up"]), "the link is made again after the last fault")
    for _ in range(RUNS):
        assert await cabinet.findings() == []


async def test_a_stopped_agent_is_the_one_failure_and_ports_and_brokers_are_tried(cabinet: Cabinet) -> None:
    await cabinet.stop_agent()
    try:
        assert await cabinet.faults() == ["service-stopped"]
        undo = await wrong_ca(cabinet)
        assert await cabinet.faults() == ["service-stopped", "wrong-ca"]
        await undo()
        undo = await unknown_key(cabinet)
        assert await cabinet.faults() == ["config"]
        await undo()
    finally:
        await cabinet.restart()
    await cabinet.until_faults()


async def test_an_agent_that_does_not_answer_is_told(cabinet: Cabinet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.doctor.doctor.ANSWER_S", 0.3)
    pid = cabinet.children.pid("agent")
    os.kill(pid, signal.SIGSTOP)
    try:
        assert await cabinet.faults() == ["service-stuck"]
    finally:
        os.kill(pid, signal.SIGCONT)
