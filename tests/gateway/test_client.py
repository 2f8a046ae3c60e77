"""The other end of the daemon's sockets, where somebody hostile sits."""

import socket
import threading
import time
from pathlib import Path

import pytest

from gateway.control import client
from gateway.control.client import Client
from gateway.errors import NotRunning


def served(path: Path, *pieces: bytes, every: float = 0.0, drip: bytes = b"") -> threading.Thread:
    """Somebody who answers one request with the pieces, then drips until nobody listens."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(1)

    def answer() -> None:
        with listening, listening.accept()[0] as link:
            try:
                link.recv(1000)
                for piece in pieces:
                    link.sendall(piece)
                while drip:
                    link.sendall(drip)
                    time.sleep(every)
            except OSError:
                return

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


def test_an_answer_may_come_in_pieces(tmp_path: Path) -> None:
    thread = served(tmp_path / "s", b'{"ok": true, "res', b'ult": 7}\n{"more"')
    with Client(tmp_path / "s") as link:
        assert link.call("status") == 7
    thread.join()


def test_who_drips_bytes_holds_nobody_up(tmp_path: Path) -> None:
    thread = served(tmp_path / "s", every=0.02, drip=b" ")
    begun = time.monotonic()
    with Client(tmp_path / "s", answer_s=0.3) as link, pytest.raises(NotRunning, match="does not answer"):
        link.call("status")
    assert time.monotonic() - begun < 3
    thread.join()


def test_a_line_without_an_end_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_ANSWER", 1 << 20)
    thread = served(tmp_path / "s", drip=bytes(1 << 16))
    with Client(tmp_path / "s") as link, pytest.raises(NotRunning, match="ended the conversation"):
        link.call("status")
    thread.join()
