"""A street cabinet: ext4 on a disk that loses power, mounted by way of a loop device."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.conftest import ROOT
from tests.mosquitto import PATH
from tests.power.disk import NAME

DISK_BYTES = 24 << 20
PATIENCE_S = 30


def hindrance() -> str:
    """Why no cabinet can be built here; empty when one can."""
    if sys.platform != "linux":
        return "loop devices and FUSE are Linux's"
    if os.geteuid() != 0:
        return "mounting needs root"
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    return ""


def run(*command: str) -> None:
    """Run a tool of the system; raises CalledProcessError."""
    program = shutil.which(command[0], path=PATH) or command[0]
    subprocess.run([program, *command[1:]], check=True, capture_output=True, timeout=PATIENCE_S)


class Cabinet:
    """A context manager; leaves no mount, loop device or process behind."""

    def __init__(self, folder: Path) -> None:
        self._fuse = folder / "fuse"
        self.path = folder / "ext4"
        self._fuse.mkdir()
        self.path.mkdir()
        command = [sys.executable, "-m", "tests.power.disk", str(self._fuse), str(DISK_BYTES)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        self._mounted = False

    def __enter__(self) -> Self:
        try:
            self._say("on")
            while not (self._fuse / NAME).exists():
                if self._process.poll() is not None:
                    raise RuntimeError("the disk did not start")
            # a small journal, and everything in its place before the first cut: quick to make, quick to recover
            options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
            run("mke2fs", "-t", "ext4", "-q", "-F", "-J", "size=4", "-E", options, str(self._fuse / NAME))
            self.mount()
        except BaseException:  # half a cabinet must not stay either
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def mount(self) -> None:
        """Recover the file system from its journal and mount it."""
        run("mount", "-t", "ext4", "-o", "loop,noatime", str(self._fuse / NAME), str(self.path))
        self._mounted = True

    def unmount(self) -> None:
        """Forget everything that is only in memory; the disk is dead or everything was flushed."""
        run("umount", str(self.path))
        self._mounted = False

    def cut(self, seed: int, keep: float) -> int:
        """Power off, in the midst of whatever is being written; how many sectors were lost."""
        return int(self._say(f"cut {seed} {keep}"))

    def restore(self) -> None:
        """Unmount what is dead, power on, mount again."""
        self.unmount()
        self._say("on")
        self.mount()

    def close(self) -> None:
        """Take everything down, whatever state it is in."""
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.path)], check=False, capture_output=True)
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            subprocess.run(["umount", "--lazy", str(self._fuse)], check=False, capture_output=True)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _say(self, command: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()
