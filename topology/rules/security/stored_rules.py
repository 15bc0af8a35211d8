"""Rules as a row of SecurityGroup holds them: id → JSON of what the API was given, and what that means.

What is shown is as it was given (``tcp`` or ``6``, ``10.0.0.7/24``), and what is enforced is a
:class:`topology.security_groups.SecurityGroupRule`.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from topology import value_types
from topology.rules.security.protocols import number_of
from topology.security_groups import Direction, Ethertype, SecurityGroupRule

REMOTE_GROUP, REMOTE_ADDRESS_GROUP, REMOTE_PREFIX = "remote_group_id", "remote_address_group_id", "remote_ip_prefix"

_OPTIONAL_UUID = value_types.optional(value_types.uuid)
_OPTIONAL_NUMBER = value_types.optional(value_types.integer(0, 65535))


def normalized(prefix: str | None) -> str | None:
    """A CIDR without host bits; one that is an address is all of it.

    :raises ValueError: it is none
    """
    if prefix is None:
        return None
    try:
        if isinstance(prefix, str) and "%" not in prefix:
            return str(ipaddress.ip_interface(prefix).network)
    except ValueError:
        pass
    raise ValueError(f"{REMOTE_PREFIX}: {prefix!r} is not a CIDR such as 10.1.1.0/24")


def meaning(rule_id: str, values: Mapping[str, Any]) -> SecurityGroupRule:
    """What a rule says.

    :param values: of the Network API; what is left out is its default
    :raises ValueError: it says nothing that can be
    """
    ethertype = Ethertype(values.get("ethertype") or Ethertype.IPV4.value)
    protocol = values.get("protocol")
    if protocol is not None and not isinstance(protocol, str):
        raise ValueError(f"protocol: {protocol!r} is no text")
    prefix = normalized(values.get(REMOTE_PREFIX))
    if prefix is not None and f"IPv{ipaddress.ip_network(prefix).version}" != ethertype.value:
        raise ValueError(f"{REMOTE_PREFIX}: {prefix} is not of {ethertype.value}")
    return SecurityGroupRule(
        value_types.uuid.named(rule_id, "id"),
        Direction(values.get("direction")),
        ethertype,
        number_of(protocol, ethertype),
        _OPTIONAL_NUMBER.named(values.get("port_range_min"), "port_range_min"),
        _OPTIONAL_NUMBER.named(values.get("port_range_max"), "port_range_max"),
        prefix,
        _OPTIONAL_UUID.named(values.get(REMOTE_GROUP), REMOTE_GROUP),
        _OPTIONAL_UUID.named(values.get(REMOTE_ADDRESS_GROUP), REMOTE_ADDRESS_GROUP),
    )


def read_rule(rule_id: str, text: str) -> tuple[SecurityGroupRule, Mapping[str, Any]]:
    """A rule of a row: what it means, and what was given.

    :param text: JSON
    :raises ValueError: it cannot be used
    """
    try:
        values = json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deep") from None
    if not isinstance(values, dict):
        raise ValueError("is no JSON object")
    rule = meaning(rule_id, values)
    if rule.id != rule_id:
        raise ValueError(f"must have the id {rule.id}")
    return rule, values


def remote_groups(texts: Iterable[str]) -> Iterator[str]:
    """The ids of security groups that rules of a row name as remote ones, as far as the rules can be used."""
    for text in texts:
        if REMOTE_GROUP in text:
            with suppress(ValueError, RecursionError):
                values = json.loads(text)
                if isinstance(values, dict) and isinstance(remote := values.get(REMOTE_GROUP), str):
                    yield remote


def write_rule(values: Mapping[str, Any]) -> str:
    """The same for a row; what is not set is left out."""
    given = {name: value for name, value in values.items() if value not in (None, "")}
    return json.dumps(given, separators=(",", ":"), sort_keys=True)
