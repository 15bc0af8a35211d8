"""Certificates as an operator would have them made: right ones, and all the ways in which they can be wrong."""

from __future__ import annotations

import ipaddress
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
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


class Authority:
    """Certifies. Its certificate is in a file of the directory.

    :param directory: for all files
    """

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory = directory
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        # A name of its own: Open vSwitch looks for the authority of a certificate by that.
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {secrets.token_hex(4)}")])
        self.ca_cert = directory / f"{name}.pem"
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        now = datetime.now(timezone.utc)
        builder = self._builder(self._subject, self._key, now - _DAY, now + _DAY).add_extension(constraints, True)
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
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(item) for item in names]), False)
        stem = f"{self._name}-{name}"
        identity = Identity(
            self._directory / f"{stem}-key.pem", self._directory / f"{stem}.pem", (trusts or self).ca_cert
        )
        identity.certificate.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))
        identity.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        identity.key.chmod(0o600)
        return identity

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, begins: datetime, ends: datetime
    ) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._subject)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
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


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
