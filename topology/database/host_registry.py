"""The registry of hosts: how a host enters it, shows that it lives, is described and leaves it; and who is there.

A name belongs to the installation that registered it first, and so does a tunnel address: of two hosts with one name
each would undo what the other writes, and of two with one address each would get the other's frames. The indexes of
the schema refuse the second even when both come at once. Each change is one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from topology.database.assembler import Assembler
from topology.database.rows.row_index import RowIndex
from topology.database.tables import DATABASE, HOST_STATE, SCHEMA, advance_revision, begin_revision
from topology.model import Host, HostInfo, PortStatus
from topology.ovsdb.edit import Edit
from topology.ovsdb.one_shot import opened
from topology.ovsdb.replica import Replica, RowChanges
from topology.ovsdb.tls import TlsFiles
from topology.rules.agent_views import AGENT, AgentInfo, agent_not_found
from topology.rules.views import HOST_DETAILS, decode, encode
from topology.source import RowProblem, TopologyBatch


@dataclass(frozen=True)
class HostClaim:
    """What a host wants to register, and another installation has.

    :param holder: name of the host that has it
    :param address: the tunnel address that is taken; None when it is the name
    :param addresses: tunnel addresses of the holder
    """

    holder: str
    address: str | None
    addresses: tuple[str, ...]

    def refusal(self, info: HostInfo | None, now: float) -> str:
        """What is wrong and what to do.

        :param info: of the holder, as far as it could be found out
        :param now: seconds since the epoch
        """
        seen = f"last seen {info.seen(now)}" if info is not None else "when it was last seen is not known"
        gone = f"if that one is gone for good, `tunbridge host delete {self.holder}`"
        if self.address is not None:
            return (
                f"tunnel address {self.address} is taken by host {self.holder} ({seen}): "
                f"give this host an address of its own ([ovs] local_ip), or, {gone}"
            )
        where = f"tunnel address {', '.join(self.addresses)}, " if self.addresses else ""
        return (
            f"host name {self.holder} is taken by another installation ({where}{seen}): "
            f"give this host another name ([DEFAULT] host), or, {gone}"
        )


def enter(edit: Edit, host: Host, now: float) -> bool | HostClaim:
    """Write the row of a host, as far as it differs.

    A row that no installation claims, because an operator wrote it, becomes this one's.

    :param now: seconds since the epoch; a new host was seen then
    :returns: whether anything was written; a :class:`HostClaim` when another installation is in the way, and then
        nothing was
    """
    row = _row(edit, host.name)
    if row is not None and row.instance not in ("", host.instance):
        return HostClaim(host.name, None, tuple(sorted(_addresses(row))))
    claim = _address_claim(edit, host, row)
    if claim is not None:
        return claim
    columns = _columns(edit, host, row)
    if row is None:
        begin_revision(edit)
        edit.insert("Host", name=host.name, **columns)
        _write_state(edit, host.name, now)
        return True
    changed = edit.set(row, **columns)
    if changed:
        edit.verify(row, "instance")
    return changed


def put_back(edit: Edit, host: Host) -> str | None:
    """Write the row of another host where there is none: its controller may be stopped, and its tunnels in use.

    :returns: why that cannot be, None when it is there
    """
    if _row(edit, host.name) is not None:
        return None
    claim = _address_claim(edit, host, None)
    if claim is not None:
        return f"tunnel address {claim.address} is of host {claim.holder} there: `tunbridge host delete {claim.holder}`"
    edit.insert("Host", name=host.name, **_columns(edit, host, None))
    return None


def _address_claim(edit: Edit, host: Host, row: Any | None) -> HostClaim | None:
    """Another host, whose row is not ``row``, that has one of the tunnel addresses."""
    for other in edit.rows("Host").values():
        taken = sorted(_addresses(other).keys() & set(host.tunnel_ips)) if other is not row else []
        if taken:
            return HostClaim(other.name, taken[0], tuple(sorted(_addresses(other))))
    return None


def _columns(edit: Edit, host: Host, row: Any | None) -> dict[str, Any]:
    """:param row: that there is of the host"""
    known = {one.ip_address: one for one in row.tunnel_endpoints if one.host == host.name} if row is not None else {}
    return {
        "tunnel_endpoints": [
            known.get(ip) or edit.insert("TunnelEndpoint", ip_address=ip, host=host.name) for ip in host.tunnel_ips
        ],
        "tunnel_types": list(host.tunnel_types),
        "bridge_mappings": dict(host.bridge_mappings),
        "instance": host.instance,
        "version": host.version,
        "attributes": _attributes(host, row.attributes if row is not None else {}),
    }


def mark_alive(edit: Edit, name: str, now: float) -> None:
    """Note that a host was seen; one that is not registered is passed over.

    :param now: seconds since the epoch
    """
    if _row(edit, name) is not None:
        _write_state(edit, name, now)


def describe(edit: Edit, agent: AgentInfo, values: Mapping[str, Any]) -> AgentInfo:
    """Say something of a host; it keeps that however often it registers.

    :param values: attributes; the others stay
    :returns: the agent as it is then
    :raises NotFound: the host is gone
    """
    row = _row(edit, agent.host.host.name)
    if row is None:
        raise agent_not_found(agent.id)
    described = {**decode(AGENT, row.attributes), **values}
    edit.set(row, attributes=encode(AGENT, described))
    return AgentInfo(agent.host, described)


def remove(edit: Edit, name: str) -> bool:
    """Remove a host; ports that it had bound are bound nowhere any more.

    :returns: whether there was anything of it: its row, or a port that it claimed
    """
    row = _row(edit, name)
    if row is not None:
        edit.delete(row)
    claimed = [port for port in edit.rows("Port").values() if port.host == [name]]
    for port in claimed:
        edit.set(port, host=[], status=PortStatus.DOWN.value)
    if row is None and not claimed:
        return False
    edit.delete_where(HOST_STATE, [["name", "==", name]])
    advance_revision(edit)
    # A claim that the host makes at this moment must not outlive it.
    edit.expect("Port", [["host", "==", name]], ["id"], [])
    return True


def _write_state(edit: Edit, name: str, now: float) -> None:
    """Written unread: the row is not followed, and OVSDB has no operation that updates a row or else inserts it."""
    edit.delete_where(HOST_STATE, [["name", "==", name]])
    edit.insert_unfollowed(HOST_STATE, {"name": name, "last_seen": int(now * 1000)})


def _attributes(host: Host, before: Mapping[str, str]) -> dict[str, str]:
    """What a host says of itself beside what is said of it; see :func:`topology.rules.views.host_details`.

    :param before: what the column holds
    """
    given = {name: getattr(host, name) for name in HOST_DETAILS}
    said = {name: text for name, text in before.items() if name not in given}
    return said | {name: json.dumps(value) for name, value in given.items() if value}


def _row(edit: Edit, name: str) -> Any | None:
    """The row of a host, also when it breaks a rule of the model."""
    return next((row for row in edit.rows("Host").values() if row.name == name), None)


def _addresses(row: Any) -> dict[str, Any]:
    """Address → row of a host's tunnel endpoints; those are not that say that they are another's."""
    return {one.ip_address: one for one in row.tunnel_endpoints if one.host in ("", row.name)}


_MILLISECOND = 1e-3


@dataclass(frozen=True)
class HostRegistry:
    """The hosts of a topology at one moment.

    :param hosts: sorted by name
    :param problems: rows that break a rule of the model; hosts and addresses that they stand for are left out
    """

    hosts: tuple[HostInfo, ...]
    problems: tuple[RowProblem, ...]


def read_hosts(connection: str, timeout: float = 10.0, tls: TlsFiles | None = None) -> HostRegistry:
    """Read the hosts and when each was last seen.

    :param connection: OVSDB connection method of the topology database
    :param timeout: seconds to wait for an answer
    :param tls: certificates, where the connection is TLS
    :raises ConfigError: they are missing or cannot be used
    :raises TopologyUnavailable: no answer came
    """
    tables = dict.fromkeys(("Host", "TunnelEndpoint", HOST_STATE), ())
    replica = Replica(connection, DATABASE, tables=tables, convert=_registry, schema=SCHEMA, tls=tls)
    with opened(replica, timeout) as registry:
        return registry


def _registry(changes: RowChanges) -> HostRegistry | None:
    """Of a snapshot; changes after it are nobody's concern here."""
    if not changes.complete:
        return None
    batch = Assembler()(changes)
    if batch is None:
        return None
    hosts = FollowedHosts()
    hosts.follow(changes, batch)
    return HostRegistry(tuple(agent.host for agent in hosts.all()), batch.problems)


