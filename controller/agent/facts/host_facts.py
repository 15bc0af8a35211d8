"""All that one host knows: the only mutable thing between events and outputs.

An event changes the facts and nothing else (:meth:`HostFacts.apply`); what follows from them is decided by the walk
(:mod:`controller.agent.host_agent`), which is told by :class:`News` what to decide anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.agent.events import (
    Closed,
    Event,
    Identified,
    Ping,
    PortSeen,
    PortsListed,
    Registered,
    SetUp,
    Stop,
    UnderlaySeen,
    WrittenBack,
)
from controller.agent.facts.bridge_sessions import BridgeSessions
from controller.agent.facts.followed_ports import FollowedPorts
from controller.agent.facts.port_facts import PortFacts
from controller.agent.facts.security_facts import SecurityFacts
from controller.agent.restore.restore_guard import RestoreGuard
from controller.openflow.channel.session import Session
from controller.openflow.tables.sender import Synced
from controller.runtime.host_events import (
    DEVICE_DETACHED,
    DEVICE_IN_ALL_VLANS,
    DEVICE_MISPLACED,
    DEVICE_REPLUGGED,
    HOST_JOINED,
    HOST_LEFT,
    ROW_LEFT_OUT,
)
from controller.vswitch.device import Device
from controller.vswitch.interface_rows import VSwitchBatch
from controller.vswitch.names import Names
from controller.vswitch.tagging import Tagging, detached
from controller.vswitch.tunnel_rows import Underlay
from topology.model import Host
from topology.source import RowProblem, TopologyBatch, WriteBack

LOG = logging.getLogger(__name__)


@dataclass
class Known:
    """Which sides of a host have told all that they have."""

    vswitch: bool = False
    topology: bool = False
    asked: bool = False
    """Whether the topology has answered what it was asked when both were there; see :class:`FollowedPorts`."""
    registered: bool = False

    @property
    def suffices(self) -> bool:
        """True once both databases are known and the host is registered; before that nothing is touched.

        Not even bridges: on br-int and br-tun the flows of others go once they are ours, so a host that may not
        serve, or does not know what to serve yet, would lose what another agent has installed.
        """
        return self.vswitch and self.topology and self.asked and self.registered


OPEN_TRUNK = (
    "it has no external_ids:iface-id and is a trunk of all VLANs, so that it is in every network of this host: "
    "give its port a tag, or trunks, or take it off the bridge"
)
"""What is wrong with a device of :attr:`HostFacts.open_trunks`."""


@dataclass
class News:
    """What has happened since the last walk, beside the facts that it changed.

    :param lost: bridges whose connection is over
    :param listed: bridges that have told all their ports; their tables can be compared once flows are made of these
    :param renumbered: bridges with ports that came, went or have another number
    :param reconnected: the local OVSDB has told everything, anew
    :param devices: names of devices whose rows changed
    :param unplugged: names of the Ports of devices that went
    :param detached: name of a Port → what it has to say because its device was taken off its network
    :param topology: what was told, as far as it is believed
    :param set_up: rows of bridges changed
    :param register: the topology has lost this host
    """

    confirmed: list[Synced] = field(default_factory=list)
    lost: list[tuple[str, Session]] = field(default_factory=list)
    listed: list[tuple[str, Session]] = field(default_factory=list)
    renumbered: set[str] = field(default_factory=set)
    vswitch: bool = False
    reconnected: bool = False
    devices: set[str] = field(default_factory=set)
    unplugged: list[str] = field(default_factory=list)
    detached: dict[str, Tagging] = field(default_factory=dict)
    topology: list[TopologyBatch] = field(default_factory=list)
    hosts: bool = False
    set_up: bool = False
    register: bool = False
    write_back: WriteBack | None = None
    pings: list[Callable[[], None]] = field(default_factory=list)


class HostFacts:
    """What is known of one host.

    :param guard: says what is to be believed of the topology
    :param is_partial: whether only what concerns this host is followed of it
    """

    def __init__(self, names: Names, guard: RestoreGuard, *, is_partial: bool = False) -> None:
        self.names = names
        self.known = Known()
        self.ports = PortFacts(names.host, FollowedPorts(is_partial, guard.bound_last))
        self.bridges = BridgeSessions(names.bridges)
        self.security = SecurityFacts()
        self.hosts: dict[str, Host] = {}
        """Name → the hosts of the topology, this one included."""
        self.row_problems: tuple[RowProblem, ...] = ()
        """Rows of the topology that cannot be used."""
        self.port_faults: Mapping[str, str] = {}
        """Patch and tunnel ports, also of others, that Open vSwitch could not make → why."""
        self.misplaced: Mapping[str, str] = {}
        """Name of a patch or tunnel port that has no place → why."""
        self.unserved: Mapping[str, str] = {}
        """Interfaces whose ``iface-id`` is of no use → why."""
        self.open_trunks: frozenset[str] = frozenset()
        """Devices without an ``iface-id`` that are in all VLANs of br-int."""
        self.underlay = Underlay()
        """The network between hosts; another one after each change."""
        self.is_restoring = False
        """Whether an ovs-vswitchd that starts is to wait until its flows are restored, without a controller."""
        self.is_stopping = False
        self.guard = guard
        self._news = News()

    @property
    def is_complete(self) -> bool:
        """True once all is known that flows are compiled from."""
        is_known = self.known.suffices and not self.security.is_awaited
        return is_known and self.names.integration_bridge in self.bridges.ports

    def collect(self) -> News:
        """What has happened since this was last called."""
        news, self._news = self._news, News()
        return news

    def apply(self, event: Event) -> None:
        """Take in what an event says."""
        _HANDLERS[type(event)](self, event)

    # -- OpenFlow ------------------------------------------------------------------------------------------------------

    def _identified(self, event: Identified) -> None:
        self.bridges.identified(event.session)

    def _closed(self, event: Closed) -> None:
        bridge = self.bridges.closed(event.session)
        if bridge is not None:
            self._news.lost.append((bridge, event.session))

    def _ports_listed(self, event: PortsListed) -> None:
        bridge = self.bridges.ports_listed(event.session, event.ports)
        if bridge is None:
            return
        self._news.listed.append((bridge, event.session))
        self._news.renumbered.add(bridge)
        if bridge == self.names.integration_bridge:
            ofports = {**dict.fromkeys(self.ports.ofports), **self.bridges.ports[bridge]}
            for name, ofport in ofports.items():
                self.ports.set_ofport(name, ofport)

    def _port_seen(self, event: PortSeen) -> None:
        bridge = self.bridges.port_seen(event.session, event.port, event.present)
        if bridge is None:
            return
        self._news.renumbered.add(bridge)
        if bridge == self.names.integration_bridge:
            self.ports.set_ofport(event.port.name, self.bridges.ofport(bridge, event.port.name))

    def _synced(self, event: Synced) -> None:
        self._news.confirmed.append(event)

    # -- the local OVSDB -----------------------------------------------------------------------------------------------

    def _vswitch(self, batch: VSwitchBatch) -> None:
        self._news.vswitch, devices = True, batch.devices
        if batch.complete:
            self.known.vswitch = self._news.reconnected = True
            devices = {**dict.fromkeys(self.ports.devices), **devices}
        for name, device in devices.items():
            self._set_device(name, device, fresh=not batch.complete)
        self._see_answers()
        self.bridges.set_ids(batch.datapaths, batch.serials)
        self.port_faults = batch.faults
        for name, why in batch.unserved.items() - self.unserved.items():
            LOG.warning("device %s: %s", name, why, extra=DEVICE_MISPLACED.of(device=name, reason=why))
        self.unserved = batch.unserved
        self.is_restoring = batch.restoring
        self._news.set_up |= batch.layout

    def _set_device(self, name: str, device: Device | None, *, fresh: bool) -> None:
        old = self.ports.devices.get(name)
        self.ports.set_device(name, device, fresh=fresh)
        self._news.devices.add(name)
        if device is not None and device.iface_id is None and device.vlans.carried is None:
            if name not in self.open_trunks:
                LOG.warning("device %s: %s", name, OPEN_TRUNK, extra=DEVICE_IN_ALL_VLANS.of(device=name))
            self.open_trunks |= {name}
        elif name in self.open_trunks:
            self.open_trunks -= {name}
        if device is not None and device.iface_id is None and device.was_detached:
            right = detached(device.other_config)  # also one that another version, or somebody, left with the tag alone
            if not right.agrees(device.vlans, device.other_config):
                self._news.detached[device.port_name] = right
        if old is None:
            return
        if device is None:
            self._news.unplugged.append(old.port_name)
        elif device.rows != old.rows:  # gone and there again, of which only the end was told
            self._news.unplugged.append(old.port_name)
            LOG.info("device %s is plugged anew", name, extra=DEVICE_REPLUGGED.of(device=name))
        elif old.iface_id is not None and device.iface_id is None and device.was_wired:
            LOG.warning(
                "device %s has no iface-id any more: it is taken off its network",
                name, extra=DEVICE_DETACHED.of(device=name),
            )  # fmt: skip
            self._news.detached[device.port_name] = detached(device.other_config)

    def _set_up(self, event: SetUp) -> None:
        self.misplaced = event.misplaced

    def _underlay_seen(self, event: UnderlaySeen) -> None:
        self.underlay = event.underlay

    # -- the topology --------------------------------------------------------------------------------------------------

    def _topology(self, batch: TopologyBatch) -> None:
        batch = self.guard.correct(batch)
        networks, ports = batch.networks, batch.ports
        known_hosts = frozenset(self.hosts) if self.known.topology else None
        now = time.monotonic()
        if not self.known.topology and self.guard.is_older and self.guard.is_secured:
            LOG.info("flows stay as they are until hosts have written back who is in security groups, or for 10 s")
            self.security.wait(now)
        if batch.complete:
            self.known.topology = self._news.hosts = True
            self.hosts.clear()
            networks = {**dict.fromkeys(self.ports.networks), **networks}
            ports = {**dict.fromkeys(self.ports.ports), **ports}
        for network_id, network in networks.items():
            self.ports.set_network(network_id, network)
        for port_id, port in ports.items():
            if port is not None and port_id in batch.described:
                self.ports.describe(port)
            else:
                self.ports.set_port(port_id, port)
        self.security.apply(batch, is_older=self.guard.is_older, now=now)
        self.ports.reconsider(self.ports.followed.told(ports, batch.answered, now))
        self._see_answers()
        for name, host in batch.hosts.items():
            self._set_host(name, host)
            if host is not None and known_hosts is not None and name not in known_hosts and name != self.names.host:
                LOG.info("host %s is new in the topology", name, extra=HOST_JOINED.of(host=name))
        is_lost = batch.complete and self.names.host not in self.hosts
        if self.known.registered and (is_lost or self.guard.is_older):
            if is_lost:
                LOG.warning("the topology has lost this host, as a database restored from a backup does")
            self._news.register = True
        for problem in batch.problems:
            if problem not in self.row_problems:
                event = ROW_LEFT_OUT.of(row=problem.where, reason=problem.reason)
                LOG.error("topology: %s is left out: %s", problem.where, problem.reason, extra=event)
        self.row_problems = batch.problems
        self._news.topology.append(batch)
        self._want_back()

    def _see_answers(self) -> None:
        known = self.known
        known.asked |= known.vswitch and known.topology and self.ports.followed.is_answered

    def _set_host(self, name: str, host: Host | None) -> None:
        self._news.hosts = True
        if host is not None:
            self.hosts[name] = host
            return
        self.hosts.pop(name, None)
        LOG.info("host %s was deleted from the topology", name, extra=HOST_LEFT.of(host=name))
        if name == self.names.host:
            LOG.warning("this host was deleted: others remove their tunnels to it, until its controller is restarted")

    def _registered(self, event: Registered) -> None:
        self.known.registered = True
        self._want_back()

    def _want_back(self) -> None:
        """At once and not in the walk: it includes what the next event may take for written."""
        wanted = self.guard.wanted() if self.known.registered else None
        if wanted is not None:
            self._news.write_back = wanted

    def _written_back(self, event: WrittenBack) -> None:
        self.guard.written(event.refused)
        self.security.written_back(time.monotonic())

    # -- the agent itself ----------------------------------------------------------------------------------------------

    def _ping(self, event: Ping) -> None:
        self._news.pings.append(event.answer)

    def _stop(self, event: Stop) -> None:
        self.is_stopping = True


_HANDLERS: Mapping[type, Callable[[HostFacts, Any], None]] = {
    Identified: HostFacts._identified,
    Closed: HostFacts._closed,
    PortsListed: HostFacts._ports_listed,
    PortSeen: HostFacts._port_seen,
    Synced: HostFacts._synced,
    VSwitchBatch: HostFacts._vswitch,
    SetUp: HostFacts._set_up,
    UnderlaySeen: HostFacts._underlay_seen,
    TopologyBatch: HostFacts._topology,
    Registered: HostFacts._registered,
    WrittenBack: HostFacts._written_back,
    Ping: HostFacts._ping,
    Stop: HostFacts._stop,
}
