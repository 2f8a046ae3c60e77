"""Dates of certificates: by the clock that is right, by ours, or, without any, by the newest signed time."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config import Tls
from gateway.uplink.trust import SOON_MS, Times, Trust
from tests.authority import Authority

DAY_MS = 86_400_000
NOW_MS = int(datetime.now(UTC).timestamp() * 1000)
RIGHT = Times(NOW_MS, NOW_MS, 0)


@contextmanager
def server(cert: Path, key: Path) -> Iterator[int]:
    """A TLS server that takes a handshake after another; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    made, _ = listener.accept()
                    with made, context.wrap_socket(made, server_side=True) as secure:
                        secure.recv(1)
                except OSError:
                    if listener.fileno() < 0:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def shakes(port: int, trust: Trust) -> bool:
    """Whether the handshake is gone through with; raises what refuses it."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        trust.context.wrap_socket(plain, server_hostname="127.0.0.1"),
    ):
        return True


@pytest.mark.parametrize(
    ("ends_days", "system_days", "trusted_days", "floor_days", "by"),
    [
        pytest.param(1, 0, 0, None, "clock", id="all is well"),
        pytest.param(-1, 0, 0, None, None, id="ended, by a clock that is right"),
        pytest.param(1, 0, None, None, "clock", id="nobody vouches for the clock, and it agrees"),
        pytest.param(1, -20_000, None, None, "floor", id="a clock of 1971, nothing ever signed"),
        pytest.param(1, -20_000, None, -30, "floor", id="... and a signed time before the certificate"),
        pytest.param(1, 20_000, None, -1, "floor", id="a clock of 2081: what seems to have ended has not"),
        pytest.param(-1, -20_000, None, 0, None, id="ended, by the newest signed time"),
        pytest.param(-1, -20_000, None, -30, "floor", id="ended, and nobody can know"),
        pytest.param(1, -20_000, 0, None, "clock", id="ours is right and the system's is not"),
        pytest.param(1, -20_000, 3, None, None, id="ended by ours"),
        pytest.param(1, 0, -5, None, None, id="not valid yet by ours"),
    ],
)
def test_dates(
    tmp_path: Path, ends_days: int, system_days: int, trusted_days: int | None, floor_days: int | None, by: str | None
) -> None:
    authority = Authority(tmp_path, "authority")
    times = Times(
        NOW_MS + system_days * DAY_MS,
        None if trusted_days is None else NOW_MS + trusted_days * DAY_MS,
        0 if floor_days is None else NOW_MS + floor_days * DAY_MS,
    )
    with server(*authority.issue("broker", timedelta(days=ends_days))) as port:
        trust = Trust(Tls(ca=authority.file), times)
        if by is None:
            with pytest.raises(ssl.SSLCertVerificationError):
                shakes(port, trust)
        else:
            assert shakes(port, trust)
            assert trust.by == by


def test_an_unset_clock_opens_nothing_to_strangers_or_without_a_pinned_authority(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path, "authority"), Authority(tmp_path, "stranger")
    lost = Times(0, None, 0)
    with server(*stranger.issue("broker")) as port, pytest.raises(ssl.SSLCertVerificationError):
        shakes(port, Trust(Tls(ca=authority.file), lost))
    with server(*authority.issue("broker")) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            shakes(port, Trust(None, lost))
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            Trust(Tls(ca=authority.file), lost).context.wrap_socket(plain, server_hostname="other.example")


def test_what_ends_within_two_weeks_is_known(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    cert, key = authority.issue("gateway", timedelta(days=400))
    with server(*authority.issue("broker", timedelta(days=13))) as port:
        trust = Trust(Tls(ca=authority.file, cert=cert, key=key), RIGHT)
        shakes(port, trust)
    left = {one.what: one.until_ms - NOW_MS for one in trust.certificates}
    assert {what for what, ms in left.items() if ms < SOON_MS} == {"broker"}
    assert left["gateway"] > 399 * DAY_MS
