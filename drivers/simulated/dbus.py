"""A D-Bus daemon of our own, where only what we start lives."""

import shutil
import subprocess
from pathlib import Path

PROGRAM = "dbus-daemon"  # Debian package dbus-daemon

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""


def program() -> str | None:
    """Where dbus-daemon is; None where it is not installed."""
    return shutil.which(PROGRAM)


class PrivateBus:
    """A dbus-daemon process whose socket lies in `folder` (a path of at most 90 bytes)."""

    def __init__(self, daemon: str, folder: Path) -> None:
        config = folder / "bus.conf"
        config.write_text(_CONFIG.format(socket=folder / "bus"))
        self._process = subprocess.Popen(
            [daemon, f"--config-file={config}", "--print-address", "--nofork", "--nopidfile", "--nosyslog"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        self.address = self._process.stdout.readline().strip()

    def kill(self) -> None:
        """End it at once; safe at any time."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
