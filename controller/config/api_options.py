"""Groups ``[api]``, ``[metrics]``, ``[notifications]`` and ``[quotas]``: the Network API's processes."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from controller.config import option_types as kinds
from controller.config.declaration import OptionGroup, Problem, option
from controller.config.http_limits import HttpLimits
from controller.config.tls_options import CERTIFICATE, FILE, incomplete
from topology.ovsdb.tls import ANY, TlsFiles

NONE, TOTALS, PORTS = "none", "totals", "ports"
"""Values of ``[metrics] traffic``."""

AUTH_STRATEGIES = ("noauth", "token", "keystone")


@dataclass(frozen=True)
class ApiConfig(HttpLimits):
    """Group ``[api]``: where the Network API answers, and how it tells who asks."""

    about: ClassVar[str] = "The [Network API](api.md), of `tunbridge run` and `tunbridge api`."

    enabled: bool = option("true", kinds.boolean, "`tunbridge run` serves the API too")
    listen_address: str = option(
        "127.0.0.1",
        kinds.ip_address,
        "IP address at which it answers. Any but this machine's own needs `auth_strategy` other than `noauth` and TLS, "
        "or TLS with `ssl_ca_cert_file`, or `insecure_remote`",
    )
    listen_port: int = option(
        "9696", kinds.port_number, "TCP port. One that is taken ends the start, before anything was touched"
    )
    page: bool = option(
        "false",
        kinds.boolean,
        "Serve the page [for operators](page.md) too, below `/page/`, and what it asks the controller of this host: "
        "state, flows, traces",
    )
    insecure_remote: bool = option(
        "false",
        kinds.boolean,
        "Allow any `listen_address` as it is: with `noauth`, whoever reaches it can change everything; without TLS, "
        "whoever sees the bytes can read tokens and use them",
    )
    auth_strategy: str = option(
        "noauth",
        kinds.one_of(*AUTH_STRATEGIES),
        "How callers are told apart: `noauth` (not at all: everybody is an administrator), `token` (by `token_file`) "
        "or `keystone` (by group `[keystone_authtoken]`). [Who may use it](api.md#who-may-use-it) has what they may do",
    )
    token_file: str | None = option(
        None,
        FILE,
        "Tokens and whose they are (YAML, absolute path), for `token`: [tokens](security.md#tokens)",
        form="path",
    )
    ssl_key_file: str | None = option(
        None,
        FILE,
        "Private key (PEM, absolute path): the API speaks HTTPS, and no HTTP. Needed with the next",
        form="path",
    )
    ssl_cert_file: str | None = option(None, FILE, CERTIFICATE, form="path")
    ssl_ca_cert_file: str | None = option(
        None,
        FILE,
        "Certificates of the authorities one of which has to have certified each client. Unset: clients need no "
        "certificate",
        form="path",
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
        if problem := incomplete(self, ("ssl_key_file", "ssl_cert_file")):
            return problem
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


@dataclass(frozen=True)
class MetricsConfig(OptionGroup):
    """Group ``[metrics]``."""

    about: ClassVar[str] = (
        "Where [metrics](metrics.md) are read beside the Network API: of `tunbridge run`, `tunbridge controller`, "
        "`tunbridge api`, `tunbridge topology serve` and `tunbridge topology relay`."
    )

    listen_address: str = option(
        "127.0.0.1", kinds.ip_address, "IP address; who can connect may read, so name another in a trusted network only"
    )
    listen_port: int | None = option(
        None,
        kinds.optional(kinds.port_number),
        "TCP port. Unset: metrics are at the Network API only",
        form="port number",
    )
    traffic: str = option(
        TOTALS,
        kinds.one_of(NONE, TOTALS, PORTS),
        "What is told of [frames and drops](metrics.md#frames-and-drops) of a host: its `totals`, those of its "
        "`ports` too, or `none`",
    )
    traffic_ports: int = option(
        "1000",
        kinds.whole(1, 100_000, "a number of ports from 1 to 100000"),
        "With `traffic = ports`: of how many ports at most, the first by their ids; each has four series, and more for "
        "what was lost",
    )

    @property
    def ports_told(self) -> int:
        """Ports of which frames and drops are told by themselves."""
        return self.traffic_ports if self.traffic == PORTS else 0


@dataclass(frozen=True)
class NotificationsConfig(OptionGroup):
    """Group ``[notifications]``; times are in seconds."""

    about: ClassVar[str] = (
        "Who is told that ports of servers were plugged, unplugged and deleted: [events](api.md#events). Set it alike "
        "for all API processes of one topology."
    )

    url: str | None = option(
        None,
        kinds.optional(kinds.url),
        "`http://` or `https://` and what follows, where events are posted, such as "
        "`https://nova.example.org/v2.1/os-server-external-events`; unset: nowhere",
        form="URL",
    )
    token_file: str | None = option(
        None,
        FILE,
        "File of the token that is shown there (`X-Auth-Token`), which nobody but its owner and group may "
        "have access to",
        form="path",
    )
    ca_cert_file: str | None = option(
        None,
        FILE,
        "Certificates of the authorities that certify it (PEM); unset: those that the system trusts",
        form="path",
    )
    timeout: float = option("10", kinds.seconds(0.1, 300), "Seconds that a request may take, from 0.1 to 300")


_NEUTRON = {
    "network": 100,
    "subnet": 100,
    "port": 500,
    "security_group": 10,
    "security_group_rule": 100,
    "rbac_policy": 10,
}
"""What a project may have in Neutron."""

_LIMIT = kinds.optional(kinds.whole_number)


@dataclass(frozen=True)
class QuotasConfig(OptionGroup):
    """Group ``[quotas]``, named as in Neutron; below 0: any number."""

    about: ClassVar[str] = (
        "How much a project may have that has no [limits of its own](api.md#quotas). Any number below 0 stands for no "
        "limit. Set it alike for all API processes of one topology."
    )

    default_quota: int | None = option(
        None,
        _LIMIT,
        "Number of objects of each kind below that is unset. Unset: as in Neutron, 100 networks, 100 subnets, 500 "
        "ports, 10 security groups, 100 rules of these and 10 RBAC policies, where `[api] auth_strategy` tells callers "
        "apart, and any number with `noauth`",
        form="number",
    )
    quota_network: int | None = option(None, _LIMIT, "Number of networks", form="number")
    quota_subnet: int | None = option(None, _LIMIT, "Number of subnets", form="number")
    quota_port: int | None = option(None, _LIMIT, "Number of ports", form="number")
    quota_security_group: int | None = option(None, _LIMIT, "Number of security groups", form="number")
    quota_security_group_rule: int | None = option(None, _LIMIT, "Number of rules of security groups", form="number")
    quota_rbac_policy: int | None = option(None, _LIMIT, "Number of RBAC policies", form="number")

    def limits(self, auth_strategy: str) -> Mapping[str, int]:
        """Kind of object → how many of them.

        :param auth_strategy: of group ``[api]``
        """
        defaults = dict.fromkeys(_NEUTRON, -1) if auth_strategy == "noauth" else _NEUTRON
        return {
            kind: next(
                limit for limit in (getattr(self, f"quota_{kind}"), self.default_quota, default) if limit is not None
            )
            for kind, default in defaults.items()
        }
