"""What a value of the configuration file may be: text in, checked value out, each as a pure function.

The parsers raise :class:`ValueError` with a text that says what is expected, so that one place
(:mod:`controller.config.option_reader`) can add the file, the group, the option and the value. Syntax is that of
``openvswitch_agent.ini`` and of OVSDB connection methods (ovsdb(7)).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import urlsplit

import netaddr
from oslo_config import types

from controller.config.text_types import UNIX_PATH_MAX, text_of_form
from topology.model import VLAN_MAX, VLAN_MIN, NetworkType, canonical_ip, canonical_mac
from topology.rules.allocation.segment_allocation import Range

INTERFACE_NAME_MAX = 15
"""Characters of a Linux network device (IFNAMSIZ without its NUL), and so of a bridge and its local port."""

Value = TypeVar("Value")

_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*(?![0-9]+\.?$){_LABEL}\.?", re.IGNORECASE)
"""A name of a host in DNS or in a hosts file (RFC 1123 §2.1); what ends in a number is meant to be an address."""

_TUNNEL_TYPES = tuple(kind.value for kind in NetworkType if kind.is_tunnel)
_TUNNEL_IDS = (1, 2**32 - 1)


def boolean(value: str) -> bool:
    """``true``/``false`` and the other spellings of oslo.config."""
    try:
        return bool(types.Boolean()(value))
    except ValueError:
        raise ValueError("expected true or false") from None


def whole(minimum: int, maximum: int, expected: str) -> Callable[[str], int]:
    """A whole number between two limits, both included, with as many digits as the greater one at most."""
    form = rf"-?[0-9]{{1,{len(str(maximum))}}}"

    def parse(value: str) -> int:
        if not re.fullmatch(form, value) or not minimum <= int(value) <= maximum:
            raise ValueError(f"expected {expected}")
        return int(value)

    return parse


port_number = whole(1, 65535, "a port number from 1 to 65535")
"""A TCP or UDP port."""

whole_number = whole(-(10**10), 2**31 - 1, "a whole number, -1 for any number")
"""A number of things; below 0 stands for any number of them."""

mtu = whole(68, 65535, "a number of bytes from 68 to 65535")
"""Bytes of an IP packet: from what IPv4 needs (RFC 791) to what its header can say."""


def seconds(minimum: float, maximum: float, *, or_never: bool = False) -> Callable[[str], float]:
    """A duration between two limits, both included.

    :param or_never: 0 is a value too, for never
    """
    expected = f"expected a number of seconds from {minimum:g} to {maximum:g}{', or 0 for never' if or_never else ''}"

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (minimum <= number <= maximum or (or_never and value.strip() == "0")):
            raise ValueError(expected)
        return number

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """One of a few words."""
    return text_of_form("|".join(map(re.escape, choices)), f"one of {', '.join(choices)}")


host_name = text_of_form(r"\S{1,255}", "a host name of 1 to 255 characters without white space")
"""The name under which a host is known: any text without white space, as in Neutron."""

interface_name = text_of_form(
    rf"[^\s/:,]{{1,{INTERFACE_NAME_MAX}}}",
    f"a name of 1 to {INTERFACE_NAME_MAX} characters without white space, '/', ':' and ','",
)
"""A bridge or port, as Open vSwitch can name it."""

peer_name = text_of_form(r"\*|[^\s*,]{1,253}", "one name as in a certificate, or * for any")
"""A DNS name, an IP address or a common name, as a certificate has it; ``*``: any."""


_FIREWALL_DRIVERS = {
    "openvswitch": "openvswitch",
    "iptables": "openvswitch",
    "iptables_hybrid": "openvswitch",
    "noop": "noop",
    "neutron.agent.firewall.NoopFirewallDriver": "noop",
}
"""Name in a file of Neutron → what it stands for here."""


def firewall_driver(value: str) -> str:
    """``openvswitch`` or ``noop``; other drivers of Neutron filter as well, so that they stand for the first."""
    if value not in _FIREWALL_DRIVERS:
        raise ValueError("expected one of openvswitch, noop")
    return _FIREWALL_DRIVERS[value]


def optional(parse: Callable[[str], Value]) -> Callable[[str], Value | None]:
    """An option that is unset when it is left empty."""
    return lambda value: parse(value) if value else None


def ip_address(value: str) -> str:
    """An IPv4 or IPv6 address of a host, in its canonical form."""
    try:
        address = netaddr.IPAddress(canonical_ip(value, ""))
    except ValueError:
        raise ValueError("expected an IP address") from None
    if address.is_multicast() or address == netaddr.IPAddress("255.255.255.255"):
        raise ValueError("expected an IP address of a host, not a group of them")
    return str(address)


def tunnel_endpoint(value: str) -> str:
    """An address that peers can send to."""
    address = ip_address(value)
    if int(netaddr.IPAddress(address)) == 0:
        raise ValueError("expected an IP address that other hosts can send to")
    return address


def url(value: str) -> str:
    """Where something is posted."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or "#" in value or not all("!" <= letter <= "~" for letter in value):
        raise ValueError("expected http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH without a user's name")
    return value


