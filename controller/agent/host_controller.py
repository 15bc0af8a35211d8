"""The one worker that decides: it joins what the switch, the local OVSDB and the topology say, and hands out results.

It does no I/O and never waits: events come in through its inbox, flows go to the bridges' senders, tags and port states
to writers of their own. So a slow switch, a database that is down or a port that cannot be made delays nobody else.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any

from immutables import Map

from apps.framework.app import UnitKind
from apps.framework.compiler import Compiler
from apps.framework.host_view import DeadPort, HostView
from apps.framework.options import OptionValue
from controller.agent.binding import BindingTable, unwirable
from controller.agent.bridges import Datapaths
from controller.agent.change_log import Announcer
from controller.agent.events import (
    Closed,
    Identified,
    PortSeen,
    PortsListed,
    Question,
    Registered,
    SetUp,
    Stop,
    TimeToReport,
    TimeToRetry,
    WrittenBack,
)
from controller.agent.local_networks import Wiring
from controller.agent.moves import Moves
from controller.agent.outputs import Effects
from controller.agent.patch_gate import Joining
from controller.agent.patch_ports import Joints, joints_of, roles
from controller.agent.port_states import Outcomes
from controller.agent.restore.restore_guard import RestoreGuard, SavedState
from controller.agent.retries import Retries
from controller.agent.tag_writes import Tags
from controller.agent.tunnels import TunnelOptions, plan
from controller.agent.unwired_devices import strangers
from controller.openflow.channel.session import Session
from controller.openflow.tables.sender import Synced
from controller.runtime.inbox import Inbox
from controller.vswitch.bridge_setup import Wanted
from controller.vswitch.interface_rows import VSwitchBatch
from controller.vswitch.names import Names
from controller.vswitch.tagging import detached
from controller.vswitch.tunnel_ports import TunnelPort
from topology.model import Host, Network
from topology.source import RowProblem, TopologyBatch

LOG = logging.getLogger(__name__)


class HostController:
    """State and decisions of one host."""

    def __init__(
        self,
        names: Names,
        tunnels: TunnelOptions,
        inbox: Inbox[Any],
        effects: Effects,
        saved: SavedState,
        options: Map[str, OptionValue] = Map(),  # noqa: B008  # immutable
    ) -> None:
        self.names = names
        self.remembered = RestoreGuard(names.host, saved)
        types = tunnels.types if tunnels.local_ip is not None else None
        self.table = BindingTable(names.host, lambda network: unwirable(network, names.physical, types))
        self.wiring = Wiring(self.table, roles(names))
        self.compiler = Compiler()
        self._view = HostView(options=options)
        self.outcomes = Outcomes(self.table, self.wiring, self.compiler, self._carriers, effects.remind)
        self.datapaths = Datapaths(names.bridges, effects.accepted)
        self.hosts: dict[str, Host] = {}
        """Name → the hosts of the topology, this one included."""
        self.tunnels: dict[str, TunnelPort] = {}
        """The tunnel ports that br-tun should have."""
        self.joining = Joining(names.integration_bridge)
        self.is_restoring = False
        """Whether an ovs-vswitchd that starts is to wait until its flows are restored, without a controller."""
        self.problems: tuple[RowProblem, ...] = ()
        """Rows of the topology that cannot be used."""
        self._tunnel_options = tunnels
        self.retries = Retries(self.compiler, effects.retry_ports, effects.wake)
        self._moves = Moves()
        self._announcer = Announcer(names, self.table, self.wiring)
        self._inbox = inbox
        self._effects = effects
        self._has_vswitch = False
        self._has_topology = False
        self._is_registered = False
        self._has_tunnels = False
        self._is_set_up = False
        self._started: set[str] = set()
        self._generation = 0
        self._joints: Joints | None = None
        self._silenced: dict[str, DeadPort] = {}
        self._connected: list[tuple[str, Session]] = []
        self.tags = Tags(self.table, self.wiring)

    # -- what this host can carry --------------------------------------------------------------------------------------

    def _carriers(self, network: Network) -> list[str]:
        """The bridges that have to confirm before a port of a network is up."""
        bridges = [self.names.integration_bridge]
        if network.network_type.is_tunnel:
            bridges.append(self.names.tunnel_bridge)
        physical = self.names.physical.get(network.physical_network or "")
        if physical is not None and physical.bridge in self.datapaths.ids:
            bridges.append(physical.bridge)
        return bridges

    def run(self) -> None:
        """Handle events until :class:`Stop`."""
        while True:
            for event in self._inbox.receive():
                if isinstance(event, Stop):
                    return
                self._handle(event)
            self._settle()

    # -- events --------------------------------------------------------------------------------------------------------

    def _handle(self, event: Any) -> None:
        if isinstance(event, PortSeen):
            bridge = self.datapaths.port_seen(event.session, event.port, event.present)
            if bridge == self.names.integration_bridge:
                self.table.set_ofport(event.port.name, self.datapaths.ofport(bridge, event.port.name))
        elif isinstance(event, VSwitchBatch):
            self._vswitch(event)
        elif isinstance(event, TopologyBatch):
            self._topology(event)
        elif isinstance(event, Synced):
            self.outcomes.synced(event)
            if self.joining.synced(event):
                self._set_up()
        elif isinstance(event, PortsListed):
            bridge = self.datapaths.ports_listed(event.session, event.ports)
            if bridge == self.names.integration_bridge:
                self._devices_listed(self.datapaths.ports[bridge])
            if bridge is not None:
                self._connected.append((bridge, event.session))
        elif isinstance(event, Identified):
            self.datapaths.identified(event.session)
        elif isinstance(event, Closed):
            bridge = self.datapaths.closed(event.session)
            if bridge is not None:
                self._effects.senders[bridge].detach(event.session)
                self.joining.lost(bridge, self._generation)
        elif isinstance(event, Registered):
            self._is_registered = True
            self._write_back()
        elif isinstance(event, WrittenBack):
            self.remembered.written(event.refused)
        elif isinstance(event, SetUp):
            self.retries.set_misplaced(event.misplaced)
        elif isinstance(event, TimeToRetry):
            self.retries.due()
        elif isinstance(event, TimeToReport):
            self.outcomes.due()
        elif isinstance(event, Question):
            event.answer(event.ask())
        else:
            raise TypeError(f"{event!r} is no event of the host controller")

    def _vswitch(self, batch: VSwitchBatch) -> None:
        is_first = not self._has_vswitch
        if batch.complete:
            self._has_vswitch = True
            self.tags.sent.clear()
            for name in self.table.devices.keys() - batch.devices.keys():
                self._set_device(name, None, fresh=False)
        for name, device in batch.devices.items():
            self._set_device(name, device, fresh=not batch.complete)
        self._announcer.bridges(self.datapaths.ids.keys(), batch.datapaths.keys(), first=is_first)
        self.datapaths.set_ids(batch.datapaths, batch.serials)
        ours = self.tunnels.keys() | self.names.patch_ports
        self.retries.set_ports({name: why for name, why in batch.faults.items() if name in ours})
        self.is_restoring = batch.restoring
        if batch.layout:
            self._set_up()

    def _set_device(self, name: str, device: Any, *, fresh: bool) -> None:
        old = self.table.devices.get(name)
        self.table.set_device(name, device, fresh=fresh)
        self.retries.device(name, device.fault if device is not None and device.iface_id is not None else None)
        if device is None and old is not None:
            self.tags.forget(old.port_name)
        lost = old is not None and old.iface_id is not None and device is not None and device.iface_id is None
        if lost and device.was_wired:
            LOG.warning("device %s has no iface-id any more: it is taken off its network", name)
            self._effects.tag({device.port_name: detached(device.other_config)})

    def _topology(self, batch: TopologyBatch) -> None:
        batch = self.remembered.correct(batch)
        if batch.complete:
            self._has_topology = True
            self.hosts.clear()
            for network_id in self.table.networks.keys() - batch.networks.keys():
                self.table.set_network(network_id, None)
            for port_id in self.table.ports.keys() - batch.ports.keys():
                self.table.set_port(port_id, None)
        for network_id, network in batch.networks.items():
            self.table.set_network(network_id, network)
        for port_id, port in batch.ports.items():
            self.table.set_port(port_id, port)
        self._moves.follow(batch)
        for name, host in batch.hosts.items():
            self._set_host(name, host)
        is_lost = batch.complete and self.names.host not in self.hosts
        if self._is_registered and (is_lost or self.remembered.is_older):
            if is_lost:
                LOG.warning("the topology has lost this host, as a database restored from a backup does")
            self._effects.register()
        self.outcomes.recheck(batch.ports)
        for problem in batch.problems:
            if problem not in self.problems:
                LOG.error("topology: %s is left out: %s", problem.where, problem.reason)
        self.problems = batch.problems
        self._write_back()

    def _write_back(self) -> None:
        wanted = self.remembered.wanted() if self._is_registered else None
        if wanted is not None:
            self._effects.write_back(wanted)

    def _set_host(self, name: str, host: Host | None) -> None:
        if host is not None:
            self.hosts[name] = host
            return
        self.hosts.pop(name, None)
        LOG.info("host %s was deleted from the topology", name)
        if name == self.names.host:
            LOG.warning("this host was deleted: others remove their tunnels to it, until its controller is restarted")

    def _devices_listed(self, ports: Mapping[str, int]) -> None:
        for gone in self.table.ofports.keys() - ports.keys():
            self.table.set_ofport(gone, None)
        for name, ofport in ports.items():
            self.table.set_ofport(name, ofport)

    # -- decisions -----------------------------------------------------------------------------------------------------

    @property
    def is_told(self) -> bool:
        """True once both databases are known and the host is registered; before that nothing is touched.

        Not even bridges: on br-int and br-tun the flows of others go once they are ours, so a host that may not
        serve, or does not know what to serve yet, would lose what another agent has installed.
        """
        return self._has_vswitch and self._has_topology and self._is_registered

    @property
    def is_informed(self) -> bool:
        """True once all is known that flows are compiled from."""
        return self.is_told and self.names.integration_bridge in self.datapaths.ports

    def _settle(self) -> None:
        if self.is_told and not self._is_set_up:
            self._set_up()
        if self.is_informed:
            self._decide()
            saved = self.remembered.changed()
            if saved is not None:
                self._effects.remember(saved)
            self._plan_tunnels()  # only now that local VLANs are dealt, or recovered: tunnels can be their trunks
        elif self.names.integration_bridge in self.datapaths.ports and (
            dead := strangers(self.table.devices.values(), self.tags.sent)
        ):
            self.tags.sent.update(dead)
            self._effects.tag(dead)
        # Only now, because port numbers may have changed while the bridge was away: what its sender compares the
        # bridge with must be made of the new ones.
        for name, session in self._connected:
            if self.datapaths.sessions.get(name) is session:
                self._effects.senders[name].attach(session)
        self._connected.clear()
        ofports = partial(self.datapaths.ofport, self.names.tunnel_bridge)
        for announcement in self._moves.announcements(
            self.tunnels.values(), self.table.networks, self.wiring.vlans, ofports
        ):
            self._effects.announce(announcement)
        self.retries.see()

    def _plan_tunnels(self) -> None:
        vlans: dict[str, list[int]] = {}
        for network_id, vlan in self.wiring.vlans.items():
            network = self.table.networks.get(network_id)
            if network is not None:
                vlans.setdefault(network.network_type.value, []).append(vlan)
        wanted = plan(self.hosts.values(), self.names.host, self._tunnel_options, vlans)
        if wanted != self.tunnels or not self._has_tunnels:
            self._has_tunnels = True
            self.tunnels = wanted
            self._set_up()

    def _set_up(self) -> None:
        if not self.is_told:
            return
        self._is_set_up = True
        self._effects.set_up(Wanted(self.tunnels if self._has_tunnels else None, self.joining.joined))

    def _decide(self) -> None:
        changed = self.table.decide()
        self.remembered.bound(self.table.bound_ports(changed))
        touched = self.wiring.update(changed)
        joints = joints_of(self.names, self.datapaths)
        ready = self.datapaths.ports.keys() & self._effects.senders.keys()
        silenced = self.wiring.silenced()
        is_same = (joints, silenced) == (self._joints, self._silenced) and not self.compiler.has_more
        if touched or not is_same or not ready <= self._started:
            self._joints, self._silenced = joints, silenced
            self._compile(touched, joints, ready)
        wanted = self.tags.settle(touched)
        if wanted:
            self._effects.tag(wanted)
        self._announcer.devices(changed)
        for conflict in self.wiring.conflicts:
            LOG.warning(
                "device %s keeps not its tag %d: %s", conflict.claim.device, conflict.claim.vlan, conflict.reason
            )
        reports = self.outcomes.settle()
        if reports:
            self._effects.report(reports)

    def _compile(self, touched: Iterable[str], joints: Joints, ready: Collection[str]) -> None:
        was = self.compiler.problems
        change = self.wiring.change(self._view, joints.patch_int, joints.physical)
        self._view = change.new
        changes = self.compiler.update(change)
        self._generation += 1
        swapped = {unit.id for unit in was.keys() ^ self.compiler.problems.keys() if unit.kind is UnitKind.PORT}
        self.outcomes.touch({*touched, *swapped}, self._generation)
        for name, sender in self._effects.senders.items():
            if name in self._started:
                sender.want(changes[name].flows if name in changes else {}, self._generation)
            elif name in ready:
                self._started.add(name)
                sender.want(self.compiler.flows(name), self._generation)
        drops = {name: self.compiler.keys(UnitKind.PHYSICAL_NETWORK, name) for name in joints.physical}
        self.joining.compiled(joints.physical, drops, self._generation)
        for unit, reason in self.compiler.problems.items():
            if was.get(unit) != reason:
                LOG.error("%s gets no flows: %s", unit, reason)
