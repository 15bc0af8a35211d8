"""How the device of a port is to be: its name, external_ids, addresses and routes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import netaddr

from topology.database.port_lookup import HostRoutes, PortDetails
from topology.errors import TopologyError
from topology.model import Subnet


@dataclass(frozen=True)
class Route:
    """A route by the device.

    :param destination: CIDR
    :param gateway: next hop
    :param onlink: the next hop is in no subnet of the device, so that Linux has to be told that it is reached by it
    """

    destination: str
    gateway: str
    onlink: bool = False


@dataclass(frozen=True)
class DevicePlan:
    """A device as it should be.

    :param mtu: bytes
    :param addresses: with prefix lengths
    :param external_ids: of its Interface
    """

    name: str
    mac_address: str
    mtu: int
    addresses: tuple[str, ...]
    routes: tuple[Route, ...]
    external_ids: Mapping[str, str]


def device_name(port_id: str) -> str:
    """The name of a port's device, e.g. ``tap99f91280-a0``: one character less than Linux allows, as Nova names it."""
    return f"tap{port_id[:11]}"


def plan_device(details: PortDetails, *, with_routes: bool) -> DevicePlan:
    """What the device of a port should be like.

    :param with_routes: it has a namespace of its own, so that its routes are nobody else's
    :raises TopologyError: an address is of a subnet that is not there
    """
    port = details.port
    known = {subnet.id: subnet for subnet in details.network.subnets}
    # The topology keeps no order among them, and which gateway is taken must not change from one call to the next.
    fixed_ips = sorted(port.fixed_ips, key=lambda ip: netaddr.IPAddress(ip.ip_address))
    for ip in fixed_ips:
        if ip.subnet_id not in known:
            raise TopologyError(f"port {port.id}: subnet {ip.subnet_id} of {ip.ip_address} is not there")
    subnets = [known[ip.subnet_id] for ip in fixed_ips]
    addresses = [
        netaddr.IPNetwork(f"{ip.ip_address}/{netaddr.IPNetwork(subnet.cidr).prefixlen}")
        for ip, subnet in zip(fixed_ips, subnets, strict=True)
    ]
    external_ids = {"iface-id": port.id, "attached-mac": port.mac_address, "iface-status": "active"}
    if port.device_id:
        external_ids["vm-uuid"] = port.device_id
    routes = _routes(subnets, details.host_routes) if with_routes else {}
    return DevicePlan(
        name=device_name(port.id),
        mac_address=port.mac_address,
        mtu=details.mtu,
        addresses=tuple(map(str, addresses)),
        routes=tuple(
            Route(destination, gateway, onlink=not any(gateway in one for one in addresses))
            for destination, gateway in routes.items()
        ),
        external_ids=external_ids,
    )


def _routes(subnets: Iterable[Subnet], host_routes: Mapping[str, HostRoutes]) -> dict[str, str]:
    """Destination → next hop of each route; of several to one destination the first counts.

    As Neutron's DHCP agent hands them out: a subnet's ``gateway_ip`` goes before a default route among its
    ``host_routes``, and that one counts where there is no gateway (neutron/agent/linux/dhcp.py,
    ``_generate_opts_per_subnet()``).
    """
    chosen: dict[str, str] = {}
    for subnet in subnets:
        if subnet.gateway_ip is not None:
            chosen.setdefault("::/0" if ":" in subnet.gateway_ip else "0.0.0.0/0", subnet.gateway_ip)
        for destination, nexthop in host_routes.get(subnet.id, ()):
            chosen.setdefault(destination, nexthop)
    return chosen
