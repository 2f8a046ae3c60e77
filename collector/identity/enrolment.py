"""Whether a gateway that asks becomes known or gets a new certificate, and what it is given."""

import logging
from dataclasses import dataclass, replace

from buffer.enrolment import Answer, Request, check_voucher
from buffer.errors import BufferFault
from buffer.keys import PublicKey
from buffer.running import Running
from collector.errors import AuthorityFault, ConfigurationFault, EnrolmentRefused, RegistryError, TooManyKeys
from collector.identity import registry, tokens
from collector.identity.ca import GATEWAY_DAYS, CertificateAuthority, Issued
from collector.orders import running
from collector.tables.database import Database

MAX_CERTIFICATES = 24  # of one key within DAY_MS: a box asks once in two months, and again when an answer was lost
DAY_MS = 86_400_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The platform's side: its authorities, and what gateways are told of brokers."""

    database: Database
    ca: CertificateAuthority
    authority: PublicKey
    brokers: tuple[str, ...] = ()
    root: str = "lamppost"
    days: float = GATEWAY_DAYS
    updates: PublicKey | None = None
    """The authority of updates, for root of a gateway that has none yet."""

    def answer(self, message: bytes, now_ms: int) -> Answer:
        """Take a request that entitles itself; raises EnrolmentRefused. What is promised is on the disk by then."""
        request = _read(message)
        if request.secret is not None:
            tokens.take(
                self.database, request.secret, request.key.gateway, request.key.site, request.key.kid.hex(), now_ms
            )
            return self._admit(request, now_ms)
        if request.voucher is not None:
            return self._roll(request, now_ms)
        return self._renew(request, now_ms)

    def admit(self, message: bytes, now_ms: int, *, kid: str | None = None) -> Answer:
        """Take a request on an operator's word, who compared the key id; raises EnrolmentRefused."""
        request = _read(message)
        if kid is not None and request.key.kid.hex() != kid:
            raise EnrolmentRefused("key", f"the request is of key {request.key.kid.hex()}, not {kid}")
        return self._admit(request, now_ms)

    def _admit(self, request: Request, now_ms: int) -> Answer:
        """A gateway's first key, or the one in place of another box's, which counts no more."""
        issued = self._issue(request)
        try:
            registry.succeed(self.database, request.key, now_ms)
        except RegistryError as error:
            raise EnrolmentRefused("key", str(error)) from error
        answer = self._keep(request, issued, now_ms)
        return replace(answer, running=self._running(request.key.gateway), updates=self.updates)

    def _running(self, gateway: str) -> Running | None:
        """The files of the box before, as far as it told them."""
        try:
            found = running.find(self.database, gateway)
            found.to_item()
        except (ConfigurationFault, BufferFault) as error:
            logger.info("%s: no configuration goes with the answer: %s", gateway, error)
            return None
        return found if found.texts else None

    def _renew(self, request: Request, now_ms: int) -> Answer:
        self._require(request.key)
        return self._keep(request, self._issue(request), now_ms)

    def _roll(self, request: Request, now_ms: int) -> Answer:
        """A new key beside the old one, which vouches for it; both count until the old one is revoked."""
        for old in registry.valid_keys(self.database, request.key.gateway):
            try:
                check_voucher(request.voucher or b"", old, request.key)
            except BufferFault:
                continue
            issued = self._issue(request)
            try:
                registry.add(self.database, request.key, now_ms, beside=True)
            except TooManyKeys as error:
                raise EnrolmentRefused("keys", str(error)) from error
            except RegistryError as error:
                raise EnrolmentRefused("key", str(error)) from error
            return self._keep(request, issued, now_ms)
        raise EnrolmentRefused("voucher", f"no valid key of {request.key.gateway} vouches for {request.key.kid.hex()}")

    def _require(self, key: PublicKey) -> None:
        known = registry.valid_keys(self.database, key.gateway)
        if not any(one.raw == key.raw and one.site == key.site for one in known):
            raise EnrolmentRefused("key", f"key {key.kid.hex()} is no valid key of {key.gateway} of site {key.site}")

    def _issue(self, request: Request) -> Issued:
        try:
            return self.ca.gateway(request.csr, request.key.gateway, request.key.site, self.days)
        except AuthorityFault as error:
            raise EnrolmentRefused("request", str(error)) from error

    def _keep(self, request: Request, issued: Issued, now_ms: int) -> Answer:
        key = request.key
        with self.database.transaction() as db:
            (lately,) = db.execute(
                "SELECT count(*) FROM certificates WHERE gateway = ? AND kid = ? AND issued_at > ?",
                (key.gateway, key.kid.hex(), now_ms - DAY_MS),
            ).fetchone()
            if lately >= MAX_CERTIFICATES:
                raise EnrolmentRefused("often", f"key {key.kid.hex()} of {key.gateway} was given {lately} within a day")
            db.execute(
                "INSERT INTO certificates VALUES (?, ?, ?, ?, ?, NULL)",
                (issued.serial, key.gateway, key.kid.hex(), now_ms, issued.ends_ms),
            )
        return Answer(key.gateway, key.site, issued.pem, self.ca.pem, self.authority, self.brokers, self.root)


def _read(message: bytes) -> Request:
    try:
        return Request.read(message)
    except BufferFault as error:
        raise EnrolmentRefused("request", str(error)) from error


def revoked_certificates(database: Database, now_ms: int) -> list[tuple[str, int]]:
    """Certificates that are to be refused although their dates are good: (serial, since, ms)."""
    with database.errors():
        rows = database.connection.execute(
            "SELECT serial, revoked_at FROM certificates WHERE revoked_at IS NOT NULL AND ends_at > ? ORDER BY serial",
            (now_ms,),
        )
        return [(serial, at) for serial, at in rows]
