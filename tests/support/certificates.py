"""Certificates as an operator would have them made: right ones, and all the ways in which they can be wrong."""

from __future__ import annotations

import ipaddress
import secrets
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from topology.ovsdb.tls import TlsFiles

LOCALHOST = ("127.0.0.1",)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A key, its certificate, and whom its owner trusts; PEM files."""

    key: Path
    certificate: Path
    ca_cert: Path

    def options(self, **more: object) -> dict[str, object]:
        """Options of a group of the configuration file."""
        files = {"ssl_key_file": self.key, "ssl_cert_file": self.certificate, "ssl_ca_cert_file": self.ca_cert}
        return {**files, **more}

    def files(self, peer_name: str | None = None, group: str = "[topology]") -> TlsFiles:
        """The same as code takes it."""
        return TlsFiles(group, str(self.key), str(self.certificate), str(self.ca_cert), peer_name)

    def arguments(self) -> list[str]:
        """Options of ovsdb-server and ovs-vsctl."""
        return [f"--private-key={self.key}", f"--certificate={self.certificate}", f"--ca-cert={self.ca_cert}"]


class Replaceable(Identity):
    """An identity whose files can be replaced, all in one moment: their directory is a link.

    Open vSwitch takes a new certificate only when it finds key and certificate changed at one look.

    :param directory: the link, to be made
    """

    def __init__(self, directory: Path, first: Identity) -> None:
        super().__init__(directory / "key.pem", directory / "cert.pem", directory / "ca.pem")
        self.replace_with(first)

    def replace_with(self, other: Identity) -> None:
        """Put copies of another's files in the place of these."""
        link = self.key.parent
        new = Path(tempfile.mkdtemp(prefix=f"{link.name}.", dir=link.parent))
        for name, path in (("key.pem", other.key), ("cert.pem", other.certificate), ("ca.pem", other.ca_cert)):
            shutil.copy(path, new / name)
        (new / "link").symlink_to(new)
        (new / "link").rename(link)


class Lack(Enum):
    """What older authorities and their certificates are without; a peer that verifies strictly refuses each."""

    SUBJECT_KEY = "subjectKeyIdentifier"
    AUTHORITY_KEY = "authorityKeyIdentifier"
    KEY_USAGE = "keyUsage"
    CRITICAL_CONSTRAINTS = "basicConstraints"

    @property
    def extension(self) -> str:
        """As x509v3_config(5) calls it."""
        return self.value


OVS_PKI = (Lack.KEY_USAGE, Lack.CRITICAL_CONSTRAINTS)
"""Of the authorities that ovs-pki makes, of Open vSwitch 3.1 and 3.5."""
OLDER = (*OVS_PKI, Lack.AUTHORITY_KEY)
"""Of what OpenSSL before 3.0 made where it was told no extensions."""


class Authority:
    """Certifies. Its certificate is in a file of the directory.

    :param directory: for all files
    :param lacks: extensions that RFC 5280 asks for and that it and its certificates are without
    """

    def __init__(self, directory: Path, name: str = "ca", *, lacks: Collection[Lack] = ()) -> None:
        self._directory = directory
        self._name = name
        self._lacks = lacks
        self._key = ec.generate_private_key(ec.SECP256R1())
        # A name of its own: Open vSwitch looks for the authority of a certificate by that.
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {secrets.token_hex(4)}")])
        self.ca_cert = directory / f"{name}.pem"
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        now = datetime.now(timezone.utc)
        builder = self._builder(self._subject, self._key, now - _DAY, now + _DAY)
        builder = builder.add_extension(constraints, Lack.CRITICAL_CONSTRAINTS not in lacks)
        if Lack.KEY_USAGE not in lacks:
            builder = builder.add_extension(_usage("key_cert_sign", "crl_sign"), True)
        self.ca_cert.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))

    def expired(self, name: str = "expired") -> Identity:
        """A certificate that was right until yesterday."""
        return self.certify(name, begins=-2 * _DAY, ends=-_DAY)

    def certify(
        self,
        name: str,
        names: Sequence[str] = LOCALHOST,
        *,
        begins: timedelta = -_DAY,
        ends: timedelta = _DAY,
        trusts: Authority | None = None,
    ) -> Identity:
        """A new key with a certificate.

        :param name: common name, and of the files
        :param names: DNS names and IP addresses of subjectAltName; none: a certificate as ovs-pki makes them
        :param begins: when it becomes valid, from now
        :param ends: when it expires, from now
        :param trusts: another authority that its owner trusts; None: the same
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(timezone.utc)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key, now + begins, now + ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), False)
        if Lack.KEY_USAGE not in self._lacks:
            builder = builder.add_extension(_usage("digital_signature"), True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(item) for item in names]), False)
        stem = f"{self._name}-{name}"
        identity = Identity(
            self._directory / f"{stem}-key.pem", self._directory / f"{stem}.pem", (trusts or self).ca_cert
        )
        identity.certificate.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))
        _write_key(identity.key, key)
        return identity

    def write_key(self, file: Path) -> None:
        """Its own key, for who certifies by other means."""
        _write_key(file, self._key)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, begins: datetime, ends: datetime
    ) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._subject)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        if Lack.SUBJECT_KEY not in self._lacks:
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        if Lack.AUTHORITY_KEY not in self._lacks:
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(issuer, False)
        return builder.not_valid_before(begins).not_valid_after(ends)


@dataclass(frozen=True)
class Pki:
    """An authority, a stranger among authorities, and what both have certified.

    :param wrong: what is wrong → an identity with that
    """

    authority: Authority
    stranger: Authority
    right: Identity
    wrong: Mapping[str, Identity]


EXPIRED, EARLY, STRANGE, ELSEWHERE = "expired", "not yet valid", "of another authority", "for another host"
_REFUSED = "the peer's certificate is refused: "
REFUSALS = {
    EXPIRED: f"{_REFUSED}certificate has expired; replace it, or set the clock of this machine",
    EARLY: f"{_REFUSED}certificate is not yet valid; set the clock of this machine, or of the one that made it",
    STRANGE: f"{_REFUSED}unable to get local issuer certificate; its authority is none of those that are trusted here",
    ELSEWHERE: "the peer's certificate is not for 127.0.0.1 but for 192.0.2.1, elsewhere.example",
}
"""What is wrong → what is said of it, by whoever asks for the address 127.0.0.1."""


def make_pki(directory: Path) -> Pki:
    """All that tests need, in a directory."""
    ours, stranger = Authority(directory), Authority(directory, "stranger")
    wrong = {
        EXPIRED: ours.expired(),
        EARLY: ours.certify("early", begins=_DAY, ends=2 * _DAY),
        STRANGE: stranger.certify("strange", trusts=ours),
        ELSEWHERE: ours.certify("elsewhere", ["192.0.2.1", "elsewhere.example"]),
    }
    return Pki(ours, stranger, ours.certify("right"), wrong)


def _usage(*allowed: str) -> x509.KeyUsage:
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: name in allowed for name in names})


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    file.chmod(0o600)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
