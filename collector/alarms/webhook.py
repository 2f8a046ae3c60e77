"""Telling a webhook of changes: HTTPS POST of JSON, signed, in their order, tried again with back-off.

The address comes from the operator's file; still it reaches no private network unless the file says so, follows no
redirect, and what answers is not read beyond its status.
"""

import hashlib
import hmac
import http.client
import ipaddress
import json
import random
import socket
import ssl
import stat
import time
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

from collector.alarms.rules import Webhook
from collector.errors import RulesFault
from collector.files import read_bounded
from collector.tables.database import Database

CONNECT_S = 5.0
TOTAL_S = 15.0  # for one message, whatever the other side does
SECRET_LEAST, SECRET_MOST = 16, 4096  # bytes; 16 random ones cannot be guessed
FIRST_RETRY_MS = 5_000
MAX_RETRY_MS = 3_600_000
MAX_TRIES = 24  # some 15 hours
GROUP = 50  # messages in one pass

_DUE = """
    SELECT e.id, e.event, e.at, e.tries, e.next_at, a.id, a.gateway, a.kind, a.subject, a.detail, a.raised_at,
        a.acknowledged_at, a.acknowledged_by, a.note, a.cleared_at
    FROM alarm_events e JOIN alarms a ON a.id = e.alarm
    WHERE e.told_at IS NULL AND e.given_up = 0 ORDER BY e.id LIMIT 1"""


class Undelivered(Exception):
    """A message did not get through; the text has no secret and nothing that the other side said."""


class Hook:
    """Delivers what waits in `alarm_events`."""

    def __init__(self, database: Database, webhook: Webhook, now_ms: Callable[[], int]) -> None:
        """Raise RulesFault for a secret that others may read, or that is none."""
        self._database = database
        self._hook = webhook
        self._now_ms = now_ms
        self._secret = _secret(webhook.secret)
        self._context = ssl.create_default_context(cafile=webhook.ca)

    def deliver(self) -> list[str]:
        """Send what is due, the oldest first, until one fails or none is left; return what went wrong."""
        for _ in range(GROUP):
            with self._database.errors():
                row = self._database.connection.execute(_DUE).fetchone()
            if row is None or row[4] > self._now_ms():
                return []
            try:
                self._send(row[0], _body(row))
            except Undelivered as error:
                return [self._failed(row, str(error))]
            with self._database.transaction() as db:
                db.execute("UPDATE alarm_events SET told_at = ? WHERE id = ?", (self._now_ms(), row[0]))
        return []

    def _failed(self, row: tuple[Any, ...], reason: str) -> str:
        tries = row[3] + 1
        wait = min(FIRST_RETRY_MS << min(tries - 1, 20), MAX_RETRY_MS) * random.uniform(0.8, 1.2)
        with self._database.transaction() as db:
            db.execute(
                "UPDATE alarm_events SET tries = ?, next_at = ?, given_up = ? WHERE id = ?",
                (tries, self._now_ms() + int(wait), int(tries >= MAX_TRIES), row[0]),
            )
        end = "given up" if tries >= MAX_TRIES else f"again in {wait / 1000:.0f} s"
        return f"webhook: alarm {row[5]} {row[1]}: {reason}; {end}"

    def _send(self, event: int, body: bytes) -> None:
        parts = urlsplit(self._hook.url)
        host, port = str(parts.hostname), parts.port or 443
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        at = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "lamppost-collector",
            "Lamppost-Event": str(event),
            "Lamppost-Signature": f"t={at},v1={signature(self._secret, at, body)}",
        }
        try:
            raw = socket.create_connection((self._address(host, port), port), CONNECT_S)
        except OSError as error:
            raise Undelivered(f"no connection: {error}") from error
        with raw, raw.dup() as handle:  # TLS takes `raw` over; the deadline needs one that stays
            end = Timer(TOTAL_S, _cut, (handle,))
            end.start()
            try:
                with self._context.wrap_socket(raw, server_hostname=host) as channel:
                    connection = http.client.HTTPSConnection(host, port)
                    connection.sock = channel
                    connection.request("POST", path, body, headers)
                    status = connection.getresponse().status
            except (OSError, http.client.HTTPException) as error:
                raise Undelivered(f"{type(error).__name__}: {str(error)[:200]}") from error
            finally:
                end.cancel()
        if not 200 <= status < 300:
            raise Undelivered(f"answered {status}")

    def _address(self, host: str, port: int) -> str:
        """An address of the host; the connection goes to this very one, so that a name cannot turn out otherwise."""
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        if not self._hook.private and (
            inner := [one for one in found if not ipaddress.ip_address(one.partition("%")[0]).is_global]
        ):
            raise Undelivered(f"{host} is {inner[0]}, which is not public; [webhook] private = true allows it")
        return found[0]


def signature(secret: bytes, at: str, body: bytes) -> str:
    """HMAC-SHA256 in hex over the time (s since 1970), a dot and the body: what the receiver compares."""
    return hmac.new(secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()


def _body(row: tuple[Any, ...]) -> bytes:
    names = (
        "id", "gateway", "kind", "subject", "detail", "raised_at", "acknowledged_at", "acknowledged_by", "note",
        "cleared_at",
    )  # fmt: skip
    alarm = dict(zip(names, row[5:], strict=True))
    return json.dumps({"version": 1, "event_id": row[0], "event": row[1], "at": row[2], "alarm": alarm}).encode()


def _secret(path: Path) -> bytes:
    secret = read_bounded(path, SECRET_MOST).strip()
    if len(secret) < SECRET_LEAST:
        raise RulesFault(f"{path}: a secret has at least {SECRET_LEAST} bytes")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise RulesFault(f"{path}: others may read it: chmod 600")
    return secret


def _cut(channel: socket.socket) -> None:
    try:
        channel.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it ended by itself
