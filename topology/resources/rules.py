"""What a request makes of the topology: the rules of the Network API, as objects to be written.

Nothing is written here. What a request relies on is in the :class:`ResourceState` that it is given, and whoever writes
has the database refuse the change when that does not hold any more.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from topology.allocation import AllocationPolicy, SegmentPool, allocate_mac
from topology.errors import ConflictError
from topology.model import FixedIp, Network, NetworkType, Port, Subnet
from topology.planning.targets import segment_of
from topology.planning.values import Maker
from topology.resources.addresses import (
    AddressRequest,
    check_gateway,
    check_pools,
    default_gateway,
    default_pools,
    pools_of,
)
from topology.resources.attributes import NETWORK, PORT, SUBNET, UNSET
from topology.resources.errors import BadRequest, InUse, Stale, invalid, not_found
from topology.resources.state import Kept, ResourceState
from topology.resources.taken import Either, Macs, segment_in_use


@dataclass
class Draft:
    """One request on its way: what it has made so far.

    :param now: for ``created_at`` and ``updated_at``
    :param segments: gives segmentation ids; made when the first one is needed, since it looks at all of them
    """

    state: ResourceState
    policy: AllocationPolicy
    maker: Maker
    now: str
    segments: Callable[[], SegmentPool]
    networks: dict[str, tuple[Network, Kept]] = field(default_factory=dict)
    subnets: dict[str, tuple[str, Subnet, Kept]] = field(default_factory=dict)
    ports: dict[str, tuple[Port, Kept]] = field(default_factory=dict)
    _pool: SegmentPool | None = None
    _addresses: dict[str, dict[str, str]] = field(default_factory=dict)

    # -- networks ------------------------------------------------------------------------------------------------------

    def create_network(self, values: Mapping[str, Any]) -> str:
        """A new network; its id.

        :raises ResourceError: it breaks a rule, or no segmentation id is left
        """
        kind = NetworkType(self._or(values, "provider:network_type", self.policy.tenant_network_type.value))
        physical = self._or(values, "provider:physical_network", None)
        number = self._or(values, "provider:segmentation_id", None)
        if number is None and kind.segmentation_range is not None:
            try:
                key = self._segments().allocate(kind, physical)
            except ConflictError as error:
                raise InUse("NoNetworkAvailable", f"Unable to create the network: {error}.") from None
            physical, number = key.physical_network or physical, key.segmentation_id
        try:
            network = Network(
                self.maker.new_id(),
                kind,
                number,
                physical,
                name=values["name"],
                admin_state_up=values["admin_state_up"],
            )
        except ValueError as error:
            attribute, _, reason = str(error).partition(": ")
            raise invalid(attribute, reason) from None
        self._take_segment(network, made=values["provider:segmentation_id"] in (UNSET, None))
        self.networks[network.id] = network, self._new(NETWORK.kept(values))
        return network.id

    def update_network(self, network_id: str, values: Mapping[str, Any], revision: int | None) -> None:
        """Change a network.

        :raises ResourceError: there is none, it is of another revision, or the change breaks a rule
        """
        network = self.state.network(network_id)
        kept = self._changed("network", network_id, NETWORK.kept(values), revision)
        has = {
            "provider:network_type": network.network_type.value,
            "provider:physical_network": network.physical_network,
            "provider:segmentation_id": network.segmentation_id,
        }
        if differing := sorted(name for name, value in has.items() if values.get(name, value) != value):
            raise BadRequest(
                "InvalidInput",
                f"Invalid input for operation: Plugin does not support updating the following provider network "
                f"attributes: {', '.join(differing)}.",
            )
        self.networks[network_id] = replace(network, **_modelled(values, "name", "admin_state_up")), kept

    def delete_network(self, network_id: str, revision: int | None) -> None:
        """A network can go, with its subnets.

        :raises ResourceError: there is none, it is of another revision, or it has ports
        """
        self.state.network(network_id)
        self._check_revision("network", network_id, revision)
        if any(self.state.ports_of(network_id)):
            raise InUse(
                "NetworkInUse",
                f"Unable to complete operation on network {network_id}. There are one or more ports still in use on "
                "the network.",
            )

    def _take_segment(self, network: Network, *, made: bool) -> None:
        """Refuse a segment that another network has."""
        key = segment_of(network)
        if key is None or (made and key.segmentation_id):
            return
        if not self._segments().free(key):
            raise InUse(*segment_in_use(key))
        self._segments().take(key)

    def _segments(self) -> SegmentPool:
        if self._pool is None:
            self._pool = self.segments()
        return self._pool

    # -- subnets -------------------------------------------------------------------------------------------------------

    def create_subnet(self, values: Mapping[str, Any]) -> str:
        """A new subnet; its id.

        :raises ResourceError: it breaks a rule
        """
        network = self._network(values["network_id"])
        cidr = values["cidr"]
        prefix = ipaddress.ip_network(cidr)
        if prefix.version != values["ip_version"]:
            raise invalid("cidr", f"{cidr} is not a CIDR of IP version {values['ip_version']}")
        if prefix.version == 4 and (values["ipv6_ra_mode"] or values["ipv6_address_mode"]):
            raise invalid("ipv6_address_mode", "ipv6_ra_mode and ipv6_address_mode are for IPv6 subnets")
        if values["ipv6_address_mode"] in ("slaac", "dhcpv6-stateless") and prefix.prefixlen != 64:
            raise invalid("cidr", f"addresses are made from MAC addresses in a /64 only, and {cidr} is none")
        for other in network.subnets:
            if ipaddress.ip_network(other.cidr).overlaps(prefix):
                raise BadRequest(
                    "InvalidInput",
                    f"Invalid input for operation: Requested subnet with cidr: {cidr} for network: {network.id} "
                    f"overlaps with another subnet {other.id} ({other.cidr}).",
                )
        gateway = self._or(values, "gateway_ip", default_gateway(cidr))
        if gateway is not None:
            check_gateway(cidr, gateway)
        pools = self._or(values, "allocation_pools", default_pools(cidr, gateway))
        check_pools(cidr, gateway, pools)
        self._check_versions(prefix.version, values)
        subnet = Subnet(self.maker.new_id(), cidr, gateway, name=values["name"])
        self.subnets[subnet.id] = network.id, subnet, self._new({**SUBNET.kept(values), "allocation_pools": pools})
        self._with_subnets(network, [*network.subnets, subnet])
        return subnet.id

    def update_subnet(self, subnet_id: str, values: Mapping[str, Any], revision: int | None) -> None:
        """Change a subnet.

        :raises ResourceError: there is none, it is of another revision, or the change breaks a rule
        """
        network, subnet = self._subnet(subnet_id)
        gateway = values.get("gateway_ip", subnet.gateway_ip)
        pools = values.get("allocation_pools", pools_of(subnet, self.state.kept("subnet", subnet_id)))
        if gateway is not None:
            check_gateway(subnet.cidr, gateway)
        if {"gateway_ip", "allocation_pools"} & values.keys():
            check_pools(subnet.cidr, gateway, pools)
        owner = self.state.taken(subnet_id).get(subnet.gateway_ip or "")
        if gateway != subnet.gateway_ip and owner is not None:
            raise InUse(
                "GatewayIpInUse",
                f"Current gateway ip {subnet.gateway_ip} already in use by port {owner}. Unable to update.",
            )
        self._check_versions(ipaddress.ip_network(subnet.cidr).version, values)
        kept = self._changed("subnet", subnet_id, {**SUBNET.kept(values), "allocation_pools": pools}, revision)
        changed = replace(subnet, gateway_ip=gateway, **_modelled(values, "name"))
        self.subnets[subnet_id] = network.id, changed, kept

    def delete_subnet(self, subnet_id: str, revision: int | None) -> None:
        """A subnet can go.

        :raises ResourceError: there is none, it is of another revision, or ports have addresses of it
        """
        self._subnet(subnet_id)
        self._check_revision("subnet", subnet_id, revision)
        if self.state.taken(subnet_id):
            raise InUse(
                "SubnetInUse",
                f"Unable to complete operation on subnet {subnet_id}: One or more ports have an IP allocation from "
                "this subnet.",
            )

    def _check_versions(self, version: int, values: Mapping[str, Any]) -> None:
        for address in values.get("dns_nameservers") or ():
            if ipaddress.ip_address(address).version != version:
                raise invalid(
                    "dns_nameservers", f"dns_nameserver '{address}' does not match the ip_version '{version}'"
                )
        for route in values.get("host_routes") or ():
            versions = {
                ipaddress.ip_network(route["destination"]).version,
                ipaddress.ip_address(route["nexthop"]).version,
            }
            if versions != {version}:
                raise invalid("host_routes", f"host_route '{route}' does not match the ip_version '{version}'")

    def _subnet(self, subnet_id: str) -> tuple[Network, Subnet]:
        network = self.state.networks.get(self.state.network_of.get(subnet_id, ""))
        if network is None:
            raise not_found("subnet", subnet_id)
        return network, next(subnet for subnet in network.subnets if subnet.id == subnet_id)

    def _with_subnets(self, network: Network, subnets: list[Subnet]) -> None:
        kept = self.networks[network.id][1] if network.id in self.networks else self.state.kept("network", network.id)
        self.networks[network.id] = replace(network, subnets=tuple(sorted(subnets, key=lambda one: one.id))), kept

    # -- ports ---------------------------------------------------------------------------------------------------------

    def create_port(self, values: Mapping[str, Any]) -> str:
        """A new port; its id.

        :raises ResourceError: it breaks a rule, or no address is left
        """
        network = self._network(values["network_id"])
        mac = self._mac(network, values["mac_address"])
        security = self._or(
            values,
            "port_security_enabled",
            self.state.kept("network", network.id).get("port_security_enabled", True),
        )
        port_id = self.maker.new_id()
        request = self._request(network, mac, values["device_owner"], port_id)
        subnets = self.state.pooled(network)
        if values["fixed_ips"] is UNSET:
            fixed_ips = request.allocate(subnets)
        else:
            fixed_ips = request.give(subnets, values["fixed_ips"])
        port = Port(
            port_id,
            network.id,
            mac,
            fixed_ips,
            values["name"],
            values["device_id"],
            values["device_owner"],
            values["admin_state_up"],
            values["binding:host_id"] or None,
        )
        self._hold(port)
        self.ports[port_id] = port, self._new({**PORT.kept(values), "port_security_enabled": security})
        return port_id

    def update_port(self, port_id: str, values: Mapping[str, Any], revision: int | None) -> None:
        """Change a port.

        :raises ResourceError: there is none, it is of another revision, or the change breaks a rule
        """
        port = self.state.port(port_id)
        kept = self._changed("port", port_id, PORT.kept(values), revision)
        network = self.state.network(port.network_id)
        mac = port.mac_address
        if values.get("mac_address", mac) != mac:
            mac = self._mac(network, values["mac_address"])
        owner = values.get("device_owner", port.device_owner)
        fixed_ips = port.fixed_ips
        if "fixed_ips" in values:
            subnets = self.state.pooled(network)
            fixed_ips = self._request(network, mac, owner, port_id).give(subnets, _settled(values["fixed_ips"], port))
        self.ports[port_id] = (
            replace(
                port,
                mac_address=mac,
                fixed_ips=fixed_ips,
                requested_host=values.get("binding:host_id", port.requested_host) or None,
                **_modelled(values, "name", "device_id", "device_owner", "admin_state_up"),
            ),
            kept,
        )

    def delete_port(self, port_id: str, revision: int | None) -> None:
        """A port can go.

        :raises ResourceError: there is none, or it is of another revision
        """
        self.state.port(port_id)
        self._check_revision("port", port_id, revision)

    def _mac(self, network: Network, wanted: Any) -> str:
        drafted = {port.mac_address for port, _ in self.ports.values() if port.network_id == network.id}
        if wanted is UNSET:
            taken = Macs(self.state, network.id, drafted)
            try:
                return allocate_mac(self.policy, self.maker.random_bits, taken)
            except ConflictError:
                raise InUse(
                    "MacAddressGenerationFailure", f"Unable to generate unique mac on network {network.id}."
                ) from None
        if wanted in drafted or (network.id, wanted) in self.state.macs:
            raise InUse(
                "MacAddressInUse",
                f"Unable to complete operation for network {network.id}. The mac address {wanted} is in use.",
            )
        return str(wanted)

    def _request(self, network: Network, mac: str, owner: str, port_id: str) -> AddressRequest:
        def taken(subnet_id: str) -> Container[str]:
            others = {ip: one for ip, one in self._addresses.get(subnet_id, {}).items() if one != port_id}
            used = self.state.taken(subnet_id)
            if port_id in self.state.ports:
                used = {ip: one for ip, one in used.items() if one != port_id}
            return Either(used, others) if others else used

        return AddressRequest(network.id, mac, owner, taken)

    def _hold(self, port: Port) -> None:
        for fixed_ip in port.fixed_ips:
            self._addresses.setdefault(fixed_ip.subnet_id, {})[fixed_ip.ip_address] = port.id

    # -- all of them ---------------------------------------------------------------------------------------------------

    def _network(self, network_id: str) -> Network:
        if network_id in self.networks:
            return self.networks[network_id][0]
        return self.state.network(network_id)

    def _or(self, values: Mapping[str, Any], name: str, default: Any) -> Any:
        return default if values[name] is UNSET else values[name]

    def _new(self, kept: Mapping[str, Any]) -> Kept:
        return {**kept, "created_at": self.now, "updated_at": self.now, "revision_number": 1}

    def _changed(self, kind: str, object_id: str, values: Mapping[str, Any], revision: int | None) -> Kept:
        self._check_revision(kind, object_id, revision)
        before = self.state.kept(kind, object_id)
        return {
            **before,
            **values,
            "updated_at": self.now,
            "revision_number": before.get("revision_number", 0) + 1,
        }

    def _check_revision(self, kind: str, object_id: str, revision: int | None) -> None:
        current = self.state.view(kind, object_id)["revision_number"]
        if revision is not None and revision != current:
            raise Stale(
                "RevisionNumberConstraintFailed", f"Constrained to {revision}, but current revision is {current}"
            )

    def change_tags(self, kind: str, object_id: str, change: Callable[[frozenset[str]], set[str]]) -> None:
        """Give an object other tags.

        :raises ResourceError: there is no such object, or it would have too many
        """
        view = self.state.view(kind, object_id)
        tags = sorted(change(frozenset(view["tags"])))
        kept = self._changed(kind, object_id, {"tags": tags}, None)
        if kind == "network":
            self.networks[object_id] = self.state.networks[object_id], kept
        elif kind == "subnet":
            network, subnet = self._subnet(object_id)
            self.subnets[object_id] = network.id, subnet, kept
        else:
            self.ports[object_id] = self.state.ports[object_id], kept


def _modelled(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _settled(wanted: list[dict[str, str]], port: Port) -> list[dict[str, str]]:
    """A subnet alone means the address that the port has there already, as far as it has one that is not named."""
    named = {item["ip_address"] for item in wanted if "ip_address" in item}
    left: list[FixedIp] = [one for one in port.fixed_ips if one.ip_address not in named]
    settled = []
    for item in wanted:
        match = next((one for one in left if "ip_address" not in item and one.subnet_id == item["subnet_id"]), None)
        if match is not None:
            left.remove(match)
            item = {**item, "ip_address": match.ip_address}
        settled.append(item)
    return settled
