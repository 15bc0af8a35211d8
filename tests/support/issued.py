"""An authority made by ``tunbridge tls``, and identities with what it has certified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from unittest import mock

from controller.cli import commands
from controller.pki import certificate_folder
from controller.pki.certificate_authority import now_utc
from controller.pki.certificate_folder import CertificateFolder
from tests.support.certificates import LOCALHOST, Identity
from tests.support.host.tunbridge import free_tcp_port
from topology.server.embedded_server import EmbeddedServer


def tls(folder: Path, *words: str) -> int:
    """Run ``tunbridge tls``; its exit status.

    :raises click.ClickException: it is used wrongly
    :raises TunbridgeError: it cannot do that
    """
    arguments = ["tls", *words, "--directory", str(folder)]
    return int(commands.cli.main(arguments, prog_name="tunbridge", standalone_mode=False) or 0)


@contextmanager
def days_ago(days: int) -> Iterator[None]:
    """What is certified meanwhile is certified then."""
    with mock.patch.object(certificate_folder, "now_utc", lambda: now_utc() - timedelta(days=days)):
        yield


@contextmanager
def served_with_rights(folder: Path) -> Iterator[tuple[EmbeddedServer, str, IssuedCertificates]]:
    """A topology database server with ``[topology] host_rights``, where it is reached, and its authority."""
    issued = IssuedCertificates(folder / "pki")
    connection = f"ssl:127.0.0.1:{free_tcp_port()}"
    files = issued.identity("topology").files()
    server = EmbeddedServer(folder / "state", folder / "run", (connection,), files, host_rights=True)
    server.start()
    try:
        yield server, connection, issued
    finally:
        server.stop()


class IssuedCertificates:
    """An authority in a folder.

    :param folder: that is made
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with days_ago(30):
            CertificateFolder(folder).create("test")

    def identity(self, name: str, *, expired: bool = False) -> Identity:
        """What somebody of a name has; made for 127.0.0.1 where it is not there yet.

        :param expired: it was good until some days ago
        """
        place = self.folder / name
        if not place.is_symlink():
            with days_ago(20 if expired else 0):
                CertificateFolder(self.folder).issue(name, LOCALHOST, 10)
        return Identity(place / "key.pem", place / "cert.pem", place / "ca.pem")
