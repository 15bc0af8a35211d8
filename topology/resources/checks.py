"""What a value of an attribute may be: JSON value in, canonical value out.

A check raises :class:`ValueError` with the reason. The rules are those of the API reference; where it takes more than
one spelling (``"True"``, ``"24"``), so do these.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from typing import Any

from topology.model import canonical_cidr, canonical_ip, canonical_mac, canonical_uuid

Check = Callable[[Any], Any]

_MAX_SHOWN = 100
_MAX_ITEMS = 200
_MAX_PROFILE = 4095  # characters, as in Neutron


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def text(maximum: int) -> Check:
    """Text of at most so many characters that can be printed."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"{_shown(value)} is not a valid string")
        if len(value) > maximum:
            raise ValueError(f"{_shown(value)} exceeds maximum length of {maximum}")
        if not value.isprintable():
            raise ValueError(f"{_shown(value)} has characters that cannot be printed")
        return value

    return check


def boolean(value: Any) -> bool:
    """``true``, ``false``, and the spellings ``"True"``, ``"false"``, 0, 1, ``"0"``, ``"1"``."""
    if isinstance(value, bool):
        return value
    if (isinstance(value, int) and value in (0, 1)) or (isinstance(value, str) and value in ("0", "1")):
        return bool(int(value))
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError(f"{_shown(value)} is not a valid boolean value")


def integer(minimum: int, maximum: int) -> Check:
    """A whole number between two limits, both included; also as text."""

    def check(value: Any) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{_shown(value)} is not an integer")
        if not minimum <= value <= maximum:
            raise ValueError(f"{value} is not in valid range {minimum} to {maximum}")
        return value

    return check


def one_of(*values: Any) -> Check:
    """One of a few values."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value.isdigit() and isinstance(values[0], int):
            value = int(value) if len(value) < 10 else value
        if isinstance(value, (dict, list, bool)) or value not in values:
            raise ValueError(f"{_shown(value)} is not in {list(values)}")
        return value

    return check


def optional(check: Check) -> Check:
    """What ``check`` takes, or null."""
    return lambda value: None if value is None else check(value)


def uuid(value: Any) -> str:
    """A UUID."""
    return _modelled(canonical_uuid, value)


def mac(value: Any) -> str:
    """A unicast MAC address."""
    return _modelled(canonical_mac, value)


def ip(value: Any) -> str:
    """An IPv4 or IPv6 address."""
    return _modelled(canonical_ip, value)


def cidr(value: Any) -> str:
    """A subnet such as ``10.1.1.0/24``."""
    return _modelled(canonical_cidr, value)


def _modelled(check: Callable[[str, str], str], value: Any) -> str:
    try:
        return check(value, "")
    except ValueError as error:
        raise ValueError(str(error).removeprefix(": ")) from None


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{_shown(value)} is not a list")
    if len(value) > _MAX_ITEMS:
        raise ValueError(f"exceeds maximum length of {_MAX_ITEMS} items")
    return value


def _fields(value: Any, required: set[str], possible: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{_shown(value)} is not a dictionary")
    if missing := sorted(required - value.keys()):
        raise ValueError(f"{_shown(value)} lacks the key {missing[0]!r}")
    if unknown := sorted(value.keys() - possible):
        raise ValueError(f"{_shown(value)} has the unknown key {unknown[0]!r}")
    return value


def nameservers(value: Any) -> list[str]:
    """IP addresses in their order, each once."""
    found = [ip(item) for item in _items(value)]
    if len(set(found)) != len(found):
        raise ValueError("has the same address twice")
    return found


def host_routes(value: Any) -> list[dict[str, str]]:
    """``[{"destination": CIDR, "nexthop": IP}, …]``, each once."""
    found = []
    for item in _items(value):
        _fields(item, {"destination", "nexthop"}, {"destination", "nexthop"})
        route = {"destination": cidr(item["destination"]), "nexthop": ip(item["nexthop"])}
        if route in found:
            raise ValueError(f"has {_shown(route)} twice")
        found.append(route)
    return found


def pools(value: Any) -> list[dict[str, str]]:
    """``[{"start": IP, "end": IP}, …]``; whether they fit the subnet is seen later."""
    found = []
    for item in _items(value):
        _fields(item, {"start", "end"}, {"start", "end"})
        found.append({"start": ip(item["start"]), "end": ip(item["end"])})
    return found


def fixed_ips(value: Any) -> list[dict[str, str]]:
    """``[{"subnet_id": …, "ip_address": …}, …]``, either of which may be left out."""
    found: list[dict[str, str]] = []
    for item in _items(value):
        _fields(item, set(), {"subnet_id", "ip_address"})
        wanted = {}
        if item.get("subnet_id") is not None:
            wanted["subnet_id"] = uuid(item["subnet_id"])
        if item.get("ip_address") is not None:
            wanted["ip_address"] = ip(item["ip_address"])
        if not wanted:
            raise ValueError(f"{_shown(item)} has neither subnet_id nor ip_address")
        if "ip_address" in wanted and any(wanted["ip_address"] == other.get("ip_address") for other in found):
            raise ValueError(f"has {wanted['ip_address']} twice")
        found.append(wanted)
    return found


def address_pairs(value: Any) -> list[dict[str, str]]:
    """``[{"ip_address": IP or CIDR, "mac_address": MAC or left out}, …]``, each once."""
    found = []
    for item in _items(value):
        _fields(item, {"ip_address"}, {"ip_address", "mac_address"})
        address = item["ip_address"]
        try:
            network = ipaddress.ip_network(address if isinstance(address, str) and "%" not in address else "", False)
        except ValueError:
            raise ValueError(f"{_shown(address)} is not an IP address or CIDR") from None
        pair = {"ip_address": str(network) if "/" in address else ip(address)}
        if item.get("mac_address") is not None:
            pair["mac_address"] = mac(item["mac_address"])
        if pair in found:
            raise ValueError(f"has {_shown(pair)} twice")
        found.append(pair)
    return found


def profile(value: Any) -> dict[str, Any]:
    """A dictionary, or null for an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{_shown(value)} is not a dictionary")
    if len(json.dumps(value)) > _MAX_PROFILE:
        raise ValueError(f"exceeds maximum length of {_MAX_PROFILE} characters")
    return value


def tags(value: Any) -> list[str]:
    """At most 50 texts of 1 to 255 characters without a comma, each once, sorted."""
    found = {tag(item) for item in _items(value)}
    if len(found) > _MAX_TAGS:
        raise ValueError(f"exceeds maximum length of {_MAX_TAGS} tags")
    return sorted(found)


_MAX_TAGS = 50


def tag(value: Any) -> str:
    """A text of 1 to 255 characters without a comma, which parts tags in a query."""
    found: str = text(255)(value)
    if not found or "," in found or "/" in found:
        raise ValueError(f"{_shown(value)} is not a valid tag: 1 to 255 characters without ',' and '/'")
    return found
