"""What a rule of a security group may say, with the errors that Neutron has for it."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from topology.rules.request_errors import BadRequest, InUse
from topology.rules.security.protocols import ICMP, ICMPS, IPV6_ONLY, WITH_PORTS, number_of
from topology.rules.security.stored_rules import REMOTE_ADDRESS_GROUP, REMOTE_GROUP, REMOTE_PREFIX, normalized
from topology.security_groups import Ethertype, SecurityGroupRule

_FIRST, _LAST = "port_range_min", "port_range_max"
_ALL_PORTS = (1, 65535)
_EVERYWHERE = ("0.0.0.0/0", "::/0")


def checked_rule(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is made of the values of a request.

    :param values: checked one by one, all of them
    :raises BadRequest: they do not fit each other
    """
    found = {**values, **_protocol(values)}
    if (found[_FIRST], found[_LAST]) == _ALL_PORTS:
        found[_FIRST] = found[_LAST] = None
    _check_ports(found)
    prefix = normalized(found[REMOTE_PREFIX])
    if prefix is not None and found["ethertype"] != f"IPv{ipaddress.ip_network(prefix).version}":
        text = f"Conflicting value ethertype {found['ethertype']} for CIDR {found[REMOTE_PREFIX]}"
        raise _wrong("SecurityGroupRuleParameterConflict", text, REMOTE_PREFIX)
    number = number_of(found["protocol"], Ethertype(found["ethertype"]))
    if found["ethertype"] == Ethertype.IPV4.value and number in IPV6_ONLY:
        text = f"Invalid ethertype {found['ethertype']} for protocol {found['protocol']}."
        raise _wrong("SecurityGroupEthertypeConflictWithProtocol", text, "ethertype")
    remotes = [name for name in (REMOTE_PREFIX, REMOTE_GROUP, REMOTE_ADDRESS_GROUP) if found[name]]
    if len(remotes) > 1:
        text = "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."
        raise _wrong("SecurityGroupMultipleRemoteEntites", text, remotes[1])
    return found


def _wrong(kind: str, text: str, attribute: str) -> BadRequest:
    return BadRequest(kind, text, attribute=attribute, reason=text.rstrip("."))


def _protocol(values: Mapping[str, Any]) -> dict[str, Any]:
    """ICMP over IPv6 has a name and a number of its own."""
    protocol = values["protocol"]
    if values["ethertype"] == Ethertype.IPV6.value:
        protocol = {"icmp": "ipv6-icmp", "icmpv6": "ipv6-icmp", str(ICMP): "58"}.get(protocol, protocol)
    return {"protocol": protocol}


def _check_ports(values: Mapping[str, Any]) -> None:
    first, last = values[_FIRST], values[_LAST]
    if first is None and last is None:
        return
    if values["protocol"] is None:
        text = "Must also specify protocol if port range is given."
        raise _wrong("SecurityGroupProtocolRequiredWithPorts", text, "protocol")
    number = number_of(values["protocol"], Ethertype(values["ethertype"]))
    if number in WITH_PORTS:
        if 0 in (first, last):
            raise _wrong("SecurityGroupInvalidPortValue", "Invalid value for port 0", _FIRST)
        if first is None or last is None or first > last:
            text = "For TCP/UDP protocols, port_range_min must be <= port_range_max"
            raise _wrong("SecurityGroupInvalidPortRange", text, _FIRST)
    elif number in ICMPS:
        for name, what, value in ((_FIRST, "type", first), (_LAST, "code", last)):
            if value is not None and value > 255:
                text = f"Invalid value for ICMP {what} ({name}) {value}. It must be 0 to 255."
                raise _wrong("SecurityGroupInvalidIcmpValue", text, name)
        if first is None:
            text = f"ICMP code (port-range-max) {last} is provided but ICMP type (port-range-min) is missing."
            raise _wrong("SecurityGroupMissingIcmpType", text, _FIRST)
    else:
        text = (
            f"Ports cannot be specified for protocol {number}. Ports are only supported for DCCP, SCTP, TCP, UDP, "
            "UDPLITE."
        )
        raise _wrong("SecurityGroupInvalidProtocolForPort", text, "protocol")


def what_it_allows(rule: SecurityGroupRule) -> SecurityGroupRule:
    """A rule without what makes no difference: its id, and a prefix that is everywhere."""
    prefix = None if rule.remote_ip_prefix in _EVERYWHERE else rule.remote_ip_prefix
    return replace(rule, id="", remote_ip_prefix=prefix)


def refuse_twice(new: SecurityGroupRule, rules: Iterable[SecurityGroupRule], before: Collection[str]) -> None:
    """A group has no two rules that allow the same.

    :param rules: that it has
    :param before: ids of those that it had before this request
    :raises InUse: it has one already
    """
    for rule in rules:
        if what_it_allows(rule) == what_it_allows(new):
            if rule.id in before:
                text = f"Security group rule already exists. Rule id is {rule.id}."
                raise InUse("SecurityGroupRuleExists", text)
            raise InUse("DuplicateSecurityGroupRuleInPost", "Duplicate Security Group Rule in POST.")
