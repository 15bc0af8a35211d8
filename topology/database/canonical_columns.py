"""Columns of rows that may have been written by hand, each in the one spelling and length that it may have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from topology.database.tables import ADDRESS_GROUP, SECURITY_GROUP
from topology.model import FixedIp, Subnet, canonical_tunnel_ip
from topology.ovsdb.edit import read

LONGEST = 1024
"""Characters of a text."""

FREE_TEXTS = {
    "Network": ("name",),
    "Port": ("name", "device_id", "device_owner"),
    "Host": ("name", "version"),
    SECURITY_GROUP: ("name",),
    ADDRESS_GROUP: ("name",),
}
"""Columns of objects that may have any text, but for its length."""


def optional(value: list[str]) -> str | None:
    """The value of a column that holds at most one."""
    return value[0] if value else None


def require_canonical(column: str, written: str, canonical: str) -> None:
    """The indexes of the schema compare text, so each value may have one spelling only.

    :raises ValueError: it has another one
    """
    if written != canonical:
        raise ValueError(f"{column}: {written!r} must be written as {canonical!r}")


def require_short(made: object, columns: Iterable[str]) -> None:
    """No text is longer than the schema allows, of which a server with an older one knows nothing.

    :raises ValueError: one is
    """
    for column in columns:
        length = len(getattr(made, column))
        if length > LONGEST:
            raise ValueError(f"{column}: has {length} characters, and {LONGEST} are the most")


def subnet_of(row: Any) -> Subnet:
    """The subnet of its row.

    :raises ValueError: it breaks a rule
    """
    subnet = Subnet(id=row.id, cidr=row.cidr, gateway_ip=optional(read(row, "gateway_ip")), name=row.name)
    require_canonical("id", row.id, subnet.id)
    require_canonical("cidr", row.cidr, subnet.cidr)
    require_short(subnet, ("name",))
    return subnet


def address_of(row: Any, subnet: Subnet) -> FixedIp:
    """The address of an IpAllocation, in a subnet.

    :raises ValueError: it is none, or has another spelling
    """
    written = read(row, "ip_address")
    address = FixedIp(written, subnet.id)
    require_canonical("ip_address", written, address.ip_address)
    return address


def tunnel_ip_of(row: Any) -> str:
    """The address of a TunnelEndpoint.

    :raises ValueError: it is none, or has another spelling
    """
    address = canonical_tunnel_ip(row.ip_address, "ip_address")
    require_canonical("ip_address", row.ip_address, address)
    return address
