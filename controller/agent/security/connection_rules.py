"""Whether a connection of a network is one that the rules allow, as its tracked tuple has it.

What rules mean is said by :mod:`apps.filtering.rule_meaning`, by which flows are made too. A connection needs the
egress rules of who began it and the ingress rules of whom it is to, as far as these are secured ports of this host; one
of no port of this host is not allowed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from apps.filtering.rule_meaning import Acceptance, Packet, accepted, address_of, is_remote
from apps.framework.host_view import HostView, LocalPort
from controller.vswitch.control.tracked_connections import Connection
from topology.model import prefix_of
from topology.security_groups import Direction, Ethertype, SecurityGroupRule

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
        self._remotes: dict[tuple[str, str], bool] = {}
        """Group and address → whether that is in it."""
        for port_id in view.ports_of(network_id):
            if view.ports[port_id].security is None:
                self._open.update(address for address, _ in view.ports[port_id].addresses)
        for port_id in view.secured_ports_of(network_id):
            port = view.ports[port_id]
            for cidr, _ in port.security.pairs if port.security is not None else ():
                network = prefix_of(cidr)
                if network.num_addresses == 1:
                    self._single.setdefault(str(network.network_address), []).append(port)
                else:
                    self._wide.append((network, port))

    def allows(self, connection: Connection) -> bool:
        """Whether a connection may go on."""
        packet = _packet(connection)
        has_open_end = not self._open.isdisjoint((connection.source, connection.destination))
        return any(
            (sender is not None or receiver is not None or has_open_end)
            and self._accepts(sender, Direction.EGRESS, packet)
            and self._accepts(receiver, Direction.INGRESS, packet)
            for sender in self._ends(connection.source)
            for receiver in self._ends(connection.destination)
        )

    def _ends(self, address: str) -> Iterator[LocalPort | None]:
        """The ports that an address may be of; None: one that is not secured, or on another host."""
        own = self._single.get(address, ())
        yield from own
        if self._wide:
            parsed = address_of(address)
            yield from (port for network, port in self._wide if parsed in network)
        if not own:
            yield None

    def _accepts(self, port: LocalPort | None, direction: Direction, packet: Packet) -> bool:
        if port is None:
            return True
        if port.security is None:
            return False
        return accepted(self._view, port.security, direction, packet, self._is_remote) is not Acceptance.REFUSED

    def _is_remote(self, rule: SecurityGroupRule, address: str) -> bool:
        """Asked once of each address: of a group with many ranges it takes long, and zones have many connections."""
        key = rule.remote_group_id or rule.remote_address_group_id or "", address
        if key not in self._remotes:
            self._remotes[key] = is_remote(self._view, rule, address)
        return self._remotes[key]


def _packet(connection: Connection) -> Packet:
    """That which began a connection.

    Of some protocols Open vSwitch's own datapath does not track ports, and has 0 for both: they are then not known.
    """
    return Packet(
        Ethertype.IPV6 if connection.is_ipv6 else Ethertype.IPV4,
        connection.protocol,
        connection.source,
        connection.destination,
        connection.first or 0,
        connection.second or 0,
        connection.code or 0,
        has_ports=bool(connection.first or connection.second),
    )
