"""The types of values that a topology is made of, each defined once: check, JSON schema and text of the error.

Requests, documents, rows and the objects of the model all go by them: JSON value in, canonical value out. A type raises
:class:`ValueError` with the reason, and says the same beforehand as a JSON schema. The rules are those of the API
reference; where it accepts more than one spelling (``"True"``, ``"24"``), so do these.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

T = TypeVar("T", covariant=True)

Schema = Mapping[str, Any]
"""A JSON schema (draft 2020-12, as in OpenAPI 3.1)."""

_MAX_SHOWN = 100
_MAX_ITEMS = 200
_MAX_TAGS = 50
_MAX_PROFILE = 4095  # characters, as in Neutron
_MAX_LEVELS = 16  # of a profile, which so goes into a document too


@dataclass(frozen=True)
class ValueType(Generic[T]):
    """What a value may be.

    :param read: JSON value in, canonical value out; raises :class:`ValueError` with the reason
    :param shown: schema of canonical values
    :param accepted: schema of what is accepted, other spellings too; whatever it does not allow is refused
    """

    read: Callable[[Any], T]
    shown: Schema
    accepted: Schema

    def __call__(self, value: Any) -> T:
        return self.read(value)

    def named(self, value: Any, attribute: str) -> T:
        """The same with errors that begin with the attribute: ``mac_address: 'x' is not a MAC address``.

        :raises ValueError: the value is none of this type
        """
        try:
            return self.read(value)
        except ValueError as error:
            raise ValueError(f"{attribute}: {error}") from None


def _type(shown: Schema, accepted: Schema | None = None) -> Callable[[Callable[[Any], T]], ValueType[T]]:
    return lambda read: ValueType(read, shown, shown if accepted is None else accepted)


def nullable(schema: Schema) -> Schema:
    """A schema that allows null too."""
    return {"anyOf": [schema, {"type": "null"}]}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"


def text(maximum: int) -> ValueType[str]:
    """Text of at most so many characters that can be printed."""

    @_type({"type": "string", "maxLength": maximum, "pattern": _PRINTABLE})
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"{_shown(value)} is not a valid string")
        if len(value) > maximum:
            raise ValueError(f"{_shown(value)} exceeds maximum length of {maximum}")
        if not value.isprintable():
            raise ValueError(f"{_shown(value)} has characters that cannot be printed")
        return value

    return check


@_type(
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


def integer(minimum: int, maximum: int) -> ValueType[int]:
    """A whole number between two limits, both included; also as text."""

    number = {"type": "integer", "minimum": minimum, "maximum": maximum}

    @_type(number, {"anyOf": [number, {"type": "string", "pattern": "^[0-9]{1,20}$"}]})
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


def one_of(*values: str | int) -> ValueType[str | int]:
    """One of a few texts or numbers; numbers also as text."""
    spelled = {spelling: value for value in values for spelling in (value, str(value))}

    @_type({"enum": list(values)}, {"enum": list(spelled)})
    def check(value: Any) -> str | int:
        if isinstance(value, (dict, list, bool)) or value not in spelled:
            raise ValueError(f"{_shown(value)} is not in {list(values)}")
        return spelled[value]

    return check


def optional(check: ValueType[T]) -> ValueType[T | None]:
    """What ``check`` accepts, or null."""
    return ValueType(
        lambda value: None if value is None else check.read(value), nullable(check.shown), nullable(check.accepted)
    )


_UUID = r"\{?[0-9A-Fa-f]{8}-?([0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}\}?"
_IS_UUID = re.compile(_UUID)
_IS_CANONICAL_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""As nearly all are, so that this alone is looked at."""


@_type({"type": "string", "format": "uuid"}, {"type": "string", "pattern": f"^{_UUID}$"})
def uuid(value: Any) -> str:
    """A UUID; canonical: in lower case, with hyphens."""
    if isinstance(value, str) and _IS_CANONICAL_UUID.fullmatch(value):
        return value
    # Not uuid.UUID's parser alone: it reads blanks and underscores as digits.
    if not isinstance(value, str) or not _IS_UUID.fullmatch(value):
        raise ValueError(f"{value!r} is not a UUID")
    digits = value.strip("{}").replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


