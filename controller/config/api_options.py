"""Group ``[api]`` of the configuration: where the Network API answers, and how it tells who asks."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from oslo_config import cfg

from controller.config import option_types as kinds
from controller.config.tls_options import FILES, tls_file_options
from topology.ovsdb.tls import ANY, TlsFiles

AUTH_STRATEGIES = ("noauth", "token", "keystone")


@dataclass(frozen=True)
class ApiConfig:
    """What the group has."""

    enabled: bool
    listen_address: str
    listen_port: int
    insecure_remote: bool
    auth_strategy: str
    token_file: str | None
    ssl_key_file: str | None
    ssl_cert_file: str | None
    ssl_ca_cert_file: str | None

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

    def problem(self) -> tuple[str, str, str] | None:
        """What does not go together: name and value of an option, and what was expected; None: all does.

        Whoever reaches the API unasked may change everything, and whoever reads a token may pose as its owner.
        """
        given = [(name, path) for name in FILES if (path := getattr(self, name)) is not None]
        if given and self.tls is None:
            missing = ", ".join(name for name in FILES[:2] if getattr(self, name) is None)
            return (*given[0], f"expected {missing} too")
        if self.auth_strategy == "token" and self.token_file is None:
            return "auth_strategy", self.auth_strategy, "expected token_file too"
        if self.only_local or self.insecure_remote:
            return None
        here = "expected an address of this machine alone, such as 127.0.0.1, since"
        if self.auth_strategy == "noauth" and self.ssl_ca_cert_file is None:
            why = "the API asks nobody who they are: auth_strategy or ssl_ca_cert_file has it ask"
        elif self.tls is None:
            why = "tokens could be read on the way: ssl_key_file and ssl_cert_file encrypt them"
        else:
            return None
        return "listen_address", self.listen_address, f"{here} {why}; insecure_remote = true allows others as it is"


def api_options() -> tuple[cfg.Opt, ...]:
    """Its options."""
    return (
        kinds.option("enabled", "true", kinds.boolean, "boolean", "`tunbridge run` serves the Network API too."),
        kinds.option("listen_address", "127.0.0.1", kinds.ip_address, "IP address", "Where the Network API answers."),
        kinds.option("listen_port", "9696", kinds.port_number, "port number", "TCP port of the Network API."),
        kinds.option(
            "insecure_remote", "false", kinds.boolean, "boolean", "Listen where others can change everything."
        ),
        kinds.option(
            "auth_strategy", "noauth", kinds.one_of(*AUTH_STRATEGIES), "choice", "How callers are told apart."
        ),
        kinds.option("token_file", None, kinds.optional(kinds.absolute_path), "path", "Callers and their tokens."),
        *tls_file_options(),
    )
