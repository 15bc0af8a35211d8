"""What a port and a network have beside the columns that stand for themselves: pairs, profile, attributes as JSON."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from topology.database.canonical_columns import optional
from topology.model import DESCRIPTIVE, FixedIp
from topology.ovsdb.edit import read
from topology.rules.attributes.attributes import PORT, Resource
from topology.rules.views import decode

PROFILE = "binding:profile"


def in_order(addresses: list[FixedIp]) -> tuple[FixedIp, ...]:
    """By subnet and address."""
    if len(addresses) < 2:
        return tuple(addresses)
    return tuple(sorted(addresses, key=lambda ip: (ip.subnet_id, ip.ip_address)))


def allowed_macs(row: Any, pairs: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """The MAC addresses of allowed address pairs, but for the port's own."""
    return tuple(sorted({pair["mac_address"] for pair in pairs if "mac_address" in pair} - {row.mac_address}))


def allowed_ips(row: Any, pairs: Iterable[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    """IP and MAC address of the pairs that are for one address."""
    ranges = {(ipaddress.ip_network(pair["ip_address"]), pair.get("mac_address", row.mac_address)) for pair in pairs}
    return tuple(sorted((str(cidr[0]), mac) for cidr, mac in ranges if cidr.num_addresses == 1))


def allowed_prefixes(row: Any, pairs: Iterable[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    """CIDR and MAC address of all pairs."""
    own = row.mac_address
    found = {(str(ipaddress.ip_network(pair["ip_address"])), pair.get("mac_address", own)) for pair in pairs}
    return tuple(sorted(found))


def told(row: Any) -> dict[str, str | None]:
    """Of a port, what :func:`topology.model.told_anew` takes."""
    return {**{column: read(row, column) for column in (*DESCRIPTIVE, "status")}, "host": optional(read(row, "host"))}


def migrating_to(row: Any) -> str | None:
    """What Nova says in the profile while it migrates a guest, where that has a host and goes to another one."""
    profile = attribute(row, PORT, PROFILE)
    target = profile.get("migrating_to") if profile else None
    if not isinstance(target, str) or not target:
        return None
    return target if optional(read(row, "requested_host")) not in (None, target) else None


def attribute(row: Any, resource: Resource, name: str) -> Any:
    """One of the attributes that a row has as JSON, None where it is not there.

    :raises ValueError: it is not what it should be
    """
    attributes = read(row, "attributes")
    return decode(resource, {name: attributes[name]}).get(name) if name in attributes else None
