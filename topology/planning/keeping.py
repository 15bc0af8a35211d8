"""The attributes on which no flow depends, of the objects that a document names: kept, given, made and stamped. Pure.

What results is what the same change would by requests to the Network API.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from topology.errors import DocumentError
from topology.model import Network, Port, Subnet
from topology.planning.values import Attributes, Key, Kind
from topology.rules import stamps
from topology.rules.allocation.address_allocation import (
    check_address,
    check_gateway,
    check_pools,
    default_pools,
    is_automatic,
)
from topology.rules.attributes.attributes import RESOURCES, SUBNET
from topology.rules.attributes.subnet_checks import check_modes, check_versions
from topology.rules.request_errors import ResourceError
from topology.rules.views import decode, encode


class Keeper:
    """The attributes of the objects that one document names.

    :param stored: of each object that is there
    :param now: for ``created_at`` and ``updated_at``
    """

    def __init__(self, stored: Mapping[Key, Attributes], now: str) -> None:
        self._stored = stored
        self._now = now
        self._made = {kind: encode(resource, stamps.made(now)) for kind, resource in RESOURCES.items()}
        self._decoded: dict[Key, Mapping[str, Any]] = {}
        self.written: dict[Key, Attributes] = {}
        """Of the objects that are made or changed."""

    def _final(self, kind: Kind, object_id: str) -> Mapping[str, Any]:
        """What is kept of a network or subnet in the end: for its ports, which come after all of these."""
        key = kind, object_id
        if key not in self._decoded:
            self._decoded[key] = decode(RESOURCES[kind], self.written.get(key) or self._stored.get(key, {}))
        return self._decoded[key]

    def network(self, old: Network | None, new: Network, given: Mapping[str, Any], *, differs: bool) -> bool:
        """A network that the document names.

        :param given: what the document says
        :param differs: it is to be written anyhow
        :returns: whether it is to be written
        """
        return self._keep("network", new.id, given, made=old is None, differs=differs)

    def subnet(self, path: str, old: Subnet | None, new: Subnet, given: Mapping[str, Any]) -> bool:
        """A subnet that the document names; its pools follow its gateway unless somebody has given it others.

        :returns: whether it is to be written
        :raises DocumentError: its values do not go together
        """
        if old == new and not given:
            return False
        kept = decode(SUBNET, self._stored.get(("subnet", new.id), {}))
        default = default_pools(new.cidr, new.gateway_ip)
        values = {**kept, **given}
        if old is None:
            values.setdefault("allocation_pools", default)
            given = {**given, "allocation_pools": values["allocation_pools"]}
        elif "allocation_pools" not in given and "allocation_pools" in kept and _follows(kept, old, new):
            given = {**given, "allocation_pools": default}
            values["allocation_pools"] = default
        try:
            check_modes(new.cidr, values)
            check_versions(new.cidr, values)
            moved = old is None or (old.cidr, old.gateway_ip) != (new.cidr, new.gateway_ip)
            if moved and new.gateway_ip is not None:
                check_gateway(new.cidr, new.gateway_ip)
            if (moved or "allocation_pools" in given) and "allocation_pools" in values:
                check_pools(new.cidr, new.gateway_ip, values["allocation_pools"])
        except ResourceError as error:
            raise DocumentError(path, str(error)) from None
        return self._keep("subnet", new.id, given, made=old is None, differs=old != new)

    def port(self, path: str, old: Port | None, new: Port, network: Network, given: Mapping[str, Any]) -> bool:
        """A port that the document names; a new one has the ``port_security_enabled`` of its network.

        :param network: that it is on
        :returns: whether it is to be written
        :raises DocumentError: it cannot have an address that it did not have
        """
        if old is None:
            security = self._final("network", network.id).get("port_security_enabled", True)
            given = {"port_security_enabled": security, **given}
        if old is None or (old.fixed_ips, old.mac_address) != (new.fixed_ips, new.mac_address):
            self._check_addresses(path, () if old is None else old.fixed_ips, new, network)
        return self._keep("port", new.id, given, made=old is None, differs=old != new)

    def _check_addresses(self, path: str, had: tuple[Any, ...], port: Port, network: Network) -> None:
        subnets = {subnet.id: subnet for subnet in network.subnets}
        for fixed_ip in port.fixed_ips:
            subnet = subnets.get(fixed_ip.subnet_id)
            if fixed_ip in had or subnet is None or not subnet.contains(fixed_ip.ip_address):
                continue
            automatic = is_automatic(self._final("subnet", subnet.id))
            try:
                check_address(subnet, fixed_ip.ip_address, port.mac_address, port.device_owner, automatic=automatic)
            except ResourceError as error:
                raise DocumentError(f"{path}.fixed_ips", str(error)) from None

    def _keep(self, kind: Kind, object_id: str, given: Mapping[str, Any], *, made: bool, differs: bool) -> bool:
        resource = RESOURCES[kind]
        if made:
            self.written[kind, object_id] = encode(resource, given) | self._made[kind]
            return True
        if not given and not differs:
            return False
        before = self._stored.get((kind, object_id), {})
        after = {name: text for name, text in before.items() if name not in given} | encode(resource, given)
        if not differs and after == before:
            return False
        revision = decode(resource, {name: before[name] for name in ("revision_number",) if name in before})
        self.written[kind, object_id] = after | encode(resource, stamps.changed(revision, self._now))
        return True

    def changes(self, kind: Kind, object_id: str) -> list[str]:
        """What of an object that was there is another attribute now, for people."""
        after = self.written.get((kind, object_id))
        if after is None:
            return []
        before = self._stored.get((kind, object_id), {})
        names = sorted((before.keys() | after.keys()) - set(stamps.NAMES))
        return [
            f"{name} {_shown(before.get(name))} -> {_shown(after.get(name))}"
            for name in names
            if before.get(name) != after.get(name)
        ]


def _follows(kept: Mapping[str, Any], old: Subnet, new: Subnet) -> bool:
    """Pools that nobody has chosen, or that lie outside the subnet now, are all that the gateway leaves."""
    if (old.cidr, old.gateway_ip) == (new.cidr, new.gateway_ip):
        return False
    pools = kept["allocation_pools"]
    chosen = pools != default_pools(old.cidr, old.gateway_ip)
    return not chosen or not all(new.contains(pool[end]) for pool in pools for end in ("start", "end"))


def _shown(text: str | None) -> str:
    """Of an attribute that is not stored the default holds, which differs from kind to kind."""
    if text is None:
        return "default"
    value = json.loads(text)
    return value if isinstance(value, str) and value else text
