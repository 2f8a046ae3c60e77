"""Who becomes known to the platform and who does not: tokens, vouchers, renewals, and what a revocation ends."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from buffer.enrolment import Answer, Request, Token, vouch
from buffer.keys import SigningKey
from collector.alarms.rules import Rules
from collector.alarms.watch import Watch
from collector.errors import AuthorityFault, EnrolmentRefused, RegistryError
from collector.identity import enrolment as enrolling
from collector.identity import registry, tokens
from collector.identity.ca import CertificateAuthority, _key_of
from collector.identity.enrolment import Enrolment
from collector.tables.database import Database, Target

NOW = 1_790_000_000_000
HOUR = 3_600_000


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path_factory.mktemp("authority") / "ca", "test")


class Box:
    """A gateway's side: its keys, and what it asks for."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.key = SigningKey.create(folder / "batch.key")
        self.csr = csr_of(ec.generate_private_key(ec.SECP256R1()))

    def asks(self, secret: bytes | None = None, gateway: str = "gw-1", site: str = "nord") -> bytes:
        return Request(self.key.public(gateway, site), self.csr, secret).sign(self.key)

    def rolls(self, name: str, site: str = "nord", old: SigningKey | None = None) -> bytes:
        """A request by a new key that the present one (or `old`) vouches for."""
        old, self.key = old or self.key, SigningKey.create(self._folder / name)
        public = self.key.public("gw-1", site)
        return Request(public, self.csr, None, vouch(old, "gw-1", public.raw)).sign(self.key)


def csr_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, *more: str) -> bytes:
    builder = x509.CertificateSigningRequestBuilder()
    builder = builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in more]))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


class Platform:
    """An enrolment of a database, and other connections to it."""

    def __init__(self, target: Target, ca: CertificateAuthority, folder: Path, stack: ExitStack) -> None:
        self._target, self._ca, self._stack = target, ca, stack
        self._authority = SigningKey.create(folder / "authority.key").public(role="authority")
        self.now = NOW
        self.enrolment = self.another()
        self.database = self.enrolment.database

    def another(self) -> Enrolment:
        database = Database.open(self._target)
        self._stack.callback(database.close)
        return Enrolment(database, self._ca, self._authority)

    def invites(self, gateway: str = "gw-1", site: str = "nord") -> bytes:
        token = Token.make("https://enrol.example", self._ca.fingerprint, gateway, site)
        tokens.add(self.database, token, self.now, self.now + 24 * HOUR)
        return token.secret

    def takes(self, message: bytes) -> Answer:
        return self.enrolment.answer(message, self.now)

    def refuses(self, message: bytes) -> str:
        with pytest.raises(EnrolmentRefused) as caught:
            self.takes(message)
        return caught.value.reason

    def counts(self) -> set[str]:
        return {key.kid.hex() for key in registry.valid_keys(self.database, "gw-1")}

    def alarms(self) -> list[tuple[str, str]]:
        """Event and kind of what changed since the last look."""
        rules = Rules(silent_gateway=0)
        return [(one.event, one.key[1]) for one in Watch(self.database, rules, lambda: self.now).look()]


@pytest.fixture
def platform(new_database: Callable[[], Target], ca: CertificateAuthority, tmp_path: Path) -> Iterator[Platform]:
    with ExitStack() as stack:
        yield Platform(new_database(), ca, tmp_path, stack)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box")


@pytest.fixture
def thief(tmp_path: Path) -> Box:
    return Box(tmp_path / "thief")