def connection_method(value: str) -> str:
    """One active OVSDB connection method, as ovsdb(7) writes them, with an address."""
    kind, _, rest = value.partition(":")
    if kind == "unix":
        if not rest.startswith("/") or not rest.isprintable() or len(rest.encode()) > UNIX_PATH_MAX:
            raise ValueError(f"expected unix: and an absolute path of at most {UNIX_PATH_MAX} bytes")
        return value
    if kind in ("tcp", "ssl"):
        return _address_and_port(kind, rest)
    raise ValueError("expected unix:/PATH, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT")


def _address_and_port(kind: str, rest: str) -> str:
    host, _, port = rest.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
        number = port_number(port)
        if bracketed != (":" in address):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"expected {kind}:ADDRESS:PORT with an IP address (IPv6 in brackets) and a port from 1 to 65535"
        ) from None
    return f"{kind}:[{address}]:{number}" if bracketed else f"{kind}:{address}:{number}"


def _server_method(value: str) -> str:
    """The same, or with a host name in the place of the address."""
    kind, _, rest = value.partition(":")
    name, _, port = rest.rpartition(":")
    if kind in ("tcp", "ssl") and _HOST_NAME.fullmatch(name):
        return f"{kind}:{name.lower()}:{port_number(port)}"
    return connection_method(value)


def connection(value: str) -> str | None:
    """The servers of a topology database, comma-separated; None when there are none."""
    return ",".join(_server_method(item) for item in _items(value)) or None


def listen(value: str) -> tuple[str, ...]:
    """Addresses at which the topology database can be reached from other hosts."""
    methods = tuple(connection_method(item) for item in _items(value))
    if any(method.startswith("unix:") for method in methods):
        raise ValueError("expected tcp:ADDRESS:PORT or ssl:ADDRESS:PORT; the unix socket is always there")
    return _each_once(methods, "address")


def cluster_address(value: str) -> str:
    """Where the other members of a cluster reach one: no socket of a file, and no address that stands for all."""
    method = connection_method(value)
    if method.startswith("unix:"):
        raise ValueError("expected tcp:ADDRESS:PORT or ssl:ADDRESS:PORT")
    tunnel_endpoint(method.partition(":")[2].rpartition(":")[0].strip("[]"))
    return method


def tunnel_types(value: str) -> tuple[str, ...]:
    """Encapsulations, preferred first; empty: no tunnels."""
    kinds = tuple(_items(value))
    for kind in kinds:
        if kind not in _TUNNEL_TYPES:
            raise ValueError(f"expected a list of {', '.join(_TUNNEL_TYPES)}, not {kind!r}")
    return _each_once(kinds, "tunnel type")


