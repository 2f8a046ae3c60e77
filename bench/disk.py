"""An ext4 disk that counts what is written to it: a loop device on a file. Needs root and Linux."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DISK_BYTES = 3 << 30  # of a sparse file
SECTOR_BYTES = 512  # of the kernel's counts, whatever the device's are (Documentation/block/stat.rst)
SECTORS_WRITTEN = 6  # the column
TOOLS = ("losetup", "mkfs.ext4", "mount", "umount")


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted file system, and the count of its device."""

    folder: Path
    stat: Path

    def written(self) -> int:
        """Bytes written to the device so far, with everything that was written before on it: the journal as well."""
        subprocess.run(["sync", "--file-system", self.folder], check=True)
        return int(self.stat.read_text().split()[SECTORS_WRITTEN]) * SECTOR_BYTES


def missing() -> str:
    """Why there can be no such disk here; empty when there can."""
    if os.geteuid() != 0:
        return "bytes written to the device are counted on a loop device: run as root"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


@contextmanager
def disk() -> Iterator[Disk]:
    """A new disk with blocks of 4096 bytes, as cards have; gone afterwards."""
    base = Path(tempfile.mkdtemp(prefix="lamppost-bench-"))
    image, folder = base / "disk", base / "mounted"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-E", options, image], check=True)
    loop = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True)
    device = Path(loop.stdout.strip())
    try:
        subprocess.run(["mount", "-o", "noatime", device, folder], check=True)
        try:
            yield Disk(folder, Path("/sys/block", device.name, "stat"))
        finally:
            subprocess.run(["umount", folder], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
        shutil.rmtree(base)


@contextmanager
def counted_fsyncs() -> Iterator[list[int]]:
    """A list that holds, afterwards, the number of this process's fsync and fdatasync calls; empty without strace."""
    counts: list[int] = []
    if shutil.which("strace") is None:
        yield counts
        return
    with tempfile.NamedTemporaryFile() as report:
        command = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync", "-o", report.name, "-p", str(os.getpid())]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None
        attached = "attached" in tracer.stderr.readline()
        try:
            yield counts
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
            tracer.stderr.close()
        if attached:
            table = Path(report.name).read_text()
            rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+).*\bf(?:data)?sync$", table, re.MULTILINE)
            counts.append(sum(map(int, rows)))
