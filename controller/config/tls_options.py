"""The options of TLS, which groups ``[ovs]`` and ``[topology]`` both have; named as Neutron names those of OVSDB."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oslo_config import cfg

from controller.config import option_types as kinds
from topology.ovsdb.tls import TlsFiles

FILES = ("ssl_key_file", "ssl_cert_file", "ssl_ca_cert_file")


@dataclass(frozen=True)
class TlsConfig:
    """What a group with these options has."""

    ssl_key_file: str | None
    ssl_cert_file: str | None
    ssl_ca_cert_file: str | None
    ssl_peer_name: str | None

    def tls_files(self, group: str) -> TlsFiles | None:
        """None: no TLS."""
        if self.ssl_key_file is None or self.ssl_cert_file is None or self.ssl_ca_cert_file is None:
            return None
        return TlsFiles(group, self.ssl_key_file, self.ssl_cert_file, self.ssl_ca_cert_file, self.ssl_peer_name)

    def incomplete(self, uses: Iterable[tuple[str, str | None]]) -> tuple[str, str, str] | None:
        """What is missing: whoever asks for TLS must have all files, and half a set is a mistake whatever it was for.

        :param uses: options that may ask for TLS, and their values
        :returns: name and value of the option that asks, and what is missing; None when all is there
        """
        files = [(name, getattr(self, name)) for name in FILES]
        missing = ", ".join(name for name, path in files if path is None)
        asked = [(name, value) for name, value in uses if value is not None and (value == "ssl" or "ssl:" in value)]
        given = [(name, path) for name, path in files if path is not None]
        if not missing or not (asked or given):
            return None
        name, value = (asked or given)[0]
        return name, value, f"expected {missing} too"


def tls_file_options() -> tuple[cfg.Opt, ...]:
    """The options of a group whose peers are not told apart by name."""
    path = kinds.Checked(kinds.optional(kinds.absolute_path), "path")
    return (
        cfg.Opt("ssl_key_file", path, help="Private key (PEM)."),
        cfg.Opt("ssl_cert_file", path, help="Certificate of that key (PEM)."),
        cfg.Opt("ssl_ca_cert_file", path, help="Certificates of the authorities that certify peers (PEM)."),
    )


def tls_options(*, peer_name: str | None) -> tuple[cfg.Opt, ...]:
    """The options of one group.

    :param peer_name: default of ``ssl_peer_name``
    """
    name = kinds.Checked(kinds.optional(kinds.peer_name), "name")
    return (
        *tls_file_options(),
        cfg.Opt("ssl_peer_name", name, default=peer_name, help="Name that a peer's certificate must have; *: any."),
    )
