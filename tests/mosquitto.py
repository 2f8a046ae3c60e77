"""A real mosquitto on a port of its own that a test starts, stops, kills and freezes."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

START_SECONDS = 10.0  # a loaded machine; an idle one needs 20 ms
PATH = "/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", "")  # Debian puts the daemon where users do not look


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Mosquitto:
    """One broker; `port` stays the same over restarts. Sessions and retained messages do not outlive a restart."""

    def __init__(self, folder: Path, program: str, lines: Sequence[str] = (), port: int | None = None) -> None:
        """`lines` are further lines of its configuration file, after the listener; they may name another one."""
        self.port = port or free_port()
        self.log = folder / f"mosquitto-{self.port}.log"
        self._program = program
        self._config = folder / f"mosquitto-{self.port}.conf"
        self._process: subprocess.Popen[bytes] | None = None
        user = ["user root"] if os.geteuid() == 0 else []  # else it changes its user and cannot read a private folder
        listener = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "log_type all"]
        self._config.write_text("\n".join([*user, *listener, *lines]) + "\n")

    @property
    def url(self) -> str:
        """The broker as the configuration names it."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        return self._running().pid

    def start(self) -> None:
        """Start it and return when it accepts connections; raises `RuntimeError` with its log if it does not."""
        if self._process is not None:
            raise RuntimeError("mosquitto runs already")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([self._program, "-c", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"mosquitto did not start:\n{self.log.read_text()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ask it to end (SIGTERM) and wait; nothing happens if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL and wait; nothing happens if it does not run."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("mosquitto does not run")
        return self._process

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)  # a frozen process takes SIGTERM only when it goes on
        process.wait(START_SECONDS)
