"""The folder of an authority, or of a machine that has certificates of one: ``ca.pem``, ``ca-key.pem``, and sets.

A set is what one program needs: ``key.pem``, ``cert.pem`` and ``ca.pem`` (whom it trusts) in a folder of its own, and a
link ``NAME`` that leads to it. A new set takes the place of an old one by that link, in one moment: Open vSwitch uses
new files only when it finds both key and certificate changed at one look.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.pki.certificate_authority import (
    CertificateInfo,
    CertifiedKey,
    certify,
    check_name,
    check_set,
    default_alternatives,
    make_authority,
    now_utc,
    read_certificate,
)
from topology.errors import ConfigError
from topology.regular_file import read_all
from topology.server.own_folder import check_own, make_own, open_own

KEY, CERTIFICATE, CA_CERTIFICATE, CA_KEY = "key.pem", "cert.pem", "ca.pem", "ca-key.pem"

AUTHORITY_DAYS, DAYS = 3650, 825
"""How long an authority and what it certifies are good for, unless somebody says it."""

_OPTION = "--directory"
_SECRET, _PUBLIC = 0o600, 0o644


@dataclass(frozen=True)
class CertificateSet:
    """What is in the place of one name."""

    folder: Path
    info: CertificateInfo


class CertificateFolder:
    """One authority with what it has certified.

    Methods raise :class:`ConfigError` where something is in the way, and then nothing is changed.

    :param path: of the folder
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()

    def create(self, name: str, days: int = AUTHORITY_DAYS) -> Path:
        """Make a new authority.

        :param name: for people
        :returns: its certificate
        """
        make_own(_OPTION, self.path)
        for file in (CA_KEY, CA_CERTIFICATE):
            if os.path.lexists(self.path / file):
                raise ConfigError(
                    f"{self.path / file} is there already, and with another authority all that it has certified would "
                    "be refused: give another --directory, or remove the old files"
                )
        made = make_authority(name, days, now_utc())
        _write(self.path / CA_KEY, made.key, _SECRET)
        _write(self.path / CA_CERTIFICATE, made.certificate, _PUBLIC)
        return self.path / CA_CERTIFICATE

    def issue(self, name: str, alternatives: tuple[str, ...] = (), days: int = DAYS) -> CertificateSet:
        """Make a key and a certificate.

        :param alternatives: IP addresses and DNS names; none: the name itself
        """
        authority = self._authority()
        if os.path.lexists(self.path / check_name(name)):
            raise ConfigError(f"{self.path / name} is there already: `tunbridge tls renew {name}` makes it anew")
        made = certify(authority, name, alternatives or default_alternatives(name), days, now_utc())
        return self._put(name, made, authority.certificate)

    def renew(self, name: str, days: int = DAYS) -> CertificateSet:
        """Make a key and a certificate anew, for the same names, in the place of those that are there."""
        authority, before = self._authority(), self.find(name)
        made = certify(authority, name, before.info.alternatives, days, now_utc())
        return self._put(name, made, authority.certificate)

    def revoke(self, name: str, days: int = DAYS) -> list[CertificateSet]:
        """Have nobody trust a certificate any more: a new authority takes the place of the old one.

        :returns: all other sets, which are made anew
        """
        self._authority()
        gone = self.find(name)
        others = [one for one in self.sets() if one.folder != gone.folder]
        title = read_certificate(self._read(CA_CERTIFICATE)).name.rpartition(" ")[0]
        now = now_utc()
        authority = make_authority(title, AUTHORITY_DAYS, now)
        made = {
            one.folder.name: certify(authority, one.folder.name, one.info.alternatives, days, now) for one in others
        }
        # Should this be cut short here or later, `renew` of each name finishes it: the new authority is in place.
        self._replace(CA_KEY, authority.key, _SECRET)
        self._replace(CA_CERTIFICATE, authority.certificate, _PUBLIC)
        self._remove(name)
        return [self._put(other, one, authority.certificate) for other, one in made.items()]

    def install(self, source: str | os.PathLike[str], *, replace: bool = False) -> CertificateSet:
        """Put a set that was made elsewhere into this folder, under its common name.

        :param source: folder with ``key.pem``, ``cert.pem`` and ``ca.pem``
        :param replace: in the place of the one that is there
        """
        folder = Path(source)
        files = [_read(folder / file) for file in (KEY, CERTIFICATE, CA_CERTIFICATE)]
        made = CertifiedKey(files[0], files[1])
        info = read_certificate(made.certificate)
        try:
            check_set(made, files[2])
        except ConfigError as error:
            raise ConfigError(f"{folder}: {error}") from None
        if info.ends <= now_utc():
            raise ConfigError(f"{folder / CERTIFICATE} has expired on {info.ends:%Y-%m-%d}: renew it where it was made")
        make_own(_OPTION, self.path)
        if os.path.lexists(self.path / check_name(info.name)) and not replace:
            raise ConfigError(f"{self.path / info.name} is there already: --replace puts this one in its place")
        return self._put(info.name, made, files[2])

    def sets(self) -> list[CertificateSet]:
        """All sets, by name."""
        check_own(_OPTION, self.path)
        try:
            names = sorted(entry.name for entry in os.scandir(self.path) if self._is_set(entry.name))
        except FileNotFoundError:
            raise ConfigError(f"{self.path} is not there: `tunbridge tls init` makes an authority") from None
        return [self.find(name) for name in names]

    def find(self, name: str) -> CertificateSet:
        """The set of a name."""
        check_own(_OPTION, self.path)
        if not self._is_set(check_name(name)):
            raise ConfigError(f"{self.path} has no certificate {name}: `tunbridge tls list` shows those that are there")
        folder = self.path / name
        return CertificateSet(folder, read_certificate(_read(folder / CERTIFICATE)))

    def _is_set(self, name: str) -> bool:
        """Links of ours lead to a folder beside them; others are somebody else's."""
        try:
            return not name.startswith(".") and os.readlink(self.path / name).startswith(f".{name}.")
        except OSError:
            return False

    def _authority(self) -> CertifiedKey:
        check_own(_OPTION, self.path)
        if not os.path.lexists(self.path / CA_KEY):
            raise ConfigError(f"{self.path} has no authority: `tunbridge tls init` makes one")
        return CertifiedKey(self._read(CA_KEY), self._read(CA_CERTIFICATE))

    def _read(self, file: str) -> bytes:
        return _read(self.path / file)

    def _replace(self, file: str, content: bytes, mode: int) -> None:
        new = self.path / f".{file}.new"
        new.unlink(missing_ok=True)
        _write(new, content, mode)
        new.rename(self.path / file)

    def _put(self, name: str, made: CertifiedKey, ca_certificate: bytes) -> CertificateSet:
        """Write a new set beside the old one, and let the link lead to it; the old one goes."""
        place = self.path / name
        if os.path.lexists(place) and not self._is_set(name):
            raise ConfigError(f"{place} is there, and is none of ours: remove it")
        before = list(self._folders(name))
        folder = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self.path))
        _write(folder / KEY, made.key, _SECRET)
        _write(folder / CERTIFICATE, made.certificate, _PUBLIC)
        _write(folder / CA_CERTIFICATE, ca_certificate, _PUBLIC)
        link = folder / "link"
        link.symlink_to(folder.name)
        link.rename(place)
        for old in before:
            shutil.rmtree(old)
        return CertificateSet(place, read_certificate(made.certificate))

    def _remove(self, name: str) -> None:
        folders = list(self._folders(name))
        (self.path / name).unlink()
        for folder in folders:
            shutil.rmtree(folder)

    def _folders(self, name: str) -> Iterator[Path]:
        """All that were made for a name; its parts after the last dot are those of :func:`tempfile.mkdtemp`."""
        for entry in os.scandir(self.path):
            if entry.is_dir(follow_symlinks=False) and entry.name.rpartition(".")[0] == f".{name}":
                yield Path(entry.path)


def _write(path: Path, content: bytes, mode: int) -> None:
    """A new file; nothing that is there is written to."""
    with open(path, "xb", opener=open_own) as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=open_own) as file:
            return read_all(file)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
