"""Group ``[api]`` of the configuration: where the Network API answers, and how it tells who asks."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from controller.config import option_types as kinds
from controller.config.declaration import OptionGroup, Problem, option
from controller.config.tls_options import CERTIFICATE, FILE, FILES
from topology.ovsdb.tls import ANY, TlsFiles

AUTH_STRATEGIES = ("noauth", "token", "keystone")


@dataclass(frozen=True)
class ApiConfig(OptionGroup):
    """What the group has."""

    enabled: bool = option("true", kinds.boolean, "boolean", "`tunbridge run` serves the API too")
    listen_address: str = option(
        "127.0.0.1",
        kinds.ip_address,
        "IP address",
        "IP address at which it answers. Any but this machine's own needs `auth_strategy` other than `noauth` and TLS, "
        "or TLS with `ssl_ca_cert_file`, or `insecure_remote`",
    )
    listen_port: int = option(
        "9696",
        kinds.port_number,
        "port number",
        "TCP port. One that is taken ends the start, before anything was touched",
    )
    insecure_remote: bool = option(
        "false",
        kinds.boolean,
        "boolean",
        "Allow any `listen_address` as it is: with `noauth`, whoever reaches it can change everything; without TLS, "
        "whoever sees the bytes can read tokens and use them",
    )
    auth_strategy: str = option(
        "noauth",
        kinds.one_of(*AUTH_STRATEGIES),
        "choice",
        "How callers are told apart: `noauth` (not at all: everybody is an administrator), `token` (by `token_file`) "
        "or `keystone` (by group `[keystone_authtoken]`). [Who may use it](api.md#who-may-use-it) has what they may do",
    )
    token_file: str | None = option(
        None, FILE, "path", "Tokens and whose they are (YAML, absolute path), for `token`: [tokens](security.md#tokens)"
    )
    ssl_key_file: str | None = option(
        None,
        FILE,
        "path",
        "Private key (PEM, absolute path): the API speaks HTTPS, and no HTTP. Needed with the next",
    )
    ssl_cert_file: str | None = option(None, FILE, "path", CERTIFICATE)
    ssl_ca_cert_file: str | None = option(
        None,
        FILE,
        "path",
        "Certificates of the authorities one of which has to have certified each client. Unset: clients need no "
        "certificate",
    )

    @property
    def tls(self) -> TlsFiles | None:
        """For HTTPS; None: HTTP."""
        if self.ssl_key_file is None or self.ssl_cert_file is None:
            return None
        return TlsFiles("[api]", self.ssl_key_file, self.ssl_cert_file, self.ssl_ca_cert_file, ANY)

    @property
    def only_local(self) -> bool:
        """Nobody but this machine can connect."""
        return ipaddress.ip_address(self.listen_address).is_loopback

    def problem(self) -> Problem | None:
        """Whoever reaches the API unasked may change everything, and whoever reads a token may pose as its owner."""
        given = [(name, path) for name in FILES if (path := getattr(self, name)) is not None]
        if given and self.tls is None:
            missing = ", ".join(name for name in FILES[:2] if getattr(self, name) is None)
            return Problem(*given[0], f"expected {missing} too")
        if self.auth_strategy == "token" and self.token_file is None:
            return Problem("auth_strategy", self.auth_strategy, "expected token_file too")
        if self.only_local or self.insecure_remote:
            return None
        here = "expected an address of this machine alone, such as 127.0.0.1, since"
        if self.auth_strategy == "noauth" and self.ssl_ca_cert_file is None:
            why = "the API asks nobody who they are: auth_strategy or ssl_ca_cert_file has it ask"
        elif self.tls is None:
            why = "tokens could be read on the way: ssl_key_file and ssl_cert_file encrypt them"
        else:
            return None
        otherwise = "insecure_remote = true allows others as it is"
        return Problem("listen_address", self.listen_address, f"{here} {why}; {otherwise}")
