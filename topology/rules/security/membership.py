"""Which addresses a port has as a member of its groups."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from topology.model import Port


def member_addresses(port: Port, pairs: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """Addresses and CIDRs, canonical and sorted; none where it is not secured.

    :param pairs: its ``allowed_address_pairs``; one that is everybody's address is nobody's
    """
    if not port.port_security_enabled:
        return ()
    found = {fixed_ip.ip_address for fixed_ip in port.fixed_ips}
    for pair in pairs:
        network = ipaddress.ip_network(pair["ip_address"])
        if network.prefixlen:
            found.add(str(network[0]) if network.num_addresses == 1 else str(network))
    return tuple(sorted(found))
