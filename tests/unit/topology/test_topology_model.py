"""The model's own rules about addresses."""

from __future__ import annotations

import pytest

from topology import value_types
from topology.model import Subnet, canonical_ip, canonical_mac, canonical_uuid

ID = "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ("10.1.1.0/24", "10.1.1.0/24"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.1.1.7/32", "10.1.1.7/32"),
        ("10.1.1.0/255.255.255.0", "10.1.1.0/24"),
        ("2001:DB8::/64", "2001:db8::/64"),
    ],
)
def test_subnets_have_one_spelling(value: str, canonical: str) -> None:
    assert value_types.cidr.named(value, "cidr") == canonical


@pytest.mark.parametrize(
    "value", ["10.1.1.0", "10.1.1.1/24", "10.1/16", "", "/", "x/8", "10.0.0.0/33", "fe80::%1/64", 5]
)
def test_what_is_no_subnet_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"^cidr: .* is not a CIDR such as "):
        value_types.cidr.named(value, "cidr")


@pytest.mark.parametrize("value", ["10.1.1", "010.1.1.1", "10.1.1.1 ", "fe80::1%eth0", "", 5, None, b"\0\0\0\0"])
def test_what_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"^ip: .* is not an IP address"):
        canonical_ip(value, "ip")


@pytest.mark.parametrize("value", ["fa:16:3e", "fa:16:3e:00:00", "fa:16-3e:00:00:01", "fa:16:3e:00:00:0g", "", 5, None])
def test_what_is_no_mac_address_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"^mac_address: .* is not a MAC address"):
        canonical_mac(value)


def test_other_identities_have_one_spelling() -> None:
    assert canonical_ip("FE80:0::1", "ip") == "fe80::1"
    assert canonical_mac("FA-16-3E-00-00-01") == canonical_mac("fa163e000001") == "fa:16:3e:00:00:01"
    assert canonical_uuid(ID.replace("-", ""), "id") == ID


def test_a_subnet_knows_its_addresses() -> None:
    subnet = Subnet(ID, "10.1.1.0/24", gateway_ip="10.1.1.1")
    assert subnet.contains("10.1.1.255")
    assert not subnet.contains("10.1.2.0")
    assert not subnet.contains("::a01:101")
