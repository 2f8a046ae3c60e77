"""A small certificate authority for those who have none: P-256, certificates of gateways, brokers and this server.

A gateway's certificate says nothing but its id (common name) and site (organization); it is for a TLS client alone.
"""

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collector.errors import AuthorityFault
from collector.identity.tokens import RESERVED

KEY_FILE, CERTIFICATE_FILE = "ca.key", "ca.pem"
ROOT_DAYS = 3653  # ten years: longer than a gateway stands
GATEWAY_DAYS = 90  # renewed at two thirds of it, so a box that is away for a month comes back by itself
SERVER_DAYS = 365
BACKDATE = timedelta(hours=1)
"""Clocks of brokers and gateways differ by some minutes."""
MAX_FILE = 16384  # bytes
MAX_CSR = 2048  # bytes


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that was made; `serial` in hexadecimal, `ends_ms` since the epoch."""

    serial: str
    ends_ms: int
    pem: str


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """Its key and certificate, read from a folder."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, folder: Path, name: str) -> Self:
        """Make key (0600) and certificate; raises `AuthorityFault`, also when there is one already."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key.public_key(), now, timedelta(days=ROOT_DAYS))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(authority=True), critical=True)
        made = cls(key, _identified(builder, key.public_key(), key.public_key()).sign(key, hashes.SHA256()))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_new(folder / KEY_FILE, private, 0o600)
            _write_new(folder / CERTIFICATE_FILE, made.pem.encode(), 0o644)
        except OSError as error:
            raise AuthorityFault(f"{folder}: {error.strerror}") from error
        return made

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read it; raises `AuthorityFault`."""
        try:
            private = _read(folder / KEY_FILE, private=True)
            key = load_pem_private_key(private, None)
            certificate = x509.load_pem_x509_certificate(_read(folder / CERTIFICATE_FILE))
        except OSError as error:
            raise AuthorityFault(f"{folder}: {error.strerror}; lamppost-collector ca init makes one") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise AuthorityFault(f"{folder}: not a key and a certificate: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise AuthorityFault(f"{folder}: the certificate is not of the key")
        return cls(key, certificate)

    @property
    def pem(self) -> str:
        """Its certificate."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of its certificate in DER."""
        return self.certificate.fingerprint(hashes.SHA256())

    def gateway(self, csr: bytes, gateway: str, site: str, days: float = GATEWAY_DAYS) -> Issued:
        """A certificate for the key of a request in DER; what else the request wishes for is not heeded.

        Raises `AuthorityFault` when it is no request for a P-256 key that signed it, or no gateway may be called so.
        """
        if gateway in RESERVED:
            raise AuthorityFault(f"no gateway may be called {gateway!r}: brokers know the platform's own clients by it")
        names = [
            x509.NameAttribute(NameOID.COMMON_NAME, gateway),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, site),
        ]
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._leaf(_key_of(csr), x509.Name(names), usage, None, days)

    def client(self, public: ec.EllipticCurvePublicKey, name: str, days: float = SERVER_DAYS) -> Issued:
        """A certificate for a TLS client of the platform's own, by an authority that no gateway has one of."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._leaf(public, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), usage, None, days)

    def server(self, public: ec.EllipticCurvePublicKey, hosts: tuple[str, ...], days: float = SERVER_DAYS) -> Issued:
        """A certificate for a broker or an enrolment server that is known by these names and addresses."""
        names = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])  # RFC 5280, ub-common-name
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        return self._leaf(public, names, usage, x509.SubjectAlternativeName([_name(host) for host in hosts]), days)

    def revocations(self, serials: list[tuple[str, int]], days: float | None = None) -> bytes:
        """The list (PEM) of revoked certificates: (serial in hexadecimal, ms since the epoch).

        It is good as long as the authority, or for `days`: a broker whose list has ended lets nobody in.
        """
        now = datetime.now(UTC)
        ends = self.certificate.not_valid_after_utc if days is None else now + timedelta(days=days)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(now - BACKDATE).next_update(ends)
        for serial, at_ms in serials:
            one = x509.RevokedCertificateBuilder().serial_number(int(serial, 16))
            one = one.revocation_date(datetime.fromtimestamp(at_ms / 1000, UTC))
            builder = builder.add_revoked_certificate(one.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _leaf(
        self,
        public: ec.EllipticCurvePublicKey,
        subject: x509.Name,
        usage: x509.ExtendedKeyUsage,
        names: x509.SubjectAlternativeName | None,
        days: float,
    ) -> Issued:
        now, last = datetime.now(UTC), self.certificate.not_valid_after_utc
        if now >= last:
            raise AuthorityFault(
                f"the authority has ended on {last:%Y-%m-%d}: lamppost-collector ca init makes another"
            )
        builder = _builder(subject, self.certificate.subject, public, now, min(timedelta(days=days), last - now))
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(authority=False), critical=True).add_extension(usage, critical=False)
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        made = _identified(builder, public, self.key.public_key()).sign(self.key, hashes.SHA256())
        ends = int(made.not_valid_after_utc.timestamp() * 1000)
        return Issued(f"{made.serial_number:x}", ends, made.public_bytes(Encoding.PEM).decode())


def private_key(path: Path) -> ec.EllipticCurvePublicKey:
    """Make a P-256 key in a new file (0600); its public half. Raises `AuthorityFault`."""
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        _write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    except OSError as error:
        raise AuthorityFault(f"{path}: {error.strerror}") from error
    return key.public_key()


def _key_of(csr: bytes) -> ec.EllipticCurvePublicKey:
    if len(csr) > MAX_CSR:
        raise AuthorityFault(f"a certificate request of {len(csr)} bytes is over the limit of {MAX_CSR}")
    try:
        request = x509.load_der_x509_csr(csr)
        key = request.public_key()
        signed = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion) as error:
        raise AuthorityFault("not a certificate request (PKCS#10)") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise AuthorityFault("the certificate request is not for a P-256 key")
    if not signed:
        raise AuthorityFault("the certificate request is not signed by its own key")
    return key


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - BACKDATE).not_valid_after(now + life)


def _identified(
    builder: x509.CertificateBuilder, public: ec.EllipticCurvePublicKey, issuer: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _read(path: Path, *, private: bool = False) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if private and mode & 0o077:
            raise AuthorityFault(f"{path}: mode {mode:04o} lets others in; remedy: chmod 600 {path}")
        return file.read(MAX_FILE)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
