"""Options of TLS, which several groups have; named as Neutron names those of OVSDB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.config import option_types as kinds
from controller.config.declaration import OptionGroup, Problem, option
from controller.config.text_types import absolute_path
from topology.ovsdb.tls import TlsFiles

FILES = ("ssl_key_file", "ssl_cert_file", "ssl_ca_cert_file")

FILE = kinds.optional(absolute_path)
PEER_NAME = kinds.optional(kinds.peer_name)

CERTIFICATE = "Certificate of that key; certificates between it and its authority may follow"
NAME = (
    "Name that a peer's certificate must have, a DNS name or an IP address of its subjectAltName (its common name, "
    "where it has none)"
)


@dataclass(frozen=True)
class TlsConfig(OptionGroup):
    """A group of connections, all of whose ends show certificates where they are ``ssl``."""

    ssl_key_file: str | None = option(
        None,
        FILE,
        "Private key (PEM, absolute path), for connections of this group. Needed where one is `ssl`, as the next two",
        form="path",
    )
    ssl_cert_file: str | None = option(None, FILE, CERTIFICATE, form="path")
    ssl_ca_cert_file: str | None = option(
        None, FILE, "Certificates of the authorities whose peers are trusted", form="path"
    )
    ssl_peer_name: str | None = option(None, PEER_NAME, NAME, form="name")

    def tls_files(self, group: str) -> TlsFiles | None:
        """None: no TLS."""
        if self.ssl_key_file is None or self.ssl_cert_file is None or self.ssl_ca_cert_file is None:
            return None
        return TlsFiles(group, self.ssl_key_file, self.ssl_cert_file, self.ssl_ca_cert_file, self.ssl_peer_name)


def incomplete(
    group: OptionGroup, needed: Sequence[str], uses: Iterable[tuple[str, str | None]] = ()
) -> Problem | None:
    """What is missing: whoever asks for TLS must have all files, and half a set is a mistake whatever it was for.

    :param needed: options of the files that TLS cannot do without
    :param uses: options that may ask for TLS, and their values
    """
    missing = ", ".join(name for name in needed if getattr(group, name) is None)
    asked = [(name, value) for name, value in uses if value is not None and (value == "ssl" or "ssl:" in value)]
    given = [(name, path) for name in FILES if (path := getattr(group, name)) is not None]
    if not missing or not (asked or given):
        return None
    name, value = (asked or given)[0]
    return Problem(name, value, f"expected {missing} too")