def bridge_mappings(value: str) -> Mapping[str, str]:
    """``physical_network:bridge`` pairs, each network and each bridge once."""
    mappings: dict[str, str] = {}
    for item in _items(value):
        network, _, bridge = (part.strip() for part in item.partition(":"))
        if not network or not bridge:
            raise ValueError(f"expected PHYSICAL_NETWORK:BRIDGE pairs, such as physnet1:br-ex, not {item!r}")
        try:
            interface_name(bridge)
        except ValueError as error:
            raise ValueError(f"bridge {bridge!r}: {error}") from None
        if network in mappings:
            raise ValueError(f"expected each physical network once, {network!r} is there twice")
        if bridge in mappings.values():
            raise ValueError(f"expected each bridge once, {bridge!r} is there twice")
        mappings[network] = bridge
    return MappingProxyType(mappings)


def tunnel_id_ranges(value: str) -> tuple[Range, ...]:
    """``MIN:MAX`` pairs of tunnel ids, both included (GRE keys have 32 bits, RFC 2890)."""
    return tuple(_range(item, _TUNNEL_IDS) for item in _items(value))


def network_vlan_ranges(value: str) -> Mapping[str, tuple[Range, ...]]:
    """``PHYSICAL_NETWORK[:MIN:MAX]`` entries; a network without a range allows no VLAN to be allocated."""
    ranges: dict[str, tuple[Range, ...]] = {}
    for item in _items(value):
        network, colon, span = (part.strip() for part in item.partition(":"))
        if not network:
            raise ValueError(f"expected PHYSICAL_NETWORK or PHYSICAL_NETWORK:MIN:MAX, not {item!r}")
        known = ranges.get(network, ())
        ranges[network] = (*known, _range(span, (VLAN_MIN, VLAN_MAX))) if colon else known
    return MappingProxyType(ranges)


def physical_network_mtus(value: str) -> Mapping[str, int]:
    """``PHYSICAL_NETWORK:MTU`` entries."""
    found: dict[str, int] = {}
    for item in _items(value):
        network, _, size = (part.strip() for part in item.partition(":"))
        if not network or network in found:
            raise ValueError(f"expected PHYSICAL_NETWORK:BYTES, each physical network once, not {item!r}")
        found[network] = mtu(size)
    return MappingProxyType(found)


def base_mac(value: str) -> str:
    """The address whose first octets every made MAC address begins with."""
    try:
        if not _MAC.fullmatch(value):
            raise ValueError
        return canonical_mac(value)
    except ValueError:
        raise ValueError("expected a unicast MAC address, such as fa:16:3e:00:00:00") from None


def modules(value: str) -> tuple[str, ...]:
    """Names of Python modules, each once."""
    names = tuple(_items(value))
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"expected names of Python modules, such as my_package.my_module, not {name!r}")
    return _each_once(names, "module")


def entry_points(value: str) -> tuple[str, ...]:
    """Names of entry points of packages, each once."""
    names = tuple(_items(value))
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise ValueError(f"expected names of entry points, such as port_mirror, not {name!r}")
    return _each_once(names, "entry point")


def _items(value: str) -> list[str]:
    """Comma-separated items; a list may go over several lines, and end in a comma."""
    return [item.strip() for item in value.split(",") if item.strip()]


def _each_once(items: tuple[str, ...], what: str) -> tuple[str, ...]:
    if len(set(items)) < len(items):
        raise ValueError(f"expected each {what} once")
    return items


def _range(text: str, limits: Range) -> Range:
    low, high = limits
    numbers = [part.strip() for part in text.split(":")]
    if len(numbers) != 2 or not all(re.fullmatch(r"[0-9]{1,10}", number) for number in numbers):
        raise ValueError(f"expected MIN:MAX, such as {low}:1000, not {text!r}")
    minimum, maximum = (int(number) for number in numbers)
    if not (low <= minimum and maximum <= high):
        raise ValueError(f"expected ids from {low} to {high}, not {text!r}")
    if minimum > maximum:
        raise ValueError(f"expected MIN:MAX with MIN not above MAX, not {text!r}")
    return minimum, maximum
