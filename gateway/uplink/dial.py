"""TCP to a broker, straight or through a proxy. Blocks; every wait ends at one deadline, every answer is bounded."""

import base64
import socket
import struct
import time
from dataclasses import dataclass

HEAD_MAX = 8192
"""Bytes of a proxy's answer to CONNECT: what servers of the web allow for a head."""
TEXT_MAX = 255
"""Bytes of a host name, a user or a password in SOCKS 5 (RFC 1928, 4; RFC 1929, 2)."""

_GREETING = b"\x05\x01\x00"  # RFC 1928, 3: version 5, one method, none
_GREETING_WITH_LOGIN = b"\x05\x02\x00\x02"  # ... or user and password
_LOGIN = 2
_CONNECT_BY_NAME = b"\x05\x01\x00\x03"  # RFC 1928, 4: CONNECT, a domain name follows
_ADDRESS_BYTES = {1: 4, 4: 16}  # RFC 1928, 5
_REPLIES = {
    1: "general failure", 2: "not allowed by its rules", 3: "network unreachable", 4: "host unreachable",
    5: "connection refused", 6: "time to live over", 7: "command not known", 8: "kind of address not known",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Via:
    """A proxy: `kind` is "http" (CONNECT, RFC 9110, 9.3.6) or "socks5" (RFC 1928); it looks the name up."""

    kind: str
    host: str
    port: int
    username: str | None = None
    password: str | None = None


class ProxyError(ConnectionError):
    """The proxy does not do as asked."""


def dial(host: str, port: int, via: Via | None, timeout_s: float) -> socket.socket:
    """A connection to `host`, blocking, on which what is small goes at once; raises `OSError`."""
    deadline = time.monotonic() + timeout_s
    made = socket.create_connection((host, port) if via is None else (via.host, via.port), timeout=timeout_s)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else it may wait 40 ms for an acknowledgement
    if via is None:
        return made
    try:
        if via.kind == "http":
            _http(made, host, port, via, deadline)
        else:
            _socks(made, host, port, via, deadline)
    except BaseException:  # nobody else knows of it
        made.close()
        raise
    return made


def _http(link: socket.socket, host: str, port: int, via: Via, deadline: float) -> None:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if via.username is not None:
        login = base64.b64encode(f"{via.username}:{via.password or ''}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {login}")  # RFC 7617
    link.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):  # a byte at a time: what follows is the broker's
        if len(head) >= HEAD_MAX:
            raise ProxyError(f"proxy {via.host}: its answer is too long")
        head += _exactly(link, 1, via, deadline)
    words = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].startswith(b"2"):
        said = b" ".join(words)[:80].decode("ascii", "replace")
        raise ProxyError(f"proxy {via.host}: {said!r}")


def _socks(link: socket.socket, host: str, port: int, via: Via, deadline: float) -> None:
    link.sendall(_GREETING if via.username is None else _GREETING_WITH_LOGIN)
    version, method = _exactly(link, 2, via, deadline)
    if version != 5 or method not in (0, _LOGIN) or (method == _LOGIN and via.username is None):
        raise ProxyError(f"proxy {via.host}: no way to log in that both know")
    if method == _LOGIN:
        link.sendall(b"\x01" + _text(via.username or "", via) + _text(via.password or "", via))  # RFC 1929, 2
        if _exactly(link, 2, via, deadline)[1]:
            raise ProxyError(f"proxy {via.host}: user name or password is refused")
    link.sendall(_CONNECT_BY_NAME + _text(host, via) + struct.pack(">H", port))
    _, reply, _, kind = _exactly(link, 4, via, deadline)
    if reply:
        raise ProxyError(f"proxy {via.host}: {_REPLIES.get(reply, f'error {reply}')}")
    length = _ADDRESS_BYTES.get(kind) or _exactly(link, 1, via, deadline)[0]
    _exactly(link, length + 2, via, deadline)


def _text(text: str, via: Via) -> bytes:
    data = text.encode()
    if not 1 <= len(data) <= TEXT_MAX:
        raise ProxyError(f"proxy {via.host}: SOCKS takes names and passwords of 1 to {TEXT_MAX} bytes")
    return bytes([len(data)]) + data


def _exactly(link: socket.socket, size: int, via: Via, deadline: float) -> bytes:
    data = b""
    while len(data) < size:
        link.settimeout(max(deadline - time.monotonic(), 0.001))
        more = link.recv(size - len(data))
        if not more:
            raise ProxyError(f"proxy {via.host}: it ended the connection")
        data += more
    return data
