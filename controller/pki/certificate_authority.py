"""Keys and certificates of a small authority (RFC 5280), by the library ``cryptography``; nothing here opens a file.

What is made passes the strictest verification there is (``X509_V_FLAG_X509_STRICT`` of OpenSSL, Python 3.13's default):
it has key identifiers, key usage, and basic constraints that are critical.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from topology.errors import ConfigError

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError as error:
    raise ConfigError("certificates are made by the library cryptography: pip install 'tunbridge[tls]'") from error

_PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_SKEW = timedelta(hours=1)
"""How far the clock of a machine may be behind that of the authority."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DNS = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


@dataclass(frozen=True)
class CertifiedKey:
    """A private key and a certificate for it, as PEM.

    :param key: PKCS #8, without a passphrase
    """

    key: bytes
    certificate: bytes


@dataclass(frozen=True)
class CertificateInfo:
    """What a certificate says.

    :param name: common name
    :param alternatives: DNS names and IP addresses
    :param ends: when it expires, UTC
    """

    name: str
    alternatives: tuple[str, ...]
    ends: datetime

    def days_left(self, now: datetime) -> int:
        """Whole days until it expires; negative: it has."""
        return (self.ends - now).days


def now_utc() -> datetime:
    """The clock, to a second, as certificates have it."""
    return datetime.now(timezone.utc).replace(microsecond=0)


def check_name(name: str) -> str:
    """A name for a certificate and for its files.

    :raises ConfigError: it cannot be one
    """
    if _NAME.fullmatch(name) is None or name in ("ca.pem", "ca-key.pem"):
        raise ConfigError(
            f"name {name!r}: expected 1 to 64 letters, digits, '.', '_' and '-' (a common name of X.509 has no more), "
            "beginning with a letter or digit"
        )
    return name


def check_alternative(name: str) -> str:
    """An IP address or a DNS name.

    :raises ConfigError: it is neither
    """
    _general(name)
    return name


def make_authority(name: str, days: int, now: datetime) -> CertifiedKey:
    """A new authority; another one of the same name has another subject, since peers find an authority by that.

    :param days: until it expires
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(f"{name[:50]} {secrets.token_hex(4)}")
    builder = _builder(subject, subject, key, key.public_key(), now, now + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(authority=True), critical=True)
    return CertifiedKey(_key_pem(key), _pem(builder.sign(key, hashes.SHA256())))


def certify(authority: CertifiedKey, name: str, alternatives: Sequence[str], days: int, now: datetime) -> CertifiedKey:
    """A new key with a certificate for both ends of a connection; it does not outlive the authority's.

    :param name: common name, which is who it is towards OVSDB's role-based access control
    :param alternatives: DNS names and IP addresses
    :raises ConfigError: the authority cannot be used
    """
    issuer_key, issuer = _loaded(authority)
    if issuer.not_valid_after_utc <= now:
        raise ConfigError(f"the authority itself has expired on {issuer.not_valid_after_utc:%Y-%m-%d}: make a new one")
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(now + timedelta(days=days), issuer.not_valid_after_utc)
    builder = _builder(_subject(name), issuer.subject, issuer_key, key.public_key(), now, ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(authority=False), critical=True)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if alternatives:
        names = x509.SubjectAlternativeName([_general(one) for one in alternatives])
        builder = builder.add_extension(names, critical=False)
    return CertifiedKey(_key_pem(key), _pem(builder.sign(issuer_key, hashes.SHA256())))


def default_alternatives(name: str) -> tuple[str, ...]:
    """What a certificate is for where nobody has said it: its own name, where that can be a DNS name."""
    return (name,) if _DNS.fullmatch(name) else ()


def read_certificate(pem: bytes) -> CertificateInfo:
    """What a certificate says.

    :raises ConfigError: it is none
    """
    certificate = _certificate(pem)
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    alternatives: list[str] = []
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            alternatives += [str(one.value) for one in extension.value]
    name = str(common[0].value) if common else ""
    return CertificateInfo(name, tuple(alternatives), certificate.not_valid_after_utc)


def check_set(made: CertifiedKey, ca_certificate: bytes) -> None:
    """See that a key, a certificate and its authority go together.

    :raises ConfigError: they do not
    """
    _, certificate = _loaded(made)
    try:
        certificate.verify_directly_issued_by(_certificate(ca_certificate))
    except (InvalidSignature, ValueError, TypeError):
        raise ConfigError("the certificate is not of the authority beside it") from None


def _loaded(made: CertifiedKey) -> tuple[_PrivateKey, x509.Certificate]:
    certificate = _certificate(made.certificate)
    try:
        key = serialization.load_pem_private_key(made.key, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the private key cannot be used: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ConfigError("the private key cannot be used: it is neither EC nor RSA")
    if key.public_key() != certificate.public_key():
        raise ConfigError("the private key is not that of the certificate")
    return key, certificate


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise ConfigError(f"no certificate: {error}") from None


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    issuer_key: _PrivateKey,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        if _DNS.fullmatch(name) is None or re.fullmatch(r"[0-9.]+", name):
            raise ConfigError(f"{name!r} is neither an IP address nor a DNS name") from None
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form, encryption = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, encryption)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
