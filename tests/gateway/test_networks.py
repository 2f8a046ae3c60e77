"""A gateway and a broker in two networks whose link is half open, cut and mended: needs root and ip(8)."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

KEEPALIVE_S = 2.0
NEAR, FAR = "10.99.87.1", "10.99.87.2"
LOST_MAC = "02:00:00:00:00:63"


class Networks:
    """Two network namespaces and the wire between them; the broker is in the far one."""

    def __init__(self, ip: str, broker: str, folder: Path) -> None:
        self._ip = ip
        self._near, self._far = (f"lamp{os.getpid()}{side}" for side in "nf")
        self._broker = broker
        self._config = folder / "far.conf"
        self._running: list[subprocess.Popen[str]] = []
        self._listening: threading.Thread | None = None
        self.said: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def open(self) -> None:
        """Raises `CalledProcessError` where namespaces are not to be had."""
        for name in (self._near, self._far):
            self._do("netns", "add", name)
        self._do("link", "add", "eth9", "netns", self._near, "type", "veth", "peer", "name", "eth9", "netns", self._far)
        for name, address in ((self._near, NEAR), (self._far, FAR)):
            self._do("-n", name, "address", "add", f"{address}/24", "dev", "eth9")
            self._do("-n", name, "link", "set", "eth9", "up")
        self._config.write_text(f"user root\nlistener 1883 {FAR}\nallow_anonymous true\n")
        self._start(self._far, [self._broker, "-c", str(self._config)])
        words = [sys.executable, "-m", "tests.gateway.link_probe", f"mqtt://{FAR}", str(int(1000 * KEEPALIVE_S))]
        probe = self._start(self._near, words)
        self._listening = threading.Thread(target=self._listen, args=(probe,))
        self._listening.start()

    def half_open(self) -> None:
        """What the broker sends goes nowhere, and nobody is told."""
        self._do("-n", self._far, "neigh", "replace", NEAR, "lladdr", LOST_MAC, "nud", "permanent", "dev", "eth9")

    def mend(self) -> None:
        """The wire is as it was."""
        for state in ("down", "up"):  # which forgets the address
            self._do("-n", self._far, "link", "set", "eth9", state)

    def cut(self) -> None:
        """The far end is unplugged."""
        self._do("-n", self._far, "link", "set", "eth9", "down")

    def until(self, up: bool, seconds: float) -> dict[str, Any]:
        """Wait for the word that the link is up, or not; it."""
        deadline = time.monotonic() + seconds
        while True:
            said = self.said.get(timeout=max(deadline - time.monotonic(), 0.01))
            if said["up"] is up:
                return said

    def close(self) -> None:
        """Nothing is left behind."""
        for process in self._running:
            process.kill()
            process.wait()
        if self._listening is not None:
            self._listening.join()
        for process in self._running:
            if process.stdout is not None:
                process.stdout.close()
        for name in (self._near, self._far):
            subprocess.run([self._ip, "netns", "del", name], check=False, capture_output=True)

    def _do(self, *words: str) -> None:
        subprocess.run([self._ip, *words], check=True, capture_output=True)

    def _start(self, network: str, words: list[str]) -> subprocess.Popen[str]:
        command = [self._ip, "netns", "exec", network, *words]
        made = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
        self._running.append(made)
        return made

    def _listen(self, probe: subprocess.Popen[str]) -> None:
        assert probe.stdout is not None
        for line in probe.stdout:
            self.said.put(json.loads(line))


@pytest.fixture
def networks(tmp_path: Path, program: Callable[[str, str], str]) -> Iterator[Networks]:
    """The two networks, with the link up."""
    made = Networks(program("ip", "iproute2"), program("mosquitto", "mosquitto"), tmp_path)
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    try:
        try:
            made.open()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr!r}")
        made.until(True, 15)
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("fault", ["half_open", "cut"])
def test_a_link_without_an_end_is_noticed_in_one_and_a_half_keepalives_and_made_anew(
    networks: Networks, fault: str
) -> None:
    began = time.monotonic()
    getattr(networks, fault)()
    said = networks.until(False, 10)
    assert said["at"] - began <= 1.5 * KEEPALIVE_S + 0.5
    networks.mend()
    networks.until(True, 15)
