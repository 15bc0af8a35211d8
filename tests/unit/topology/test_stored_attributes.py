"""The column ``attributes``: what requests and documents store comes back, and nothing that is none of its kind."""

from __future__ import annotations

import pytest

from topology.model import Subnet
from topology.rules.attributes.attributes import NETWORK, PORT, SUBNET, Resource
from topology.rules.views import decode, encode, subnet_view


@pytest.mark.parametrize(
    ("resource", "name", "text"),
    [
        (SUBNET, "allocation_pools", "5"),
        (SUBNET, "allocation_pools", '[{"start": "10.0.0.2"}]'),
        (SUBNET, "host_routes", '[{"destination": "nowhere", "nexthop": "10.0.0.1"}]'),
        (SUBNET, "enable_dhcp", '"perhaps"'),
        (NETWORK, "mtu", "[]"),
        (NETWORK, "mtu", "{"),
        (NETWORK, "project_id", "7"),
        (NETWORK, "revision_number", '"many"'),
        (NETWORK, "revision_number", "-1"),
        (NETWORK, "created_at", "12"),
        (NETWORK, "tags", '"red"'),
        (PORT, "allowed_address_pairs", "{}"),
        (PORT, "binding:profile", "NaN"),
        (PORT, "binding:profile", '{"a": "\\ud800"}'),
        (PORT, "binding:profile", '{"a": ' + "[" * 900 + "]" * 900 + "}"),
        (SUBNET, "shared", '"\\ud800"'),
        (SUBNET, "ip_version", "7"),
        (NETWORK, "status", '"DOWN"'),
        (PORT, "binding:vif_details", "{}"),
    ],
)
def test_what_is_broken_by_hand_counts_as_absent(resource: Resource, name: str, text: str) -> None:
    """The others of the row stay, and those that a newer version has written too."""
    assert decode(resource, {name: text, "description": '"d"', "newer": "[1]"}) == {"description": "d", "newer": [1]}


def test_a_subnet_whose_pools_are_broken_has_the_default_ones() -> None:
    subnet = Subnet("00000000-0000-4000-8000-000000000001", "10.0.0.0/29", "10.0.0.1")
    view = subnet_view(subnet, subnet.id, decode(SUBNET, {"allocation_pools": "5", "dns_nameservers": "3"}))
    assert view["dns_nameservers"] == []
    assert view["allocation_pools"] == [{"start": "10.0.0.2", "end": "10.0.0.6"}]


def test_defaults_are_not_stored() -> None:
    values = {"description": "", "tags": [], "shared": False, "mtu": 1500, "tenant": None}
    assert encode(NETWORK, values) == {"mtu": "1500", "tenant": "null"}
    assert decode(NETWORK, encode(NETWORK, values)) == {"mtu": 1500, "tenant": None}
