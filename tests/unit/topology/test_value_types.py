"""Values that are canonical already are seen to be so without a parser: it must say the same."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

from topology import value_types
from topology.model import Subnet

PARTS = st.integers(0, 299).map(str) | st.sampled_from(["00", "01", "٣", ""])
PREFIXES = ["10.1.0.0/16", "0.0.0.0/0", "10.1.2.3/32", "fd00::/64", "::/0", "::a01:0/120"]
ADDRESSES = st.one_of(
    st.ip_addresses().map(str),
    st.from_regex(r"[0-9a-f:.]{1,12}", fullmatch=True),
    st.lists(st.integers(0, 299).map(str) | st.sampled_from(["00", "01", "٣", ""]), min_size=3, max_size=5).map(
        ".".join
    ),
)


def outcome(make: Callable[[], object]) -> object:
    try:
        return make()
    except ValueError:
        return ValueError


@given(ADDRESSES)
@example("10.1")
@example("10.0.0.1\x00")
@example("10.0.0.1 ")
@example("010.0.0.1")
def test_addresses_are_read_as_by_the_standard_library(text: str) -> None:
    assert outcome(lambda: value_types.ip(text)) == outcome(lambda: str(ipaddress.ip_address(text)))
    number = outcome(lambda: value_types.address_number(text))
    assert number == outcome(lambda: ((one := ipaddress.ip_address(text)).version, int(one)))


@given(st.ip_addresses(), st.sampled_from(PREFIXES))
@example(ipaddress.ip_address("10.1.255.255"), "10.1.0.0/16")
@example(ipaddress.ip_address("::a01:0"), "::a01:0/120")
@example(ipaddress.ip_address("10.1.0.0"), "::a01:0/120")
def test_a_subnet_has_the_addresses_of_its_prefix(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, cidr: str
) -> None:
    subnet = Subnet("00000000-0000-4000-8000-000000000001", cidr)
    assert subnet.contains(str(address)) == (address in ipaddress.ip_network(cidr))


@given(st.uuids())
def test_a_uuid_is_what_it_was_in_each_spelling(value: object) -> None:
    text = str(value)
    for spelling in (text, text.upper(), text.replace("-", ""), f"{{{text}}}"):
        assert value_types.uuid(spelling) == text
    for wrong in (f"{text}\n", f" {text}", text[:-1]):
        assert outcome(lambda wrong=wrong: value_types.uuid(wrong)) is ValueError


@given(st.binary(min_size=6, max_size=6))
@example(bytes(6))
@example(b"\1" + bytes(5))
def test_a_mac_address_is_what_it_was_in_each_spelling(octets: bytes) -> None:
    wanted = octets.hex(":") if any(octets) and not octets[0] & 1 else ValueError
    for spelling in (octets.hex(":"), octets.hex(":").upper(), octets.hex("-"), octets.hex()):
        assert outcome(lambda spelling=spelling: value_types.mac(spelling)) == wanted