def test_of_many_at_the_same_instant_one_key_takes_a_token(platform: Platform, tmp_path: Path) -> None:
    secret = platform.invites()
    boxes = [Box(tmp_path / f"box{n}") for n in range(8)]
    doors = [platform.another() for _ in boxes]
    start, won, lost = threading.Barrier(len(boxes)), list[str](), list[str]()

    def try_it(door: Enrolment, box: Box) -> None:
        start.wait()
        try:
            door.answer(box.asks(secret), NOW)
        except EnrolmentRefused as refused:
            lost.append(refused.reason)
        else:
            won.append(box.key.kid.hex())

    threads = [threading.Thread(target=try_it, args=pair) for pair in zip(doors, boxes, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert platform.counts() == set(won)
    assert (len(won), lost) == (1, ["misuse"] * (len(boxes) - 1))
    (row,) = tokens.overview(platform.database)
    assert row["misuses"] == len(boxes) - 1


def test_a_token_is_for_its_gateway_and_site_only(platform: Platform, box: Box) -> None:
    secret = platform.invites()
    assert platform.refuses(box.asks(secret, gateway="gw-2")) == "token"
    assert platform.refuses(box.asks(secret, site="sued")) == "token"
    platform.takes(box.asks(secret))
    platform.now += 25 * HOUR
    assert platform.refuses(box.asks(secret)) == "expired"


def test_the_second_of_two_invitations_ends_the_first(platform: Platform, box: Box) -> None:
    first, second = platform.invites(), platform.invites()
    assert platform.refuses(box.asks(first)) == "token"
    platform.takes(box.asks(second))


def test_what_was_replaced_does_not_come_back(platform: Platform, box: Box, thief: Box) -> None:
    first = platform.invites()
    platform.takes(thief.asks(first))
    platform.takes(box.asks(platform.invites()))
    assert platform.counts() == {box.key.kid.hex()}
    assert platform.refuses(thief.asks(first)) == "key"
    assert platform.refuses(thief.asks()) == "key"
    assert platform.refuses(thief.rolls("next")) == "voucher"
    assert platform.refuses(thief.asks(first)) == "misuse"


def test_a_revocation_ends_every_invitation_too(platform: Platform, box: Box, thief: Box) -> None:
    """Whoever took the box may have the technician's note as well."""
    platform.takes(box.asks(platform.invites()))
    secret = platform.invites()
    registry.revoke(platform.database, "gw-1", NOW)
    assert platform.refuses(thief.asks(secret)) == "token"
    assert platform.counts() == set()


def test_a_withdrawn_token_is_good_for_nobody(platform: Platform, box: Box) -> None:
    """Not for the one either that used it a moment ago, and may not have become known yet."""
    secret = platform.invites()
    tokens.take(platform.database, secret, "gw-1", "nord", box.key.kid.hex(), NOW)
    assert tokens.withdraw(platform.database, "gw-1") == 1
    assert platform.refuses(box.asks(secret)) == "token"


def test_misuse_of_a_token_is_an_alarm_until_somebody_decides(platform: Platform, box: Box, thief: Box) -> None:
    secret = platform.invites()
    platform.takes(thief.asks(secret))
    assert platform.alarms() == []
    assert platform.refuses(box.asks(secret)) == "misuse"
    assert platform.alarms() == [("raised", "token-misuse")]
    platform.takes(box.asks(platform.invites()))  # the thief's key counts no more
    assert platform.alarms() == [("cleared", "token-misuse")]


def test_a_key_that_another_vouched_for_is_an_alarm_until_one_of_them_is_revoked(platform: Platform, box: Box) -> None:
    platform.takes(box.asks(platform.invites()))
    old = box.key
    platform.takes(box.rolls("next"))
    assert platform.counts() == {old.kid.hex(), box.key.kid.hex()}
    assert platform.alarms() == [("raised", "two-keys")]
    registry.revoke(platform.database, "gw-1", NOW, old.kid.hex())
    assert platform.alarms() == [("cleared", "two-keys")]


def test_a_thief_of_a_key_cannot_make_a_chain_of_keys(platform: Platform, box: Box) -> None:
    platform.takes(box.asks(platform.invites()))
    old = box.key
    first = box.rolls("next")
    platform.takes(first)
    platform.takes(first)  # the answer was lost
    assert platform.refuses(box.rolls("third")) == "keys"
    assert platform.refuses(box.rolls("fourth", old=old)) == "keys"
    registry.revoke(platform.database, "gw-1", NOW, old.kid.hex())
    assert platform.refuses(box.rolls("fifth", old=old)) == "voucher"
    assert len(platform.counts()) == 1


def test_a_voucher_is_for_one_gateway_of_one_site(platform: Platform, box: Box) -> None:
    platform.takes(box.asks(platform.invites()))
    assert platform.refuses(box.rolls("next", site="sued")) == "key"


def test_no_gateway_is_called_as_collectors_are(platform: Platform, box: Box, ca: CertificateAuthority) -> None:
    """A certificate of that name reads every gateway's topics at a broker with our list."""
    with pytest.raises(RegistryError, match="collector"):
        platform.invites("collector")
    with pytest.raises(RegistryError, match="collector"):
        registry.add(platform.database, box.key.public("collector", "nord"), NOW)
    with pytest.raises(EnrolmentRefused, match="collector"):
        platform.enrolment.admit(box.asks(gateway="collector"), NOW)
    with pytest.raises(AuthorityFault, match="collector"):
        ca.gateway(box.csr, "collector", "nord")


def test_a_key_cannot_fill_the_list_of_revoked_certificates(platform: Platform, box: Box) -> None:
    platform.takes(box.asks(platform.invites()))
    for _ in range(enrolling.MAX_CERTIFICATES - 1):
        platform.takes(box.asks())
    assert platform.refuses(box.asks()) == "often"
    platform.now += 24 * HOUR + 1
    platform.takes(box.asks())
    registry.revoke(platform.database, "gw-1", platform.now)
    listed = enrolling.revoked_certificates(platform.database, platform.now)
    assert len(listed) == enrolling.MAX_CERTIFICATES + 1


@pytest.mark.parametrize(
    "csr",
    [
        pytest.param(csr_of(ec.generate_private_key(ec.SECP384R1())), id="P-384"),
        pytest.param(csr_of(ec.generate_private_key(ec.SECP256K1())), id="secp256k1"),
        pytest.param(csr_of(ed25519.Ed25519PrivateKey.generate()), id="Ed25519"),
        pytest.param(csr_of(rsa.generate_private_key(65537, 2048)), id="RSA"),
        pytest.param(csr_of(ec.generate_private_key(ec.SECP256R1()))[:-1], id="cut"),
        pytest.param(b"", id="empty"),
        pytest.param(bytes(2049), id="large"),
    ],
)
def test_what_is_no_request_for_a_p256_key(ca: CertificateAuthority, csr: bytes) -> None:
    with pytest.raises(AuthorityFault):
        ca.gateway(csr, "gw-1", "nord")


def test_a_certificate_says_what_the_platform_says_whatever_is_wished_for(ca: CertificateAuthority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in ("gw-2", "collector")])
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("broker.example")]), critical=True)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    csr = builder.sign(key, hashes.SHA512()).public_bytes(Encoding.DER)
    made = x509.load_pem_x509_certificate(ca.gateway(csr, "gw-1", "nord").pem.encode())
    assert made.subject.rfc4514_string() == "O=nord,CN=gw-1"
    assert {type(one.value) for one in made.extensions} == {
        x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectKeyIdentifier,
        x509.AuthorityKeyIdentifier,
    }  # fmt: skip
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


