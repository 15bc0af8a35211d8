"""What a value of an attribute may be: JSON value in, canonical value out.

A check raises :class:`ValueError` with the reason, and says the same beforehand as a JSON schema. The rules are those
of the API reference; where it takes more than one spelling (``"True"``, ``"24"``), so do these.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from topology.model import UUID_PATTERN, canonical_cidr, canonical_ip, canonical_mac, canonical_uuid

T = TypeVar("T", covariant=True)

Schema = Mapping[str, Any]
"""A JSON schema (draft 2020-12, as in OpenAPI 3.1)."""

_MAX_SHOWN = 100
_MAX_ITEMS = 200
_MAX_TAGS = 50
_MAX_PROFILE = 4095  # characters, as in Neutron


@dataclass(frozen=True)
class Check(Generic[T]):
    """What a value may be.

    :param read: JSON value in, canonical value out; raises :class:`ValueError` with the reason
    :param shown: schema of canonical values
    :param taken: schema of what is taken, other spellings too; whatever it does not allow is refused
    """

    read: Callable[[Any], T]
    shown: Schema
    taken: Schema

    def __call__(self, value: Any) -> T:
        return self.read(value)


def _check(shown: Schema, taken: Schema | None = None) -> Callable[[Callable[[Any], T]], Check[T]]:
    return lambda read: Check(read, shown, shown if taken is None else taken)


def nullable(schema: Schema) -> Schema:
    """A schema that allows null too."""
    return {"anyOf": [schema, {"type": "null"}]}


def _record(required: Mapping[str, Schema], others: Mapping[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(others or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, "maxItems": _MAX_ITEMS, **more}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"


def text(maximum: int) -> Check[str]:
    """Text of at most so many characters that can be printed."""

    @_check({"type": "string", "maxLength": maximum, "pattern": _PRINTABLE})
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"{_shown(value)} is not a valid string")
        if len(value) > maximum:
            raise ValueError(f"{_shown(value)} exceeds maximum length of {maximum}")
        if not value.isprintable():
            raise ValueError(f"{_shown(value)} has characters that cannot be printed")
        return value

    return check


@_check(
    {"type": "boolean"},
    {
        "anyOf": [
            {"type": "boolean"},
            {"enum": [0, 1]},
            {"type": "string", "pattern": "^(0|1|[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$"},
        ]
    },
)
def boolean(value: Any) -> bool:
    """``true``, ``false``, and the spellings ``"True"``, ``"false"``, 0, 1, ``"0"``, ``"1"``."""
    if isinstance(value, bool):
        return value
    if (isinstance(value, (int, float)) and value in (0, 1)) or (isinstance(value, str) and value in ("0", "1")):
        return bool(int(value))
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError(f"{_shown(value)} is not a valid boolean value")


def integer(minimum: int, maximum: int) -> Check[int]:
    """A whole number between two limits, both included; also as text."""

    number = {"type": "integer", "minimum": minimum, "maximum": maximum}

    @_check(number, {"anyOf": [number, {"type": "string", "pattern": "^[0-9]{1,20}$"}]})
    def check(value: Any) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON knows no other numbers, and its schema calls 24.0 an integer
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{_shown(value)} is not an integer")
        if not minimum <= value <= maximum:
            raise ValueError(f"{value} is not in valid range {minimum} to {maximum}")
        return value

    return check


def one_of(*values: str | int) -> Check[str | int]:
    """One of a few texts or numbers; numbers also as text."""
    spelled = {spelling: value for value in values for spelling in (value, str(value))}

    @_check({"enum": list(values)}, {"enum": list(spelled)})
    def check(value: Any) -> str | int:
        if isinstance(value, (dict, list, bool)) or value not in spelled:
            raise ValueError(f"{_shown(value)} is not in {list(values)}")
        return spelled[value]

    return check


def optional(check: Check[T]) -> Check[T | None]:
    """What ``check`` takes, or null."""
    return Check(
        lambda value: None if value is None else check.read(value), nullable(check.shown), nullable(check.taken)
    )


@_check({"type": "string", "format": "uuid"}, {"type": "string", "pattern": f"^{UUID_PATTERN}$"})
def uuid(value: Any) -> str:
    """A UUID."""
    return _modelled(canonical_uuid, value)


_PAIR = "[0-9A-Fa-f]{2}"
_FIRST = "[0-9A-Fa-f][02468ACEace]"  # of a unicast address


@_check(
    {"type": "string", "pattern": "^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$"},
    {"type": "string", "pattern": f"^{_FIRST}(({_PAIR}){{5}}|(:{_PAIR}){{5}}|(-{_PAIR}){{5}})$"},
)
def mac(value: Any) -> str:
    """A unicast MAC address."""
    return _modelled(canonical_mac, value)


@_check({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]})
def ip(value: Any) -> str:
    """An IPv4 or IPv6 address."""
    return _modelled(canonical_ip, value)


@_check(
    {"type": "string", "format": "cidr", "pattern": "^[0-9a-f:.]+/[0-9]{1,3}$"},
    {"type": "string", "format": "cidr", "pattern": "^[0-9A-Fa-f:.]+/[0-9A-Fa-f:.]+$"},
)
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


_NAMESERVERS = _list(ip.shown, uniqueItems=True)


@_check(_NAMESERVERS, nullable(_NAMESERVERS))
def nameservers(value: Any) -> list[str]:
    """IP addresses in their order, each once."""
    found = [ip(item) for item in _items(value)]
    if len(set(found)) != len(found):
        raise ValueError("has the same address twice")
    return found


@_check(
    _list(_record({"destination": cidr.shown, "nexthop": ip.shown}), uniqueItems=True),
    nullable(_list(_record({"destination": cidr.taken, "nexthop": ip.taken}), uniqueItems=True)),
)
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


_POOLS = _list(_record({"start": ip.shown, "end": ip.shown}))


@_check(_POOLS, nullable(_POOLS))
def pools(value: Any) -> list[dict[str, str]]:
    """``[{"start": IP, "end": IP}, …]``; whether they fit the subnet is seen later."""
    found = []
    for item in _items(value):
        _fields(item, {"start", "end"}, {"start", "end"})
        found.append({"start": ip(item["start"]), "end": ip(item["end"])})
    return found


@_check(
    _list(_record({"subnet_id": uuid.shown, "ip_address": ip.shown})),
    nullable(
        _list(
            {
                **_record({}, {"subnet_id": nullable(uuid.taken), "ip_address": nullable(ip.taken)}),
                "minProperties": 1,
            }
        )
    ),
)
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


@_check(
    _list(_record({"ip_address": {"anyOf": [ip.shown, cidr.shown]}, "mac_address": mac.shown})),
    nullable(_list(_record({"ip_address": {"anyOf": [ip.taken, cidr.taken]}}, {"mac_address": nullable(mac.taken)}))),
)
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


@_check({"type": "object"}, nullable({"type": "object"}))
def profile(value: Any) -> dict[str, Any]:
    """A dictionary, or null for an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{_shown(value)} is not a dictionary")
    try:
        length = len(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise ValueError("has a value that JSON has no form for") from None
    if length > _MAX_PROFILE:
        raise ValueError(f"exceeds maximum length of {_MAX_PROFILE} characters")
    return value


@_check({"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^\x00-\x1f\x7f-\x9f,/]+$"})
def tag(value: Any) -> str:
    """A text of 1 to 255 characters without a comma, which parts tags in a query."""
    found = text(255)(value)
    if not found or "," in found or "/" in found:
        raise ValueError(f"{_shown(value)} is not a valid tag: 1 to 255 characters without ',' and '/'")
    return found


@_check(
    {"type": "array", "items": tag.shown, "maxItems": _MAX_TAGS, "uniqueItems": True},
    nullable(_list(tag.taken)),
)
def tags(value: Any) -> list[str]:
    """At most 50 texts of 1 to 255 characters without a comma, each once, sorted."""
    found = {tag.read(item) for item in _items(value)}
    if len(found) > _MAX_TAGS:
        raise ValueError(f"exceeds maximum length of {_MAX_TAGS} tags")
    return sorted(found)