_PAIR = "[0-9A-Fa-f]{2}"
_FIRST = "[0-9A-Fa-f][02468ACEace]"  # of a unicast address
_IS_MAC = re.compile(rf"{_PAIR}(?P<separator>[:-]?){_PAIR}((?P=separator){_PAIR}){{4}}")
_IS_CANONICAL_MAC = re.compile("(?!00(:00){5})[0-9a-f][02468ace](:[0-9a-f]{2}){5}")


@_type(
    {"type": "string", "pattern": "^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$"},
    {"type": "string", "pattern": f"^{_FIRST}(({_PAIR}){{5}}|(:{_PAIR}){{5}}|(-{_PAIR}){{5}})$"},
)
def mac(value: Any) -> str:
    """A unicast MAC address that a port can have; canonical: ``fa:16:3e:00:00:01``."""
    if isinstance(value, str) and _IS_CANONICAL_MAC.fullmatch(value):
        return value
    # Not netaddr's parser: it reads fa:16:3e as 00:fa:00:16:00:3e.
    if not isinstance(value, str) or not _IS_MAC.fullmatch(value):
        raise ValueError(f"{value!r} is not a MAC address")
    octets = bytes.fromhex(value.replace(":", "").replace("-", ""))
    canonical = octets.hex(":")
    if not any(octets):
        raise ValueError(f"{canonical} is not the address of a port")
    if octets[0] & 1:
        raise ValueError(f"{canonical} is a multicast address, a port needs a unicast one")
    return canonical


def _is_canonical_ipv4(text: str) -> bool:
    """As nearly all addresses are, so that they need no parser."""
    return len(text) <= _LONGEST_IPV4 and _is_read_as_written(text)


_LONGEST_IPV4 = len("255.255.255.255")


@lru_cache(maxsize=256)  # each is asked for three times in a row
def _is_read_as_written(text: str) -> bool:
    try:
        return socket.inet_ntoa(socket.inet_aton(text)) == text  # the C library reads 10.1 and 012 too
    except (OSError, ValueError):
        return False


@_type({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]})
def ip(value: Any) -> str:
    """An IPv4 or IPv6 address, without a zone."""
    if isinstance(value, str) and _is_canonical_ipv4(value):
        return value
    try:
        if isinstance(value, str) and "%" not in value:
            return str(ipaddress.ip_address(value))
    except ValueError:
        pass
    raise ValueError(f"{value!r} is not an IP address")


def address_number(address: str) -> tuple[int, int]:
    """IP version and number of an address.

    :raises ValueError: it is none
    """
    if _is_canonical_ipv4(address):
        return 4, int.from_bytes(socket.inet_aton(address), "big")
    found = ipaddress.ip_address(address)
    return found.version, int(found)


@_type(ip.shown)
def tunnel_ip(value: Any) -> str:
    """The address of a tunnel's end: one that a host can have, so not 0.0.0.0, ::, multicast or broadcast."""
    canonical = ip(value)
    address = ipaddress.ip_address(canonical)
    if address.is_unspecified or address.is_multicast or canonical == "255.255.255.255":
        raise ValueError(f"{canonical} is not the address of a host")
    return canonical


@_type(
    {"type": "string", "format": "cidr", "pattern": "^[0-9a-f:.]+/[0-9]{1,3}$"},
    {"type": "string", "format": "cidr", "pattern": "^[0-9A-Fa-f:.]+/[0-9A-Fa-f:.]+$"},
)
def cidr(value: Any) -> str:
    """A subnet such as ``10.1.1.0/24``, without host bits."""
    example = "10.1.1.0/24"
    try:
        interface = ipaddress.ip_interface(value)
        example = str(interface.network)
        if "/" in value and "%" not in value and interface.ip == interface.network.network_address:
            return example
    except (ValueError, TypeError):
        pass
    raise ValueError(f"{value!r} is not a CIDR such as {example}")


@_type(cidr.shown, cidr.accepted)
def cidr_of(value: Any) -> str:
    """The same, also named by another address in it (``10.1.1.7/24``), as requests may."""
    if isinstance(value, str) and "/" in value and "%" not in value:
        with contextlib.suppress(ValueError):
            value = str(ipaddress.ip_interface(value).network)
    return cidr.read(value)


NAME = text(255)
"""A name, a description, a project: as long as in the Network API."""

