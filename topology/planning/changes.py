"""The difference between two topologies, for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from topology.model import Network, Port, Subnet
from topology.planning.targets import segment_of
from topology.planning.values import Change, Kind

_LABELS = {
    "network_type": "provider:network_type",
    "segmentation_id": "provider:segmentation_id",
    "physical_network": "provider:physical_network",
    "requested_host": "binding:host_id",
}
"""Fields of the model whose attribute of the Network API has another name."""


Kept = Callable[[Kind, str], list[str]]
"""What of an object that was there is another attribute now; see :class:`topology.planning.keeping.Keeper`."""


def network_changes(old: Network | None, new: Network, kept: Kept) -> Iterator[Change]:
    """The network itself, then its subnets: those made or changed in their order, then those deleted."""
    yield from _changed("network", old, new, str(segment_of(new) or "local"), kept, skip="subnets")
    before = {subnet.id: subnet for subnet in old.subnets} if old else {}
    for subnet in new.subnets:
        yield from _changed("subnet", before.get(subnet.id), subnet, f"{subnet.cidr} in {new.name or new.id}", kept)
    stay = {subnet.id for subnet in new.subnets}
    for subnet in before.values():
        if subnet.id not in stay:
            yield Change("delete", "subnet", subnet.id, subnet.name, subnet.cidr)


def port_changes(old: Port | None, new: Port, network: Network, kept: Kept) -> Iterator[Change]:
    """The port.

    :param network: that it is on in the end
    """
    addresses = "".join(f" {fixed_ip.ip_address}" for fixed_ip in new.fixed_ips)
    yield from _changed("port", old, new, f"{new.mac_address}{addresses} on {network.name or network.id}", kept)


def network_deletions(network: Network) -> Iterator[Change]:
    """The network's subnets, then the network."""
    for subnet in network.subnets:
        yield Change("delete", "subnet", subnet.id, subnet.name, subnet.cidr)
    yield Change("delete", "network", network.id, network.name, str(segment_of(network) or "local"))


def port_deletion(port: Port) -> Change:
    """The port."""
    return Change("delete", "port", port.id, port.name, port.mac_address)


def _changed(
    kind: Kind,
    old: Network | Subnet | Port | None,
    new: Network | Subnet | Port,
    summary: str,
    kept: Kept,
    skip: str = "",
) -> Iterator[Change]:
    if old is None:
        yield Change("create", kind, new.id, new.name, summary)
        return
    differing = [
        f"{_LABELS.get(field.name, field.name)} {_text(getattr(old, field.name))} -> {_text(getattr(new, field.name))}"
        for field in dataclasses.fields(new)
        if field.name != skip and getattr(old, field.name) != getattr(new, field.name)
    ]
    differing += kept(kind, new.id)
    if differing:
        yield Change("update", kind, new.id, new.name, ", ".join(differing))


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + " ".join(getattr(item, "ip_address", str(item)) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(getattr(value, "value", value)) if value not in (None, "") else "none"
