"""How the command line speaks to the daemon: the other end of its sockets."""

import json
import math
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from gateway.errors import NotAllowed, NotRunning, RequestRefused

RUN_DIR = Path("/run/lamppost")
ANSWER_S = 10.0
MAX_ANSWER = 64 << 20  # bytes of one; a status of ten thousand points has some 5 MB
PIECE = 1 << 16


def run_dir() -> Path:
    """Where the daemon's sockets are: $LAMPPOST_RUN_DIR, else what systemd gives, else /run/lamppost."""
    for name in ("LAMPPOST_RUN_DIR", "RUNTIME_DIRECTORY"):
        if value := os.environ.get(name):
            return Path(value.partition(":")[0])
    return RUN_DIR


class Client:
    """A conversation on one socket; raises `NotRunning`, `NotAllowed` or `RequestRefused`."""

    def __init__(self, path: Path, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except PermissionError as error:
            self._socket.close()
            raise NotAllowed(f"{path}: this user may not", _join_remedy(path)) from error
        except OSError as error:
            self._socket.close()
            raise NotRunning(f"no daemon answers on {path}", "sudo systemctl start lamppost") from error
        self._read = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(self, verb: str, **args: object) -> Any:  # noqa: ANN401 - any JSON
        """One request, one result, all of it within the time that an answer may take."""
        self._socket.settimeout(self._answer_s)
        self._send(verb, args)
        return self._receive(time.monotonic() + self._answer_s)["result"]

    def stream(self, verb: str, **args: object) -> Iterator[Any]:
        """One request, results until the daemon or the caller ends it."""
        self._send(verb, args)
        while not (answer := self._receive()).get("end"):
            yield answer["result"]

    def _send(self, verb: str, args: dict[str, object]) -> None:
        self._socket.sendall(json.dumps({"id": 1, "verb": verb, "args": args}).encode() + b"\n")

    def _receive(self, end: float = math.inf) -> dict[str, Any]:
        try:
            line = self._line(end)
        except TimeoutError as error:
            raise NotRunning("the daemon does not answer", "systemctl status lamppost") from error
        except ConnectionError:  # it has as many conversations as it takes, or is going
            line = b""
        if not line:
            raise NotRunning("the daemon ended the conversation", "sudo journalctl -u lamppost -e")
        answer: dict[str, Any] = json.loads(line)
        if answer.get("ok") is False:
            refusal = answer["error"]
            raise RequestRefused(refusal["code"], refusal["message"], refusal["remedy"])
        return answer

    def _line(self, end: float) -> bytes:
        """The next line, b"" after the last; whoever drips bytes does not hold up the caller. Raises `TimeoutError`."""
        seen = 0
        while (at := self._read.find(b"\n", seen)) < 0:
            seen = len(self._read)
            if seen > MAX_ANSWER:
                raise ConnectionError("a line without an end")
            if end < math.inf:
                self._socket.settimeout(max(end - time.monotonic(), 0.001))
            if not (piece := self._socket.recv(PIECE)):
                return b""
            self._read += piece
        line = bytes(self._read[: at + 1])
        del self._read[: at + 1]
        return line


def _join_remedy(path: Path) -> str:
    group = "lamppost-operate" if path.name == "control.sock" else "lamppost-view"
    return f"sudo usermod -aG {group} $USER  # then log in again"
