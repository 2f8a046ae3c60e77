"""Whom the gateway believes to be the broker: TLS, and dates of certificates where the clock is not to be trusted."""

import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buffer.keys import located
from config import Tls

log = logging.getLogger(__name__)

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME: chain, names and purposes are verified, dates are not (x509_vfy.h of OpenSSL)."""
CLOCK_OFF_MS = 86_400_000
"""A system's clock that is further from the one we trust than a day must not judge dates."""
SOON_MS = 14 * 86_400_000
"""A certificate that ends within two weeks is told of: time to get another one from people who are asked."""


@dataclass(frozen=True, slots=True)
class Times:
    """What is known of the time, ms since the epoch: by the system, by us (None: not at all), and its lower limit."""

    system_ms: int
    trusted_ms: int | None
    floor_ms: int

    @property
    def system_is_right(self) -> bool:
        """Whether the system's clock may judge dates."""
        return self.trusted_ms is not None and abs(self.trusted_ms - self.system_ms) <= CLOCK_OFF_MS


@dataclass(frozen=True, slots=True)
class Dates:
    """When a certificate is valid, ms since the epoch; `what`: "broker", "gateway" or "authority"."""

    what: str
    from_ms: int
    until_ms: int


class Trust:
    """What one connection checks, and what it found."""

    def __init__(self, tls: Tls | None, times: Times) -> None:
        """Reads the files: blocks, raises `OSError` (`ssl.SSLError` is one) or `ValueError`."""
        self._times = times
        self.by = "clock"
        """What judged the dates: "clock", or "floor" where that is not known and would have refused."""
        self.certificates: list[Dates] = own_dates(tls)
        self.context = tls_context(tls)
        pinned = tls is not None and tls.ca is not None
        if pinned and not times.system_is_right:
            self.context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
        judge = self._judge if pinned and not times.system_is_right else lambda _: None
        self.context.sslsocket_class = _watching(self._seen, judge)

    def _seen(self, dates: Dates) -> None:
        self.certificates = [one for one in self.certificates if one.what != "broker"] + [dates]

    def _judge(self, broker: Dates) -> None:
        """Raise `ssl.SSLCertVerificationError` unless the dates hold by the best that is known of the time."""
        chain = [broker, *(one for one in self.certificates if one.what == "authority")]
        now = self._times.trusted_ms
        if now is not None:
            _check(chain, now)
            return
        try:
            _check(chain, max(self._times.system_ms, self._times.floor_ms))
        except ssl.SSLCertVerificationError as error:
            ended = [one for one in chain if one.until_ms < self._times.floor_ms]
            if ended:
                raise
            self.by = "floor"
            log.warning("uplink: %s, by a clock that is not set: the pinned authority alone counts", error)


def tls_context(tls: Tls | None) -> ssl.SSLContext:
    """TLS 1.2 or later, the broker's certificate checked against `ca` or the system's, ours shown when there is one."""
    context = ssl.create_default_context(cafile=str(tls.ca) if tls and tls.ca else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls and tls.cert:
        context.load_cert_chain(str(tls.cert), str(located(tls.key)) if tls.key else None)
    return context


def own_dates(tls: Tls | None) -> list[Dates]:
    """Those of the files: our certificate, and of the authorities the one that ends last."""
    ours = _read("gateway", tls.cert) if tls and tls.cert else []
    theirs = _read("authority", tls.ca) if tls and tls.ca else []
    return ours[:1] + sorted(theirs, key=lambda one: one.until_ms)[-1:]


def _read(what: str, path: Path) -> list[Dates]:
    from cryptography.x509 import load_pem_x509_certificates

    return [
        Dates(what, int(one.not_valid_before_utc.timestamp() * 1000), int(one.not_valid_after_utc.timestamp() * 1000))
        for one in load_pem_x509_certificates(path.read_bytes())
    ]


def _check(chain: Sequence[Dates], now_ms: int) -> None:
    for one in chain:
        if one.until_ms < now_ms:
            raise ssl.SSLCertVerificationError(f"the {one.what}'s certificate has ended")
        if one.from_ms > now_ms:
            raise ssl.SSLCertVerificationError(f"the {one.what}'s certificate is not valid yet")


def _watching(seen: Any, judge: Any) -> type[ssl.SSLSocket]:  # noqa: ANN401 - two callables of `Dates`
    """A socket that has the broker's dates judged before anything is said to it."""

    class Watching(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            try:
                self._shake(block)
            except BaseException:  # paho knows nothing of it yet
                self.close()
                raise

        def _shake(self, block: bool) -> None:
            super().do_handshake(block)
            shown = self.getpeercert() or {}
            ends = [shown.get(key) for key in ("notBefore", "notAfter")]
            begin, end = (int(ssl.cert_time_to_seconds(date) * 1000) if isinstance(date, str) else 0 for date in ends)
            dates = Dates("broker", begin, end)
            seen(dates)
            judge(dates)

    return Watching
