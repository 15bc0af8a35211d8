"""Security groups as frozen values, in the words of the Network API v2.0.

They say what may reach a port and what it may send; how that looks on a switch is the applications' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from topology import value_types


class Direction(str, Enum):
    """``direction`` of a rule, as the guest sees it."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Ethertype(str, Enum):
    """``ethertype`` of a rule."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


@dataclass(frozen=True)
class SecurityGroupRule:
    """Something that a group allows; there are no rules that forbid.

    :param id: UUID
    :param protocol: number of the IP protocol (IANA); None: any
    :param port_range_min: first destination port, or the type of ICMP and ICMPv6; None: any
    :param port_range_max: last destination port, or the code of ICMP and ICMPv6; None: any
    :param remote_ip_prefix: canonical CIDR of the other end; None: anywhere
    :param remote_group_id: the other end is a port of that group
    :param remote_address_group_id: the other end is in that address group; of the three remotes a rule has one at most
    """

    id: str
    direction: Direction
    ethertype: Ethertype
    protocol: int | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    remote_address_group_id: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", Direction(self.direction))
        object.__setattr__(self, "ethertype", Ethertype(self.ethertype))
        if self.protocol is not None and not 0 <= self.protocol <= 255:
            raise ValueError(f"protocol: {self.protocol} is not in 0..255")
        remotes = (self.remote_ip_prefix, self.remote_group_id, self.remote_address_group_id)
        if sum(remote is not None for remote in remotes) > 1:
            raise ValueError("a rule has one of remote_ip_prefix, remote_group_id and remote_address_group_id")
        if self.remote_ip_prefix is not None:
            object.__setattr__(
                self, "remote_ip_prefix", value_types.cidr.named(self.remote_ip_prefix, "remote_ip_prefix")
            )


@dataclass(frozen=True)
class SecurityGroup:
    """Rules that ports have in common.

    :param id: UUID
    :param stateful: what belongs to a connection that was allowed is allowed; else each frame is looked at by itself
    :param rules: sorted by id
    """

    id: str
    name: str = ""
    stateful: bool = True
    rules: tuple[SecurityGroupRule, ...] = ()


@dataclass(frozen=True)
class AddressGroup:
    """Addresses that rules can name together.

    :param addresses: canonical CIDRs, sorted, each once
    """

    id: str
    name: str = ""
    addresses: tuple[str, ...] = ()
