"""How this gateway becomes known: its keys are made here, and what the platform gives is put in their place."""

import http.client
import json
import os
import ssl
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from buffer.enrolment import MAX_ANSWER, Answer, Request, Token, vouch
from buffer.errors import BufferFault
from buffer.keys import SigningKey, located
from gateway.errors import EnrolmentFailed
from gateway.files import read_plain, save
from gateway.identity import sealed

ANSWER_S = 30.0
RENEW_AT = 2 / 3
"""Of a certificate's life: a third of it is left for a platform that cannot be reached."""
MAX_FILE = 65536  # bytes of a certificate or key


@dataclass(frozen=True, slots=True)
class Places:
    """Where keys and what the platform gave lie; all in one folder that the agent's user owns."""

    folder: Path

    @property
    def batch(self) -> Path:
        """The key that signs batches."""
        return self.folder / "batch.key"

    @property
    def next_batch(self) -> Path:
        """Its successor, until the platform knows it."""
        return self.folder / "batch.key.next"

    @property
    def tls(self) -> Path:
        """The key of the certificate (P-256)."""
        return self.folder / "tls.key"

    @property
    def certificate(self) -> Path:
        """What the broker knows this gateway by."""
        return self.folder / "tls.pem"

    @property
    def private(self) -> tuple[Path, ...]:
        """All that must stay here."""
        return self.batch, self.next_batch, self.tls

    @property
    def ca(self) -> Path:
        """Whose certificates brokers have."""
        return self.folder / "ca.pem"

    @property
    def authority(self) -> Path:
        """The platform's public key, pinned."""
        return self.folder / "authority.json"

    @property
    def enrolment(self) -> Path:
        """Who this gateway was enrolled as, and where."""
        return self.folder / "enrolment.json"

    def prepare(self) -> tuple[SigningKey, ec.EllipticCurvePrivateKey]:
        """Both keys, made if there are none; raises `OSError` or `EnrolmentFailed`."""
        batch = sealed.signing_key(self.batch) if sealed.there(self.batch) else SigningKey.create(self.batch)
        return batch, _tls_key(self.tls)

    def install(self, answer: Answer, url: str = "", ca_hash: bytes = b"", *, pinned: bool = False) -> None:
        """Put an answer in place, the certificate last; raises `OSError` or `EnrolmentFailed`, then nothing is new.

        Whom to believe is set at enrolment and `pinned` from then on: the server that renews is on-line, the
        authority's key is not, and who took the one must not get what belongs to the other.
        """
        check(answer, _tls_key(self.tls))
        known = {"gateway": answer.gateway, "site": answer.site, "brokers": list(answer.brokers), "root": answer.root}
        if url:
            known |= {"url": url, "ca_sha256": ca_hash.hex()}
        elif os.path.lexists(self.enrolment):
            known = {**_told(self), **known}
        if not pinned:
            save(self.ca, answer.ca.encode())
            save(self.authority, (answer.authority.to_json() + "\n").encode())
        save(self.enrolment, (json.dumps(known) + "\n").encode())
        save(self.certificate, answer.certificate.encode())

    def give(self) -> None:
        """As root: what was made belongs to whom the folder belongs to, which is the agent's user.

        Files that lie there alone, and nothing that a link leads to: that user may have put one there.
        """
        if os.geteuid() != 0:
            return
        owner = self.folder.stat()
        for path in self.folder.iterdir():
            if not stat.S_ISREG(path.lstat().st_mode):
                continue
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                found = os.fstat(handle)
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                    os.fchown(handle, owner.st_uid, owner.st_gid)
            finally:
                os.close(handle)


