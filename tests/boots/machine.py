"""One box: an overlay of a tree that boots, runs commands, is powered off, and is switched on again."""

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

BOOT_S = 60.0
OFF_S = 60.0
RUN_S = 120.0
POLL_S = 0.2
NUMBERS = itertools.count(1)
STATES = ("starting", "running", "degraded", "maintenance")

# Control groups of its own: nspawn makes those of the machine below the one that it is in, always by the same name, and
# two machines would share units, their filters and their ends.
# Mounts that nobody else sees and that end with the last process. The capabilities are those of IPAddressAllow= and
# DeviceAllow=, which are BPF programs.
BOOT = """\
for group in $GROUPS_OF_ITS_OWN; do mkdir "$group" && echo $$ >"$group/cgroup.procs"; done
mount -t tmpfs tmpfs /run
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
exec systemd-nspawn -q -D "$2/root" --machine=gateway --register=no --keep-unit --private-network --console=pipe \
  --link-journal=no --capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN --system-call-filter=bpf "${@:3}" -b
"""
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """`with Machine(folder, tree) as box:` gives one that is off, and is off at the end. Its disk is in `folder`."""

    def __init__(self, folder: Path, *lower: Path, options: Sequence[str] = ()) -> None:
        self._folder, self._lower, self._options = folder, lower, options
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._started: list[subprocess.Popen[bytes]] = []
        self._groups: list[Path] = []
        for name in ("upper", "work", "root"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.log = folder / "console.log"
        self.put("/etc/dpkg/dpkg.cfg.d/fast", "force-unsafe-io\n")  # no disk here loses what was not flushed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.cut()

    @property
    def upper(self) -> Path:
        """What the machine has written; to be looked at while it is off."""
        return self._folder / "upper"

    def put(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        """Write a file of its disk while it is off."""
        target = self.upper / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        target.chmod(mode)

    def boot(self) -> None:
        """Switch it on; systemd answers when this returns."""
        lower = ":".join(map(str, self._lower))
        name = f"lamppost-boots-{os.getpid()}-{next(NUMBERS)}"
        self._groups = [group / name for group in control_groups()]
        words = ["unshare", "--mount", "bash", "-euc", BOOT, "boot", lower, str(self._folder), *self._options]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                    "GROUPS_OF_ITS_OWN": " ".join(map(str, self._groups)),
                },
            )  # fmt: skip
        deadline = time.monotonic() + BOOT_S
        while not (self._find_leader() and self.run("systemctl is-system-running", check=False) in STATES):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.cut()
                raise AssertionError(f"the machine does not boot: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(POLL_S / 4)

    def wait(self) -> None:
        """Everything that boots has booted."""
        self.run("systemctl is-system-running --wait || true")

    def words(self, command: str) -> list[str]:
        """What runs a command of bash in the machine, as root."""
        enter = ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        return [
            *enter,
            "--",
            "/usr/bin/env",
            "-i",
            PATH,
            "HOME=/root",
            "LC_ALL=C.UTF-8",
            "bash",
            "-euc",
            f"cd; {command}",
        ]

    def run(self, command: str, *, check: bool = True, seconds: float = RUN_S) -> str:
        """What it prints; raises AssertionError with both streams where it fails and `check` is set."""
        done = subprocess.run(
            self.words(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=seconds
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.journal()}")
        return (done.stdout + done.stderr).strip()

    def json(self, command: str) -> Any:
        """The JSON on its standard output."""
        return json.loads(self.run(f"{command} 2>/dev/null"))

    def until(self, command: str, seconds: float) -> float:
        """The seconds until a command of bash succeeds; raises AssertionError when it has not by then."""
        begun = time.monotonic()
        while subprocess.run(
            self.words(command), stdin=subprocess.DEVNULL, capture_output=True, check=False
        ).returncode:
            if time.monotonic() - begun > seconds:
                raise AssertionError(
                    f"not within {seconds} s: {command}\n{self.run(command, check=False)}\n{self.journal()}"
                )
            time.sleep(POLL_S)
        return time.monotonic() - begun

    def journal(self) -> str:
        """The last lines of the journal."""
        with suppress(subprocess.TimeoutExpired):
            return self.run("journalctl --no-pager -u 'lamppost*' -n 60", check=False, seconds=20)
        return ""

    def start(self, command: str) -> None:
        """A process in the machine that ends with it."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(self.words(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._started.append(process)

    def off(self) -> None:
        """Shut it down, as the power button does."""
        self.run("systemctl poweroff --no-block")
        self._ended(self._running())

    def cut(self) -> None:
        """Switch it off at once: no process has a last word. What the kernel holds of its files is not lost."""
        process = self._running()
        for pid in (self._leader, process.pid):
            with suppress(ProcessLookupError):
                if pid:
                    os.kill(pid, signal.SIGKILL)
        self._ended(process)

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        for one in (process, *self._started):
            one.wait(OFF_S)
        for group in self._groups:
            _remove(group)
        self._process, self._leader = None, 0
        self._started.clear()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the machine is off"
        return self._process

    def _find_leader(self) -> bool:
        """Whether its first process is there: the descendant of ours that is number 1 in a namespace of its own."""
        rest = [self._running().pid]
        while rest:
            pid = rest.pop()
            with suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                numbers = next(line.split() for line in status.splitlines() if line.startswith("NSpid:"))
                if len(numbers) > 2 and numbers[-1] == "1":
                    self._leader = pid
                    return True
                rest += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return False


def control_groups() -> list[Path]:
    """The groups that this process is in, of the hierarchies that systemd uses (cgroups(7), /proc/PID/cgroup)."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, names, path = line.split(":", 2)
        if number == "0" or names == "name=systemd":
            mounts = ("unified", "") if number == "0" else ("systemd",)
            places = [Path("/sys/fs/cgroup", mount, path.lstrip("/")) for mount in mounts]
            found += [place for place in places if (place / "cgroup.procs").exists()][:1]
    return found


def _remove(group: Path) -> None:
    """A group that is empty, or will be in a moment, and all below it."""
    deadline = time.monotonic() + OFF_S
    while group.exists() and time.monotonic() < deadline:
        for folder, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
        time.sleep(POLL_S / 4)
