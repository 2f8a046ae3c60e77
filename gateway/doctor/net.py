"""One try of the way to a broker, step by step: name, TCP, TLS, MQTT; says where it ends and why."""

import base64
import errno
import os
import socket
import ssl
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buffer.keys import located
from gateway.identity import sealed
from gateway.uplink.dial import Via, dial

TRY_S = 4.0
"""A broker that needs longer for one step would not do for the agent either."""
CONNACK = 0x20  # MQTT 3.1.1, 3.2.1
PROTOCOL_REFUSED, ID_REFUSED = 1, 2  # return codes of CONNACK, MQTT 3.1.1, 3.2.2.3: the broker is there all the same
LOGIN_REFUSED = (4, 5)  # ibid.
NO_ROUTE = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EPERM, errno.EACCES))
"""EPERM: the unit's IPAddressDeny, or a firewall on this machine."""
NOT_YET_VALID, EXPIRED = 9, 10  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED: x509_vfy.h of OpenSSL
WRONG_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH


@dataclass(frozen=True, slots=True)
class Target:
    """A broker and how to speak to it: all that a process needs that may read neither configuration nor keys' names."""

    url: str
    host: str
    port: int
    tls: bool
    client_id: str
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    username: str | None = None
    password_file: str | None = None
    path: str = ""
    """Of a WebSocket; "" without one."""
    proxy: tuple[str, str, int] | None = None
    """Kind, host and port."""
    proxy_username: str | None = None
    proxy_password_file: str | None = None


def attempt(target: Target) -> dict[str, Any]:
    """`{"url", "fault", "error"}`: the fault's name, "" when the broker would take us. Blocks for a few `TRY_S`."""
    try:
        fault, error = _attempt(target)
    except OSError as failed:
        fault, error = _named(failed), _text(failed)
    return {"url": target.url, "fault": fault, "error": error}


def _attempt(target: Target) -> tuple[str, str]:
    try:
        context = _context(target) if target.tls else None
        password = None if target.password_file is None else Path(target.password_file).read_text().strip()
    except (OSError, ValueError) as error:
        return "certificate-missing", f"{getattr(error, 'filename', None) or target.ca or ''}: {_text(error)}"
    if target.proxy is not None:
        try:
            made = dial(target.host, target.port, _via(target), TRY_S)
        except (OSError, ValueError) as error:
            return "proxy", _text(error)
    else:
        try:
            addresses = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            return "dns", getattr(error, "strerror", None) or str(error)
        made = _connect(addresses)
    talk = _websocket if target.path else _mqtt
    with made as plain:
        if context is None:
            return talk(plain, target, password)
        with context.wrap_socket(plain, server_hostname=target.host) as secure:
            try:
                return talk(secure, target, password)
            except ssl.SSLError as error:  # TLS 1.3 tells after the handshake that our certificate is not taken
                return "certificate-refused", _text(error)


def _connect(addresses: list[Any]) -> socket.socket:
    """Connected to the first address that takes us; raises `OSError`."""
    last: OSError = OSError("no address")
    for family, kind, protocol, _, address in addresses:
        made = socket.socket(family, kind, protocol)
        made.settimeout(TRY_S)
        try:
            made.connect(address)
        except OSError as error:
            made.close()
            last = error
        else:
            return made
    raise last


def _context(target: Target) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=target.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if target.cert is not None:
        context.load_cert_chain(target.cert, target.key and _key(Path(target.key)))
    return context


def _key(path: Path) -> str:
    """Where the key is; raises `FileNotFoundError` for one that systemd gives to the running agent alone."""
    if sealed.is_only_sealed(path):
        raise FileNotFoundError(0, "sealed, and tried by the agent alone: start it", str(path))
    return str(located(path))


def _via(target: Target) -> Via | None:
    """The proxy; raises `OSError` or `ValueError` for its password's file."""
    if target.proxy is None:
        return None
    kind, host, port = target.proxy
    file = target.proxy_password_file
    password = None if file is None else Path(file).read_text().strip()
    return Via(kind, host, port, target.proxy_username, password)


def _websocket(link: socket.socket, target: Target, _password: str | None) -> tuple[str, str]:
    """Whether the server takes a WebSocket (RFC 6455, 4; MQTT 5.0, 6); no MQTT is spoken on it."""
    name = f"[{target.host}]" if ":" in target.host else target.host
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {target.path} HTTP/1.1", f"Host: {name}:{target.port}", "Upgrade: websocket", "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: mqtt", "", "",
    ]  # fmt: skip
    link.settimeout(TRY_S)
    link.sendall("\r\n".join(lines).encode())
    try:
        answer = _exactly(link, len(b"HTTP/1.1 101"))
    except ConnectionError:  # it hangs up on what it does not know
        answer = b""
    if answer == b"HTTP/1.1 101":
        return "", ""
    return "mqtt", f"the web server there takes no WebSocket at {target.path}: {answer.decode('ascii', 'replace')!r}"


def _mqtt(link: socket.socket, target: Target, password: str | None) -> tuple[str, str]:
    link.sendall(connect_packet(target.client_id, target.username, password))
    answer = _exactly(link, 4)
    link.sendall(b"\xe0\x00")  # DISCONNECT, MQTT 3.1.1, 3.14
    if len(answer) < 4 or answer[0] != CONNACK:
        return "mqtt", "what answers there is no MQTT broker"
    if answer[3] in LOGIN_REFUSED:
        return "login-refused", "the broker refuses user name, password or client id"
    return ("", "") if answer[3] <= ID_REFUSED else ("mqtt", f"the broker refuses: code {answer[3]}")


def connect_packet(client_id: str, username: str | None, password: str | None) -> bytes:
    """CONNECT of MQTT 3.1.1, 3.1: a clean session, no will."""
    flags = 0x02 | (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
    texts = [client_id, *(text for text in (username, password) if text is not None)]
    body = struct.pack(">H4sBBH", 4, b"MQTT", 4, flags, 10)
    body += b"".join(struct.pack(">H", len(text.encode())) + text.encode() for text in texts)
    size, length = len(body), b""
    while True:  # the remaining length, seven bits a byte: 2.2.3
        size, part = size >> 7, size & 0x7F
        length += bytes((part | (0x80 if size else 0),))
        if not size:
            return b"\x10" + length + body


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := link.recv(size - len(data))):
        data += more
    return data


def _named(error: OSError) -> str:
    """The fault that an error of connecting or of the handshake is."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == EXPIRED:
            return "broker-certificate-expired"
        if error.verify_code in WRONG_NAME:
            return "wrong-name"
        return "not-yet-valid" if error.verify_code == NOT_YET_VALID else "wrong-ca"
    if isinstance(error, ssl.SSLError):
        return "certificate-refused" if "ALERT" in (error.reason or "") else "tls"
    return "no-route" if error.errno in NO_ROUTE else "broker-down"


def _text(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, TimeoutError):
        return "no answer"
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if isinstance(number, int) and number > 0 else str(error)
