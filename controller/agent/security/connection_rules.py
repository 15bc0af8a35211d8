"""Whether a connection of a network is one that the rules allow, as its tracked tuple has it.

The meaning of rules, on its own: what the flows make of packets is decided by the applications. A connection needs the
egress rules of who began it and the ingress rules of whom it is to, as far as these are secured ports of this host; one
of no port of this host is not allowed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from functools import lru_cache

from apps.framework.host_view import HostView, LocalPort
from controller.vswitch.control.tracked_connections import Connection
from topology.security_groups import Direction, Ethertype, SecurityGroupRule

_ICMP = {1: Ethertype.IPV4, 58: Ethertype.IPV6}

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ConnectionRules:
    """Says of the connections of one network which are allowed.

    :param view: of the host
    :param network_id: of a network in it
    """

    def __init__(self, view: HostView, network_id: str) -> None:
        self._view = view
        self._single: dict[str, list[LocalPort]] = {}
        """Address → the secured ports that have it by itself."""
        self._wide: list[tuple[_Network, LocalPort]] = []
        """Longer ranges of address pairs: what comes from there may as well be of others."""
        self._open: set[str] = set()
        """Addresses of ports here without port security: their connections are asked of the other end alone."""
        self._members: dict[tuple[str, str], bool] = {}
        for port_id in view.ports_of(network_id):
            if view.ports[port_id].security is None:
                self._open.update(address for address, _ in view.ports[port_id].addresses)
        for port_id in view.secured_ports_of(network_id):
            port = view.ports[port_id]
            for cidr, _ in port.security.pairs if port.security is not None else ():
                network = _network(cidr)
                if network.num_addresses == 1:
                    self._single.setdefault(str(network.network_address), []).append(port)
                else:
                    self._wide.append((network, port))

    def allows(self, connection: Connection) -> bool:
        """Whether a connection may go on."""
        has_open_end = not self._open.isdisjoint((connection.source, connection.destination))
        return any(
            (sender is not None or receiver is not None or has_open_end)
            and self._accepts(sender, Direction.EGRESS, connection, connection.destination)
            and self._accepts(receiver, Direction.INGRESS, connection, connection.source)
            for sender in self._ends(connection.source)
            for receiver in self._ends(connection.destination)
        )

    def _ends(self, address: str) -> Iterator[LocalPort | None]:
        """The ports that an address may be of; None: one that is not secured, or on another host."""
        own = self._single.get(address, ())
        yield from own
        if self._wide:
            parsed = _address(address)
            yield from (port for network, port in self._wide if parsed in network)
        if not own:
            yield None

    def _accepts(self, port: LocalPort | None, direction: Direction, connection: Connection, remote: str) -> bool:
        if port is None:
            return True
        return port.security is not None and any(
            rule.direction is direction and self._matches(rule, connection, remote)
            for rule in self._rules(port.security.group_ids)
        )

    def _rules(self, group_ids: Iterable[str]) -> Iterator[SecurityGroupRule]:
        for group_id in group_ids:
            group = self._view.security_groups.get(group_id)
            yield from group.rules if group is not None else ()

    def _matches(self, rule: SecurityGroupRule, connection: Connection, remote: str) -> bool:
        if rule.ethertype is not (Ethertype.IPV6 if connection.is_ipv6 else Ethertype.IPV4):
            return False
        if rule.protocol is not None and not _is_protocol(rule, connection):
            return False
        if not _is_numbered(rule, connection):
            return False
        if rule.remote_ip_prefix is not None:
            return _address(remote) in _network(rule.remote_ip_prefix)
        if rule.remote_group_id is not None:
            return self._is_member(rule.remote_group_id, remote)
        if rule.remote_address_group_id is not None:
            group = self._view.address_groups.get(rule.remote_address_group_id)
            return group is not None and any(_address(remote) in _network(cidr) for cidr in group.addresses)
        return True

    def _is_member(self, group_id: str, address: str) -> bool:
        key = group_id, address
        if key not in self._members:
            parsed = _address(address)
            self._members[key] = key in self._view.group_members or any(
                parsed in _network(member) for _, member in self._view.members_of(group_id) if "/" in member
            )
        return self._members[key]


def _is_protocol(rule: SecurityGroupRule, connection: Connection) -> bool:
    """Rules may write ICMP of IPv6 with the number of IPv4's."""
    if rule.protocol in _ICMP and connection.protocol in _ICMP:
        return _ICMP[connection.protocol] is rule.ethertype
    return rule.protocol == connection.protocol


def _is_numbered(rule: SecurityGroupRule, connection: Connection) -> bool:
    """Whether destination port, or ICMP type and code, are those of a rule.

    Of some protocols Open vSwitch's own datapath does not track ports, and has 0 for both: they are then not known.
    """
    lowest, highest = rule.port_range_min, rule.port_range_max
    if connection.has_type:
        return lowest in (None, connection.second) and highest in (None, connection.code)
    if not connection.first and not connection.second:
        return True
    number = connection.second or 0
    return (lowest is None or number >= lowest) and (highest is None or number <= highest)


@lru_cache(4096)
def _network(cidr: str) -> _Network:
    return ipaddress.ip_network(cidr, strict=False)


@lru_cache(4096)
def _address(text: str) -> _Address:
    return ipaddress.ip_address(text)
