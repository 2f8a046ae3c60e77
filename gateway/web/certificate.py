"""A certificate that is made for one hour, signed by itself: its fingerprint is shown beside the box."""

import ipaddress
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

EARLY = timedelta(days=1)
"""The box, or the phone, may not know the time."""
LATE = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Certificate:
    """`fingerprint`: SHA-256 of the certificate, as browsers show it."""

    context: ssl.SSLContext
    fingerprint: str


def make(address: str) -> Certificate:
    """A new key (P-256) and its certificate for one IP address, on no disk."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lamppost web")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY)
        .not_valid_after(now + LATE)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context = _context(made.public_bytes(Encoding.PEM) + private)
    return Certificate(context, made.fingerprint(hashes.SHA256()).hex(":").upper())


def _context(pem: bytes) -> ssl.SSLContext:
    """TLS 1.2 and later; the library reads keys from files only, so the file is memory."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    memory = os.memfd_create("lamppost-web", os.MFD_CLOEXEC)
    try:
        os.write(memory, pem)
        context.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)
    return context