def _tls_key(path: Path) -> ec.EllipticCurvePrivateKey:
    if not sealed.there(path):
        made = ec.generate_private_key(ec.SECP256R1())
        data = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    try:
        only_sealed = sealed.is_only_sealed(path)
        pem = sealed.read(path) if only_sealed else read_plain(located(path), MAX_FILE, follow=True)
        key = load_pem_private_key(pem, None)
    except (OSError, ValueError, TypeError) as error:
        raise EnrolmentFailed(f"{path}: not a private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise EnrolmentFailed(f"{path}: not a P-256 key")
    return key


def request(
    places: Places, gateway: str, site: str, *, secret: bytes | None = None, successor: SigningKey | None = None
) -> bytes:
    """The signed request; with a `successor` that takes the place of the present key, which vouches for it."""
    batch, tls = places.prepare()
    csr = x509.CertificateSigningRequestBuilder()
    csr = csr.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, gateway)]))
    data = csr.sign(tls, hashes.SHA256()).public_bytes(Encoding.DER)
    key = successor or batch
    public = key.public(gateway, site, "batch")
    voucher = vouch(batch, gateway, public.raw) if successor is not None else None
    return Request(public, data, secret, voucher).sign(key)


def check(answer: Answer, tls: ec.EllipticCurvePrivateKey) -> None:
    """Whether the certificate is for our key and from the authority that comes along; raises `EnrolmentFailed`."""
    try:
        certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
        authority = x509.load_pem_x509_certificate(answer.ca.encode())
        certificate.verify_directly_issued_by(authority)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise EnrolmentFailed(f"the certificate of the answer is not of its authority: {error}") from error
    if certificate.public_key() != tls.public_key():
        raise EnrolmentFailed("the certificate of the answer is for another key than this gateway's")
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [name.value for name in names] != [answer.gateway] or ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise EnrolmentFailed(f"the certificate of the answer is not one for {answer.gateway}")


def due(certificate: Path, now: datetime) -> bool:
    """Whether two thirds of a certificate's life are over; raises `EnrolmentFailed`."""
    try:
        found = x509.load_pem_x509_certificate(read_plain(certificate, MAX_FILE, follow=True))
    except (OSError, ValueError) as error:
        raise EnrolmentFailed(f"{certificate}: no certificate: {error}", "lamppost enroll TOKEN-FILE") from error
    life = found.not_valid_after_utc - found.not_valid_before_utc
    return now.astimezone(UTC) >= found.not_valid_before_utc + life * RENEW_AT