class FollowedHosts:
    """The hosts as the Network API needs them: which there are, when each was last seen, and what was said of them."""

    def __init__(self) -> None:
        self._hosts: dict[str, Host] = {}
        self._described: RowIndex[str, Mapping[str, Any]] = RowIndex(
            "Host", lambda row: (row.name, decode(AGENT, row.attributes))
        )
        self._seen: RowIndex[str, float] = RowIndex(HOST_STATE, lambda row: (row.name, row.last_seen * _MILLISECOND))

    def all(self) -> list[AgentInfo]:
        """The hosts, by name."""
        seen, described = self._seen.values, self._described.values
        return [
            AgentInfo(HostInfo(host, seen.get(name)), described.get(name, {}))
            for name, host in sorted(self._hosts.items())
        ]

    def find(self, name: str) -> Host | None:
        """A host; None: there is none of this name."""
        return self._hosts.get(name)

    def follow(self, changes: RowChanges, batch: TopologyBatch | None) -> None:
        """Follow changes.

        :param batch: what the assembler has made of them
        """
        if changes.complete:
            self._hosts.clear()
        self._seen.follow(changes)
        self._described.follow(changes)
        for name, host in (batch.hosts if batch else {}).items():
            self._hosts.pop(name, None)
            if host is not None:
                self._hosts[name] = host