physical_network = text(64)

segmentation_id = integer(1, 2**32 - 1)
"""The widest of the encapsulations; what each can carry is :attr:`topology.model.NetworkType.segmentation_range`."""


def _list_of(item: ValueType[T], twice: Callable[[T], str] | None = None, **more: Any) -> ValueType[list[T]]:
    """At most 200 of such; null for none.

    :param twice: what is wrong when it has one twice; None: nothing is
    :param more: what else the schema says
    """

    def schema(items: Schema) -> Schema:
        return {"type": "array", "items": items, "maxItems": _MAX_ITEMS, **more}

    @_type(schema(item.shown), nullable(schema(item.accepted)))
    def check(value: Any) -> list[T]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise ValueError(f"{_shown(value)} is not a list")
        if len(value) > _MAX_ITEMS:
            raise ValueError(f"exceeds maximum length of {_MAX_ITEMS} items")
        found = [item.read(one) for one in value]
        for at, one in enumerate(found):
            if twice is not None and one in found[:at]:
                raise ValueError(twice(one))
        return found

    return check


def _record(fields: Mapping[str, ValueType[str]], optional: Collection[str] = (), **more: Any) -> ValueType[Any]:
    """A dictionary of these keys; those that are optional may be left out or null, and are shown all the same.

    :param more: what else the schema says of what is accepted
    """
    shown = {key: one.shown for key, one in fields.items()}
    accepted = {key: nullable(one.accepted) if key in optional else one.accepted for key, one in fields.items()}
    required = [key for key in fields if key not in optional]
    exact = {"type": "object", "additionalProperties": False}

    @_type(
        {**exact, "properties": shown, "required": list(fields)},
        {**exact, "properties": accepted, "required": required, **more},
    )
    def check(value: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise ValueError(f"{_shown(value)} is not a dictionary")
        if missing := sorted(set(required) - value.keys()):
            raise ValueError(f"{_shown(value)} lacks the key {missing[0]!r}")
        if unknown := sorted(value.keys() - fields.keys()):
            raise ValueError(f"{_shown(value)} has the unknown key {unknown[0]!r}")
        return {
            key: one.read(value[key]) for key, one in fields.items() if key in required or value.get(key) is not None
        }

    return check


def _is_twice(one: object) -> str:
    return f"has {_shown(one)} twice"


nameservers = _list_of(ip, lambda _address: "has the same address twice", uniqueItems=True)
"""IP addresses in their order."""

host_routes = _list_of(_record({"destination": cidr, "nexthop": ip}), _is_twice, uniqueItems=True)
"""``[{"destination": CIDR, "nexthop": IP}, …]``."""

uuids = _list_of(uuid, lambda one: f"has {one} twice")
"""UUIDs, each once."""

prefixes = _list_of(cidr_of)
"""CIDRs, also named by another address in them."""


def _keywords(*words: str) -> Callable[[Callable[[Any], str]], ValueType[str]]:
    anycase = "|".join("".join(f"[{one.upper()}{one.lower()}]" for one in word) for word in words)
    return _type({"enum": list(words)}, {"type": "string", "pattern": f"^({anycase})$"})


@_keywords("IPv4", "IPv6")
def ethertype(value: Any) -> str:
    """``IPv4`` or ``IPv6``, in any case."""
    found = {"ipv4": "IPv4", "ipv6": "IPv6"}.get(value.lower() if isinstance(value, str) else "")
    if found is None:
        raise ValueError(f"{_shown(value)} is none of IPv4 and IPv6")
    return found


_PREFIX = r"^[0-9a-fA-F:.]+(/[0-9]{1,3})?$"


@_type({"type": "string", "pattern": _PREFIX})
def remote_prefix(value: Any) -> str:
    """An IP address or a CIDR, also one with host bits, which are shown as they were given."""
    try:
        if isinstance(value, str) and re.fullmatch(_PREFIX, value):
            return str(ipaddress.ip_interface(value))
    except ValueError:
        pass
    raise ValueError(f"{_shown(value)} is not a CIDR such as 10.1.1.0/24")


pools = _list_of(_record({"start": ip, "end": ip}))
"""``[{"start": IP, "end": IP}, …]``; whether they fit the subnet is seen later."""

_FIXED_IPS = _list_of(_record({"subnet_id": uuid, "ip_address": ip}, ("subnet_id", "ip_address"), minProperties=1))


@_type(_FIXED_IPS.shown, _FIXED_IPS.accepted)
def fixed_ips(value: Any) -> list[dict[str, str]]:
    """``[{"subnet_id": …, "ip_address": …}, …]``, either of which may be left out."""
    found = _FIXED_IPS.read(value)
    addresses: set[str] = set()
    for at, one in enumerate(found):
        if not one:
            raise ValueError(f"{_shown(value[at])} has neither subnet_id nor ip_address")
        if (address := one.get("ip_address")) in addresses:
            raise ValueError(f"has {address} twice")
        addresses |= {address} if address else set()
    return found


@_type({"anyOf": [ip.shown, cidr.shown]}, {"anyOf": [ip.accepted, cidr.accepted]})
def _ip_or_prefix(value: Any) -> str:
    try:
        network = ipaddress.ip_network(value if isinstance(value, str) and "%" not in value else "", False)
    except ValueError:
        raise ValueError(f"{_shown(value)} is not an IP address or CIDR") from None
    return str(network) if "/" in value else ip(value)


address_pairs = _list_of(_record({"ip_address": _ip_or_prefix, "mac_address": mac}, ("mac_address",)), _is_twice)
"""``[{"ip_address": IP or CIDR, "mac_address": MAC or left out}, …]``."""


def is_deeper(value: Any, levels: int) -> bool:
    """Whether there are more than so many dictionaries and lists in one another."""
    found = [value]
    for _ in range(levels + 1):
        parts = [one.values() if isinstance(one, dict) else one for one in found if isinstance(one, (dict, list))]
        found = [one for some in parts for one in some]
        if not parts:
            return False
    return True


@_type({"type": "object"}, nullable({"type": "object"}))
def profile(value: Any) -> dict[str, Any]:
    """A dictionary, or null for an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{_shown(value)} is not a dictionary")
    if is_deeper(value, _MAX_LEVELS):
        raise ValueError(f"is nested deeper than {_MAX_LEVELS} levels")
    try:
        length = len(json.dumps(value, allow_nan=False))
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (TypeError, ValueError):
        raise ValueError("has a value that JSON has no form for") from None
    if length > _MAX_PROFILE:
        raise ValueError(f"exceeds maximum length of {_MAX_PROFILE} characters")
    return value


@_type({"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^\x00-\x1f\x7f-\x9f,/]+$"})
def tag(value: Any) -> str:
    """A text of 1 to 255 characters without a comma, which parts tags in a query."""
    found = NAME(value)
    if not found or "," in found or "/" in found:
        raise ValueError(f"{_shown(value)} is not a valid tag: 1 to 255 characters without ',' and '/'")
    return found


_TAGS = _list_of(tag)


@_type({"type": "array", "items": tag.shown, "maxItems": _MAX_TAGS, "uniqueItems": True}, _TAGS.accepted)
def tags(value: Any) -> list[str]:
    """At most 50 :data:`tag`, each once, sorted."""
    found = set(_TAGS.read(value))
    if len(found) > _MAX_TAGS:
        raise ValueError(f"exceeds maximum length of {_MAX_TAGS} tags")
    return sorted(found)


@_type(
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": _PRINTABLE},
)
def rbac_target(value: Any) -> str:
    """A project, or ``*`` for all of them."""
    found = NAME(value)
    if not found:
        raise ValueError("'' is no project; '*' stands for all")
    return found


_RBAC_POLICIES = _list_of(_record({"id": uuid, "target_tenant": rbac_target, "project_id": NAME}, ("id", "project_id")))


@_type(_RBAC_POLICIES.shown, _RBAC_POLICIES.accepted)
def rbac_policies(value: Any) -> list[dict[str, str]]:
    """``[{"target_tenant": project or "*"}, …]`` with the ``id`` and ``project_id`` of each, or without; by targets."""
    found = _RBAC_POLICIES.read(value)
    for name in ("target_tenant", "id"):
        values = [one[name] for one in found if name in one]
        if len(set(values)) < len(values):
            raise ValueError(f"has a {name} twice")
    return sorted(found, key=lambda one: one["target_tenant"])