WHOLE = csr_of(ec.generate_private_key(ec.SECP256R1()), "gw-1")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4))
def test_no_bytes_of_a_request_come_through_as_another_error(at: int, put: bytes) -> None:
    with suppress(AuthorityFault):
        _key_of(WHOLE[:at] + put + WHOLE[at + len(put) :])


def test_a_certificate_ends_with_its_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.identity.ca.ROOT_DAYS", 30)
    young = CertificateAuthority.create(tmp_path / "ca", "young")
    made = young.gateway(WHOLE, "gw-1", "nord", days=90)
    assert made.ends_ms == int(young.certificate.not_valid_after_utc.timestamp() * 1000)
    monkeypatch.setattr("collector.identity.ca.ROOT_DAYS", 0)
    old = CertificateAuthority.create(tmp_path / "old", "old")
    with pytest.raises(AuthorityFault, match="has ended"):
        old.gateway(WHOLE, "gw-1", "nord")


def test_an_authoritys_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    CertificateAuthority.create(tmp_path / "ca", "test")
    assert [(tmp_path / "ca" / name).stat().st_mode & 0o777 for name in (".", "ca.key")] == [0o700, 0o600]
    (tmp_path / "ca" / "ca.key").chmod(0o640)
    with pytest.raises(AuthorityFault, match="chmod 600"):
        CertificateAuthority.load(tmp_path / "ca")


def test_a_list_of_revoked_certificates_locks_nobody_out_by_its_age(ca: CertificateAuthority) -> None:
    """A broker refuses everybody whose list has ended: it ends with the authority unless somebody renews it."""
    listed = x509.load_pem_x509_crl(ca.revocations([("ab", NOW)]))
    assert listed.next_update_utc == ca.certificate.not_valid_after_utc
    short = x509.load_pem_x509_crl(ca.revocations([], days=7))
    assert short.next_update_utc is not None
    assert 6 < (short.next_update_utc - short.last_update_utc).days < 8
