"""Security groups and their rules in words, and which flow is for which rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from apps.filtering.filter_tables import FilterTable, xxreg
from apps.filtering.rule_meaning import ICMP, ICMPV6, SCTP, TCP, UDP, is_sound, protocol_of, rule_matches
from apps.framework.flow import Match
from apps.group_filter import clause_of
from topology.security_groups import Direction, SecurityGroup, SecurityGroupRule

_PROTOCOLS = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "ipv6-icmp", SCTP: "sctp"}
_TABLES = {Direction.EGRESS: FilterTable.EGRESS_RULES, Direction.INGRESS: FilterTable.INGRESS_RULES}

NameOf = Callable[[str], str]
"""The name of a security group or an address group by its id; empty where it has none, or that is not known."""


def rule_words(rule: SecurityGroupRule, name_of: NameOf) -> str:
    """What a rule allows: ``ingress IPv4 tcp 22-25 from 10.0.0.0/8``."""
    protocol = protocol_of(rule)
    words = [rule.direction.value, rule.ethertype.value]
    words.append("any protocol" if protocol is None else _PROTOCOLS.get(protocol, f"protocol {protocol}"))
    low, high = rule.port_range_min, rule.port_range_max
    if protocol in (ICMP, ICMPV6):
        words += [f"type {low}"] if low is not None else []
        words += [f"code {high}"] if high is not None else []
    elif low is not None or high is not None:
        first = 0 if low is None else low
        words.append(str(first) if high in (None, first) else f"{first}-{high}")
    words.append("from" if rule.direction is Direction.INGRESS else "to")
    if rule.remote_group_id is not None:
        words.append(f"the ports of security group {called(rule.remote_group_id, name_of)}")
    elif rule.remote_address_group_id is not None:
        words.append(f"address group {called(rule.remote_address_group_id, name_of)}")
    else:
        words.append(rule.remote_ip_prefix or "anywhere")
    return " ".join(words)


def called(group_id: str, name_of: NameOf) -> str:
    """Id and name: ``6d1f3c52-8a0e-4f0b-9c6d-2b7a51e0d301 (web)``."""
    name = name_of(group_id)
    return f"{group_id} ({name})" if name else group_id


def group_told(
    group: SecurityGroup, name_of: NameOf, refused: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """A group with its rules in words; ``left_out``: why a rule has no flows, or null; ``refused``: why the switch has
    refused one, or null.

    :param refused: id of a rule → why
    """
    return {
        "id": group.id,
        "name": group.name,
        "stateful": group.stateful,
        "rules": [
            {
                "id": rule.id,
                "text": rule_words(rule, name_of),
                "left_out": _left_out(rule),
                "refused": refused.get(rule.id),
            }
            for rule in sorted(group.rules, key=lambda rule: (rule.direction.value, rule.ethertype.value, rule.id))
        ],
    }


def _left_out(rule: SecurityGroupRule) -> str | None:
    if is_sound(rule):
        return None
    try:
        rule_matches(rule)
    except ValueError as error:
        return str(error)
    return None


def rules_by_place(group: SecurityGroup) -> Mapping[tuple[int, Match], list[SecurityGroupRule]]:
    """Table and match of each flow that is for rules of a group → these; several rules may come to one flow."""
    found: dict[tuple[int, Match], list[SecurityGroupRule]] = {}
    for rule in group.rules:
        if is_sound(rule):
            for terms in rule_matches(rule):
                place = int(_TABLES[rule.direction]), Match((*xxreg(0, clause_of(group.id, rule)), *terms))
                found.setdefault(place, []).append(rule)
    return found
