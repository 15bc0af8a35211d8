"""Zones of conntrack in which connections may not be allowed any more, and when they are to be looked through.

A zone is a local VLAN. What only allows more ends nothing, so that a member that comes or a rule that is added costs
nothing here. What allows less is in force when br-int has confirmed its flows: who looked before might see a connection
end that the old flows begin again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, replace
from typing import NamedTuple

from apps.framework.host_view import HostView, LocalPort, ViewChange
from topology.security_groups import Direction, SecurityGroup, SecurityGroupRule


@dataclass(frozen=True)
class ConcernedZone:
    """A zone whose connections are to be looked through.

    :param view: tells what is allowed now
    :param network_id: the network that has the zone; None: none has, so that all of it ends
    :param looks_again: it is looked through once more, whether or not anything is found: something is not allowed any
        more, and what the datapath has cached of the flows before may begin it anew
    """

    view: Callable[[], HostView]
    network_id: str | None
    looks_again: bool = True


class _Waiting(NamedTuple):
    """A zone that waits for flows."""

    generation: int
    network_id: str | None
    looks_again: bool


class ConcernedZones:
    """Follows the view of a host; costs what has changed."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}
        self._used: set[int] = set()
        """Zones in which connections may be: their networks have, or had, a secured port."""

    def follow(self, change: ViewChange, generation: int) -> None:
        """A view was made, and flows of it are on their way.

        :param generation: of these flows
        """
        concerned = networks_concerned(change)
        for network_id in concerned.keys() | change.networks:
            old, new = (view.networks.get(network_id) for view in (change.old, change.new))
            if old is None or (new is not None and new.vlan == old.vlan):
                continue
            if network_id in concerned or old.vlan in self._used:
                self._used.discard(old.vlan)
                self._waiting[old.vlan] = _Waiting(generation, None, False)
        for network_id, was_allowed in concerned.items():
            local = change.new.networks.get(network_id)
            if local is None:
                continue
            self._used.add(local.vlan)
            was = self._waiting.get(local.vlan)
            if was is None or was.network_id is not None:  # else all of it ends, which is more
                again = was_allowed or (was is not None and was.looks_again)
                self._waiting[local.vlan] = _Waiting(generation, network_id, again)

    def confirmed(self, generation: int, view: Callable[[], HostView]) -> dict[int, ConcernedZone]:
        """Flows are in place on br-int; the zones that are to be looked through now."""
        if not self._waiting:
            return {}
        ripe = {zone: waiting for zone, waiting in self._waiting.items() if waiting.generation <= generation}
        for zone in ripe:
            del self._waiting[zone]
        return {zone: ConcernedZone(view, of.network_id, of.looks_again) for zone, of in ripe.items()}


def networks_concerned(change: ViewChange) -> dict[str, bool]:
    """The networks in which something is not allowed any more that was, or was never looked at.

    :returns: id of a network → whether something was allowed before: False where its ports are new here, which nobody
        could ask before
    """
    old, new = change.old, change.new
    found = {network_id: True for network_id in change.networks if _was_secured(change, network_id)}
    for port_id in change.ports:
        before, after = old.ports.get(port_id), new.ports.get(port_id)
        if _is_less(before, after):
            for port in (before, after):
                if port is not None:
                    found[port.network_id] = found.get(port.network_id, False) or before is not None
    for group_id in _groups_concerned(change):
        found |= {new.ports[port_id].network_id: True for port_id in new.ports_in_group(group_id)}
    return found


def _was_secured(change: ViewChange, network_id: str) -> bool:
    """Whether a network had secured ports here, and has gone or has another local VLAN."""
    old, new = (view.networks.get(network_id) for view in (change.old, change.new))
    was_secured = old is not None and any(True for _ in change.old.secured_ports_of(network_id))
    return was_secured and old is not None and (new is None or new.vlan != old.vlan)


def _is_less(before: LocalPort | None, after: LocalPort | None) -> bool:
    """Whether a port may have fewer connections than before.

    So may one that is new here, or newly filtered: others may have asked it before anybody asked its own rules.
    """
    if after is not None and after.security is not None and (before is None or before.security is None):
        return True
    if before is None or before.security is None:
        return False
    if after is None or after.network_id != before.network_id:
        return True
    if after.security is None:  # nothing stands against its connections any more
        return False
    pairs = {cidr for cidr, _ in before.security.pairs} - {cidr for cidr, _ in after.security.pairs}
    return bool(pairs or set(before.security.group_ids) - set(after.security.group_ids))


def _groups_concerned(change: ViewChange) -> Iterator[str]:
    old, new = change.old, change.new
    for group_id in change.security_groups:
        before, after = old.security_groups.get(group_id), new.security_groups.get(group_id)
        if before is not None and (after is None or _rules(before) - _rules(after)):
            yield group_id
    remotes = {group_id for group_id, address in change.group_members if (group_id, address) not in new.group_members}
    for address_group_id in change.address_groups:
        was, now = old.address_groups.get(address_group_id), new.address_groups.get(address_group_id)
        if was is not None and (now is None or set(was.addresses) - set(now.addresses)):
            remotes.add(address_group_id)
    for remote_id in remotes:
        for direction in Direction:
            yield from new.groups_naming(remote_id, direction)


def _rules(group: SecurityGroup) -> Set[SecurityGroupRule]:
    """What it allows, whatever the rules are called."""
    return {replace(rule, id="") for rule in group.rules}
