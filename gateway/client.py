"""How the command line speaks to the daemon: the other end of its sockets."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from gateway.errors import NotAllowed, NotRunning, RequestRefused

RUN_DIR = Path("/run/lamppost")
ANSWER_S = 10.0


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
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def call(self, verb: str, **args: object) -> Any:  # noqa: ANN401 - any JSON
        """One request, one result."""
        self._socket.settimeout(self._answer_s)
        self._send(verb, args)
        return self._receive()["result"]

    def stream(self, verb: str, **args: object) -> Iterator[Any]:
        """One request, results until the daemon or the caller ends it."""
        self._send(verb, args)
        while not (answer := self._receive()).get("end"):
            yield answer["result"]

    def _send(self, verb: str, args: dict[str, object]) -> None:
        self._socket.sendall(json.dumps({"id": 1, "verb": verb, "args": args}).encode() + b"\n")

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._file.readline()
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


def _join_remedy(path: Path) -> str:
    group = "lamppost-operate" if path.name == "control.sock" else "lamppost-view"
    return f"sudo usermod -aG {group} $USER  # then log in again"