def ask(url: str, ca_hash: bytes, message: bytes) -> Answer:
    """Send a request to the enrolment server whose authority has that SHA-256; raises `EnrolmentFailed`.

    The authority's certificate is fetched unverified, and believed for its hash alone; the request goes over TLS that
    it vouches for.
    """
    ca = _authority(url, ca_hash)
    context = ssl.create_default_context(cadata=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    status, body = _exchange(url, context, "POST", "/enroll", message)
    if status == http.HTTPStatus.FORBIDDEN:
        reason = body[:40].decode("ascii", "replace").strip()
        raise EnrolmentFailed(f"the platform refuses: {REFUSALS.get(reason, reason)}", "ask the platform for a token")
    if status != http.HTTPStatus.OK:
        raise EnrolmentFailed(f"the enrolment server answers with {status}", "try again in a minute")
    try:
        return Answer.from_json(body.decode())
    except (BufferFault, UnicodeDecodeError) as error:
        raise EnrolmentFailed(str(error)) from error


REFUSALS = {
    "token": "it knows no such token for this gateway",
    "expired": "the token has ended",
    "misuse": "the token was used before, by another key: somebody else may have seen it",
    "key": "this gateway's key is not known there, or was revoked",
    "voucher": "the present key, which should vouch for the new one, is not known there",
    "keys": "two keys of this gateway count there already: one of them must be revoked first",
    "often": "this key was given too many certificates today: somebody else may have it",
    "request": "it cannot read the request",
}


def _authority(url: str, ca_hash: bytes) -> str:
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    status, body = _exchange(url, blind, "GET", "/ca.pem", None)
    try:
        found = x509.load_pem_x509_certificate(body)
    except ValueError as error:
        raise EnrolmentFailed(f"{url} is no enrolment server: it answers with {status}") from error
    if found.fingerprint(hashes.SHA256()) != ca_hash:
        raise EnrolmentFailed(f"{url} is not the server of the token: its authority is another one")
    return found.public_bytes(Encoding.PEM).decode()


def _exchange(url: str, context: ssl.SSLContext, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise EnrolmentFailed("gateways are enrolled over https only")
    link = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=ANSWER_S, context=context)
    try:
        link.request(method, parts.path.rstrip("/") + path, body, {"Content-Type": "application/cose"})
        answer = link.getresponse()
        data = answer.read(MAX_ANSWER + 1)
    except ssl.SSLCertVerificationError as error:
        remedy = "timedatectl status" if error.verify_code in (9, 10) else ""  # X509_V_ERR_CERT_NOT_YET_VALID, EXPIRED
        raise EnrolmentFailed(f"{url}: {error.verify_message}", remedy) from error
    except (OSError, http.client.HTTPException) as error:
        raise EnrolmentFailed(f"{url}: {error}") from error
    finally:
        link.close()
    if len(data) > MAX_ANSWER:
        raise EnrolmentFailed(f"{url}: an answer over {MAX_ANSWER} bytes")
    return answer.status, data


def redeem(places: Places, token: Token) -> Answer:
    """Enrol by a token; the same token may be tried again by this gateway when an answer was lost."""
    message = request(places, token.gateway, token.site, secret=token.secret)
    answer = _answer(token.url, token.ca, message, token.gateway, token.site)
    places.install(answer, token.url, token.ca)
    return answer


def renew(places: Places) -> Answer:
    """A new certificate for the keys that are known, and nothing else."""
    known = _known(places)
    return _renewed(places, known, request(places, known["gateway"], known["site"]))


def roll(places: Places) -> Answer:
    """A new key for batches, which the present one vouches for; both count at the platform until the old is revoked.

    A try that was cut off is gone on with: the same successor is offered again.
    """
    known = _known(places)
    fresh, safe = places.next_batch, sealed.is_only_sealed(places.batch)
    if not sealed.there(fresh) and safe:
        sealed.put(fresh, SigningKey.generate()[1])
    successor = sealed.signing_key(fresh) if sealed.there(fresh) else SigningKey.create(fresh)
    message = request(places, known["gateway"], known["site"], successor=successor)
    answer = _renewed(places, known, message)
    if safe:
        sealed.place(fresh).replace(sealed.place(places.batch))
    else:
        fresh.replace(places.batch)
    return answer


def _renewed(places: Places, known: dict[str, str], message: bytes) -> Answer:
    answer = _answer(known["url"], bytes.fromhex(known["ca_sha256"]), message, known["gateway"], known["site"])
    places.install(answer, pinned=True)
    return answer


def _answer(url: str, ca_hash: bytes, message: bytes, gateway: str, site: str) -> Answer:
    """What the platform gives that very gateway; raises `EnrolmentFailed`."""
    answer = ask(url, ca_hash, message)
    if (answer.gateway, answer.site) != (gateway, site):
        raise EnrolmentFailed(f"the answer is for {answer.gateway} of site {answer.site}, not {gateway} of {site}")
    try:
        authority = x509.load_pem_x509_certificate(answer.ca.encode())
    except ValueError as error:
        raise EnrolmentFailed("the answer has no authority's certificate") from error
    if authority.fingerprint(hashes.SHA256()) != ca_hash:
        raise EnrolmentFailed("the answer names another authority than that of the token")
    return answer


def _known(places: Places) -> dict[str, str]:
    known = _told(places)
    if not known.get("url"):
        raise EnrolmentFailed("this gateway was enrolled by hand", "lamppost enroll --request FILE, then --answer FILE")
    return known


def _told(places: Places) -> dict[str, Any]:
    """What `enrolment.json` says; no link is followed, since root writes it anew for whom the folder belongs to."""
    try:
        known = json.loads(read_plain(places.enrolment, MAX_FILE))
    except (OSError, ValueError, RecursionError) as error:
        raise EnrolmentFailed("this gateway was not enrolled here", "lamppost enroll TOKEN-FILE") from error
    if not isinstance(known, dict):
        raise EnrolmentFailed(f"{places.enrolment} says nothing", "lamppost enroll TOKEN-FILE")
    return known
