"""What this host has seen of the topology, and must not lose with a database that is restored from a backup.

An older copy lacks networks and ports that run here. Taken at its word it would take them down, so each batch goes
through :class:`RestoreGuard` first: where the copy is older, what runs here overrides it and is handed out to be
written back. That ends when the database says something else than the older copy did: because it was written back, or
because somebody decided otherwise.

Pure but for its state; it belongs to the host controller's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import is_
from typing import TypeVar

from immutables import Map

from apps.framework.local_vlans import NetworkSegment
from controller.runtime.host_events import OLDER_TOPOLOGY, WRITE_BACK_REFUSED
from topology.model import Host, Network, Port, PortStatus
from topology.source import TopologyBatch, TopologyVersion, WriteBack, restored

LOG = logging.getLogger(__name__)

NOT_SAVED = ("vxlan_udp_port", "lacks_local_ip")
"""Attributes of a host that the state file has not: it tells them anew whenever it registers."""

_NAMED = 10
"""Objects that the log names; the others are counted."""


@dataclass(frozen=True)
class SavedState:
    """What outlives the controller.

    :param version: of the topology as it was last seen
    :param networks: those of the ports
    :param ports: those that were last bound on this host
    :param hosts: name → the other hosts
    :param overridden: id → what the older copy has in the place of one of these; None: nothing
    :param overridden_hosts: the same by name
    :param vlans: local VLAN → who has it, or had it last: bridges know addresses in it by that
    """

    version: TopologyVersion | None = None
    networks: Mapping[str, Network] = field(default_factory=dict)
    ports: Mapping[str, Port] = field(default_factory=dict)
    overridden: Mapping[str, Network | Port | None] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    overridden_hosts: Mapping[str, Host | None] = field(default_factory=dict)
    vlans: Mapping[int, NetworkSegment] = field(default_factory=dict)


_State = tuple[
    TopologyVersion | None,
    Map[str, Network],
    Map[str, Port],
    Map[str, Network | Port | None],
    Map[str, Host],
    Map[str, Host | None],
    Map[int, NetworkSegment],
]
"""The fields of :class:`SavedState`, in their order."""


class RestoreGuard:
    """Follows the topology and what is bound here.

    :param host: name of this host
    :param saved: of the controller that ran before
    """

    def __init__(self, host: str, saved: SavedState) -> None:
        self._host = host
        self._version = saved.version
        # Persistent maps: what is saved of them later shares with them all that stays, and is told apart by identity.
        self._networks = Map(saved.networks)
        self._ports = Map(saved.ports)
        self._overridden: Map[str, Network | Port | None] = Map(saved.overridden)
        self._hosts = Map(saved.hosts)
        overridden = {name: older for name, older in saved.overridden_hosts.items() if name in saved.hosts}
        self._overridden_hosts: Map[str, Host | None] = Map(overridden)
        self.vlans = Map(saved.vlans)
        """As of :class:`SavedState`; replaced, never changed."""
        self.is_older = False
        """True when the last batch was of an older copy."""
        self._refused: Mapping[str, str] = {}
        self._renew: str | None = None
        self._members: dict[str, set[str]] = {}
        for port in self._ports.values():
            self._members.setdefault(port.network_id, set()).add(port.id)
        self._said = self._state()

    @property
    def bound_last(self) -> Mapping[str, str]:
        """Id → network id, of the ports that were last bound here."""
        return {port.id: port.network_id for port in self._ports.values()}

    @property
    def is_secured(self) -> bool:
        """Whether a port that was last bound here has port security."""
        return any(port.port_security_enabled for port in self._ports.values())

    def has_port(self, port_id: str) -> bool:
        """Whether a port was last bound here."""
        return port_id in self._ports

    @property
    def problems(self) -> tuple[str, ...]:
        """What runs here and cannot be written back."""
        return tuple(
            f"{self._describe(id_)} is not in the topology, or otherwise, since its database was restored; it is kept "
            f"as it runs here: {reason}"
            for id_, reason in sorted(self._refused.items())
            if id_ in self._overridden or id_ in self._overridden_hosts
        )

    def changed(self) -> SavedState | None:
        """What is to be saved, None when that is what it was at the last call."""
        said, self._said = self._said, self._state()
        # local VLANs are dealt anew after a restart, and mostly are the same
        is_same = (said[0], said[-1]) == (self._version, self.vlans) and all(map(is_, said[1:-1], self._said[1:-1]))
        return None if is_same else SavedState(*self._said)

    def _state(self) -> _State:
        return (
            self._version, self._networks, self._ports, self._overridden, self._hosts, self._overridden_hosts,
            self.vlans,
        )  # fmt: skip

    def bound(self, ports: Iterable[tuple[Port, Network]]) -> None:
        """Ports are bound here."""
        for port, network in ports:
            self._record(port, network)

    def correct(self, batch: TopologyBatch) -> TopologyBatch:
        """Take in what the topology says.

        :returns: what is to be believed of it
        """
        self.is_older = self._find_older(batch)
        if self.is_older:
            self._override(batch)
        networks, ports, hosts = dict(batch.networks), dict(batch.ports), dict(batch.hosts)
        overridden = self._overridden
        for name in {**self._hosts, **hosts} if batch.complete else list(hosts):
            if name != self._host:
                self._follow_host(name, hosts)
        for network in _told(self._networks, networks, batch):
            self._follow_network(network, networks)
        for port in _told(self._ports, ports, batch):
            self._follow_port(port, ports)
        if len(self._overridden) < len(overridden):
            LOG.info(
                "%d networks and ports are no more kept against the topology, %d are",
                len(overridden) - len(self._overridden), len(self._overridden),
            )  # fmt: skip
        if batch.complete or batch.version is not None:
            self._version = batch.version
        # What is kept against the topology is another than it says, and so is what was until now.
        described = batch.described.difference(overridden)
        return replace(batch, networks=networks, ports=ports, hosts=hosts, described=described)

    def wanted(self) -> WriteBack | None:
        """What is to be written back, None when that is nothing."""
        networks = {id_: self._networks[id_] for id_ in self._overridden if id_ in self._networks}
        ports = {id_: replace(self._ports[id_], host=self._host) for id_ in self._overridden if id_ in self._ports}
        hosts = {name: self._hosts[name] for name, older in self._overridden_hosts.items() if older is None}
        if not networks and not ports and not hosts and self._renew is None:
            return None
        return WriteBack(networks, ports, self._renew, hosts)

    def written(self, refused: Mapping[str, str]) -> None:
        """What was wanted is written, but for these: id → reason."""
        self._renew = None
        for id_, reason in sorted(refused.items()):
            if (id_ in self._overridden or id_ in self._overridden_hosts) and self._refused.get(id_) != reason:
                subject = self._describe(id_)
                event = WRITE_BACK_REFUSED.of(subject=subject, reason=reason)
                LOG.error("%s runs here and cannot be written back to the topology: %s", subject, reason, extra=event)
        self._refused = dict(refused)

    # -- the older copy ------------------------------------------------------------------------------------------------

    def _find_older(self, batch: TopologyBatch) -> bool:
        """Whether a backup has come in the place of what was seen: with a new connection, or under this one.

        Under this one ``ovsdb-client restore`` does that. Then only the revision tells: the identity changes too when
        another host renews it.
        """
        seen, now = self._version, batch.version
        if seen is None or (now is None and not batch.complete):
            return False
        return now is None or now.revision < seen.revision or (batch.complete and now.database != seen.database)

    def _override(self, batch: TopologyBatch) -> None:
        seen, now = self._version, batch.version
        if batch.complete:
            self._overridden, self._overridden_hosts = Map(), Map()
        for network in _told(self._networks, batch.networks, batch):
            older = batch.networks.get(network.id)
            running = restored(network, older)
            self._networks = _with(self._networks, network.id, running)
            if running != older:
                self._overridden = _with(self._overridden, network.id, older)
        for port in _told(self._ports, batch.ports, batch):
            older_port = batch.ports.get(port.id)
            if older_port is None or _wanted(port) != _wanted(older_port) or older_port.host not in (None, self._host):
                self._overridden = _with(self._overridden, port.id, older_port)
        for host in _told(self._hosts, batch.hosts, batch):
            if _saved(batch.hosts.get(host.name)) != _saved(host):
                self._overridden_hosts = _with(self._overridden_hosts, host.name, batch.hosts.get(host.name))
        self._renew = now.database if now is not None and seen is not None and now.database == seen.database else None
        networks = sum(id_ in self._networks for id_ in self._overridden)
        ports = sum(id_ in self._ports for id_ in self._overridden)
        LOG.warning(
            "the topology database holds an older copy, as one restored from a backup (%s; seen was %s): "
            "%d networks and %d ports that run here are missing there or have changed since, and are kept and "
            "written back%s; %d other hosts are, and keep their tunnels",
            _version_text(now), _version_text(seen),
            networks, ports, self._names(), len(self._overridden_hosts),
            extra=OLDER_TOPOLOGY.of(networks=networks, ports=ports, hosts=len(self._overridden_hosts)),
        )  # fmt: skip

    def _names(self) -> str:
        named = [
            self._describe(id_) for id_ in (*sorted(self._networks), *sorted(self._ports)) if id_ in self._overridden
        ]
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        return f": {', '.join(named[:_NAMED])}{more}" if named else ""

    def _describe(self, id_: str) -> str:
        if id_ in self._hosts:
            return f"host {id_}"
        thing: Network | Port | None = self._networks.get(id_) or self._ports.get(id_)
        kind = "network" if isinstance(thing, Network) else "port"
        return f"{kind} {id_}" + (f" ({thing.name})" if thing is not None and thing.name else "")

    # -- what the database says of what ran here ------------------------------------------------------------------

    def _follow_host(self, name: str, hosts: dict[str, Host | None]) -> None:
        now = hosts.get(name)
        if name in self._overridden_hosts:
            if now == self._overridden_hosts[name]:
                hosts[name] = self._hosts[name]
                return
            self._overridden_hosts = self._overridden_hosts.delete(name)
        if now is None:
            self._hosts = _without(self._hosts, name)
        else:
            self._hosts = _with(self._hosts, name, now)

    def _follow_network(self, running: Network, networks: dict[str, Network | None]) -> None:
        now = networks.get(running.id)
        if running.id in self._overridden:
            if now == self._overridden[running.id]:
                networks[running.id] = running
                return
            self._overridden = self._overridden.delete(running.id)
        if now is not None:
            self._networks = _with(self._networks, running.id, now)
        elif running.id not in self._members:
            self._networks = self._networks.delete(running.id)

    def _follow_port(self, running: Port, ports: dict[str, Port | None]) -> None:
        now = ports.get(running.id)
        if running.id in self._overridden:
            if _still(now, self._overridden[running.id], running):
                ports[running.id] = replace(running, host=self._host)
                return
            self._overridden = self._overridden.delete(running.id)
        if now is None or now.host not in (None, self._host):
            self._forget(running)
        else:
            self._ports = _with(self._ports, running.id, now)
            if now.network_id != running.network_id:
                self._forget(running)  # and kept again when it is bound there

    def _record(self, port: Port, network: Network) -> None:
        self._networks = _with(self._networks, network.id, network)
        self._members.setdefault(network.id, set()).add(port.id)
        if port.id not in self._overridden:
            self._ports = _with(self._ports, port.id, port)

    def _forget(self, port: Port) -> None:
        self._ports = _without(self._ports, port.id)
        members = self._members.get(port.network_id, set())
        members.discard(port.id)
        if not members:
            self._members.pop(port.network_id, None)
            if port.network_id not in self._overridden:
                self._networks = _without(self._networks, port.network_id)


_Value = TypeVar("_Value")


def _told(running: Mapping[str, _Value], told: Mapping[str, object], batch: TopologyBatch) -> list[_Value]:
    """Of what runs here that which a batch says something of: a complete one does of all."""
    return [running[id_] for id_ in (running if batch.complete else told) if id_ in running]


def _with(values: Map[str, _Value], key: str, value: _Value) -> Map[str, _Value]:
    """A map with this value in it; the same object where it has that already."""
    return values if key in values and values[key] == value else values.set(key, value)


def _without(values: Map[str, _Value], key: str) -> Map[str, _Value]:
    return values.delete(key) if key in values else values


def _wanted(port: Port) -> Port:
    """A port without what hosts report of it, and without what is not written back: it is as the older copy has it."""
    return replace(
        port, host=None, status=PortStatus.DOWN, allowed_macs=(), allowed_ips=(), migrating_to=None,
        port_security_enabled=False, allowed_prefixes=(), security_group_ids=(),
    )  # fmt: skip


def _still(now: Port | None, older: Network | Port | None, running: Port) -> bool:
    """Whether the database still says what the older copy said, reports of hosts aside."""
    if now is None or not isinstance(older, Port):
        return now is older
    if _wanted(now) != _wanted(older):
        return False
    return _wanted(older) != _wanted(running) or now.host == older.host


def _version_text(version: TopologyVersion | None) -> str:
    return f"revision {version.revision} of {version.database}" if version is not None else "no revision"


def _saved(host: Host | None) -> Host | None:
    """A host as the state file has it."""
    return None if host is None else replace(host, **{name: getattr(Host, name) for name in NOT_SAVED})
