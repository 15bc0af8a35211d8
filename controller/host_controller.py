"""The one worker that decides: it joins what the switch, the local OVSDB and the topology say, and hands out results.

It does no I/O and never waits: events come in through its inbox, flows go to the bridges' senders, tags and port states
to writers of their own. So a slow switch, a database that is down or a port that cannot be made delays nobody else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from apps.compile import Compiler, UnitKind
from apps.pipeline import BridgeRole
from controller.binding import BindingTable, Verdict
from controller.events import Closed, Identified, PortSeen, PortsListed, Question, Stop
from controller.openflow.sender import Synced
from controller.openflow.session import Session
from controller.openflow.wire_constants import OFPP_MAX
from controller.openflow.wire_messages import PortDesc
from controller.outcome import Outcomes
from controller.tagging import Tagging
from controller.vswitch_rows import VSwitchBatch
from controller.wiring import Wiring
from controller.workers import Inbox
from topology.errors import OpenFlowError
from topology.model import Network, canonical_mac
from topology.source import PortReport, RowProblem, TopologyBatch

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Names:
    """Names of this host's parts.

    :param host: as in ``binding:host_id``
    """

    host: str
    integration_bridge: str
    tunnel_bridge: str
    patch_tun: str
    patch_int: str


class FlowSink(Protocol):
    """Takes the flows of one bridge; see :class:`controller.openflow.sender.Sender`."""

    def want(self, changes: Mapping[Any, Any], generation: int) -> None: ...

    def attach(self, session: Session) -> None: ...

    def detach(self, session: Session) -> None: ...


@dataclass(frozen=True)
class Effects:
    """What the controller can bring about.

    :param senders: bridge → who writes its flows
    :param tag: has Ports tagged
    :param report: has port states written to the topology
    :param set_up_bridges: has the bridges of the local OVSDB checked
    :param accepted: is told of sessions that turned out to be a bridge of this host
    """

    senders: Mapping[str, FlowSink]
    tag: Callable[[Mapping[str, Tagging]], None]
    report: Callable[[Mapping[str, PortReport]], None]
    set_up_bridges: Callable[[], None]
    accepted: Callable[[Session], None]


def unwirable(network: Network) -> str | None:
    """Why this controller cannot carry a network, None when it can."""
    if network.network_type.is_physical:
        return f"physical network {network.physical_network} of network {network.id} is not wired by this controller"
    return None


class HostController:
    """State and decisions of one host."""

    def __init__(self, names: Names, inbox: Inbox[Any], effects: Effects) -> None:
        bridges = {names.integration_bridge: BridgeRole.INTEGRATION, names.tunnel_bridge: BridgeRole.TUNNEL}
        self.names = names
        self.table = BindingTable(names.host, unwirable)
        self.wiring = Wiring(self.table, bridges)
        self.compiler = Compiler()
        self.outcomes = Outcomes(self.table, self.wiring, self.compiler, bridges)
        self.sessions: dict[str, Session] = {}
        """Bridge → its connection."""
        self.problems: tuple[RowProblem, ...] = ()
        """Rows of the topology that cannot be used."""
        self._inbox = inbox
        self._effects = effects
        self._strangers: dict[Session, None] = {}
        self.datapaths: dict[str, int] = {}
        """Bridge → its datapath id, all bridges of this machine."""
        self._has_vswitch = False
        self._has_topology = False
        self._tunnel_ports: dict[str, int] = {}
        self._listed: set[str] = set()
        self._started: set[str] = set()
        self._generation = 0
        self._patch_int: int | None = None
        self._connected: list[tuple[str, Session]] = []
        self._tag_sent: dict[str, Tagging] = {}
        self._said: dict[str, tuple[str | None, str | None]] = {}

    def run(self) -> None:
        """Handle events until :class:`Stop`."""
        while True:
            for event in self._inbox.take():
                if isinstance(event, Stop):
                    return
                self._handle(event)
            self._settle()

    # -- controller.openflow.session.Listener: called in the sessions' threads -----------------------------------------

    def identified(self, session: Session) -> None:
        self._inbox.post(("identified", session), Identified(session))

    def ports(self, session: Session, ports: tuple[PortDesc, ...]) -> None:
        self._inbox.post(("ports", session), PortsListed(session, ports))

    def port(self, session: Session, port: PortDesc, present: bool) -> None:
        self._inbox.post(("port", session, port.name), PortSeen(session, port, present))

    def closed(self, session: Session) -> None:
        self._inbox.post(("closed", session), Closed(session))

    # -- events --------------------------------------------------------------------------------------------------------

    def _handle(self, event: Any) -> None:
        if isinstance(event, PortSeen):
            self._port_seen(event.session, event.port, event.present)
        elif isinstance(event, VSwitchBatch):
            self._vswitch(event)
        elif isinstance(event, TopologyBatch):
            self._topology(event)
        elif isinstance(event, Synced):
            self.outcomes.synced(event)
        elif isinstance(event, PortsListed):
            self._ports_listed(event.session, event.ports)
        elif isinstance(event, Identified):
            self._strangers[event.session] = None
            self._admit()
        elif isinstance(event, Closed):
            self._session_closed(event.session)
        elif isinstance(event, Question):
            event.answer(event.ask())
        else:
            raise TypeError(f"{event!r} is no event of the host controller")

    def _vswitch(self, batch: VSwitchBatch) -> None:
        if batch.complete:
            self._has_vswitch = True
            self._tag_sent.clear()
            for name in self.table.devices.keys() - batch.devices.keys():
                self._set_device(name, None, fresh=False)
        for name, device in batch.devices.items():
            self._set_device(name, device, fresh=not batch.complete)
        if batch.datapaths != self.datapaths:
            self.datapaths = dict(batch.datapaths)
            self._check_datapaths()
            self._admit()
        if batch.layout:
            self._effects.set_up_bridges()

    def _set_device(self, name: str, device: Any, *, fresh: bool) -> None:
        old = self.table.devices.get(name)
        self.table.set_device(name, device, fresh=fresh)
        if device is None and old is not None:
            self._tag_sent.pop(old.port_name, None)

    def _topology(self, batch: TopologyBatch) -> None:
        if batch.complete:
            self._has_topology = True
            for network_id in self.table.networks.keys() - batch.networks.keys():
                self.table.set_network(network_id, None)
            for port_id in self.table.ports.keys() - batch.ports.keys():
                self.table.set_port(port_id, None)
        for network_id, network in batch.networks.items():
            self.table.set_network(network_id, network)
        for port_id, port in batch.ports.items():
            self.table.set_port(port_id, port)
        self.outcomes.recheck(batch.ports)
        for problem in batch.problems:
            if problem not in self.problems:
                LOG.error("topology: %s is left out: %s", problem.where, problem.reason)
        self.problems = batch.problems

    def _bridge_of(self, session: Session) -> str | None:
        return next((name for name, current in self.sessions.items() if current is session), None)

    def _check_datapaths(self) -> None:
        one, other = (self.datapaths.get(name) for name in (self.names.integration_bridge, self.names.tunnel_bridge))
        if one is not None and one == other:
            LOG.error(
                "bridges %s and %s have the same datapath id %016x, only the first is served: give one another with "
                "`ovs-vsctl set bridge %s other_config:datapath-id=…`",
                self.names.integration_bridge, self.names.tunnel_bridge, one, self.names.tunnel_bridge,
            )  # fmt: skip

    def _admit(self) -> None:
        """Let sessions in whose datapath is of a bridge of ours; the others wait until their handshake times out."""
        managed = (self.names.integration_bridge, self.names.tunnel_bridge)
        bridges = {self.datapaths[name]: name for name in reversed(managed) if name in self.datapaths}
        for name, session in list(self.sessions.items()):
            if name in self.datapaths and bridges.get(session.datapath_id or 0) != name:
                session.close(f"bridge {name} now has datapath id {self.datapaths[name]:016x}")
        for session in list(self._strangers):
            bridge = bridges.get(session.datapath_id or 0)
            if bridge is not None:
                del self._strangers[session]
                self._accept(bridge, session)

    def _accept(self, name: str, session: Session) -> None:
        old = self.sessions.get(name)
        if old is not None:
            old.close(f"bridge {name} has connected anew")
        try:
            session.accept(name)
        except OpenFlowError as error:
            LOG.warning("%s", error)
            return
        LOG.info("bridge %s connected (datapath %016x at %s)", name, session.datapath_id, session.peer)
        self.sessions[name] = session
        self._effects.accepted(session)

    def _session_closed(self, session: Session) -> None:
        self._strangers.pop(session, None)
        name = self._bridge_of(session)
        if name is not None:
            del self.sessions[name]
            self._effects.senders[name].detach(session)

    def _ports_listed(self, session: Session, ports: Iterable[PortDesc]) -> None:
        name = self._bridge_of(session)
        if name is None:
            return
        ofports = {port.name: port.port_no for port in ports if port.port_no < OFPP_MAX}
        if name == self.names.integration_bridge:
            for gone in self.table.ofports.keys() - ofports.keys():
                self.table.set_ofport(gone, None)
            for device, ofport in ofports.items():
                self.table.set_ofport(device, ofport)
        else:
            self._tunnel_ports = ofports
        self._listed.add(name)
        self._connected.append((name, session))

    def _port_seen(self, session: Session, port: PortDesc, present: bool) -> None:
        name = self._bridge_of(session)
        if name is None or port.port_no >= OFPP_MAX:
            return
        if name == self.names.integration_bridge:
            if present or self.table.ofports.get(port.name) == port.port_no:
                self.table.set_ofport(port.name, port.port_no if present else None)
        elif present:
            self._tunnel_ports[port.name] = port.port_no
        elif self._tunnel_ports.get(port.name) == port.port_no:
            del self._tunnel_ports[port.name]

    # -- decisions -----------------------------------------------------------------------------------------------------

    @property
    def is_informed(self) -> bool:
        """True once all is known that flows are compiled from; before that nothing is touched."""
        return self._has_vswitch and self._has_topology and self.names.integration_bridge in self._listed

    def _settle(self) -> None:
        if self.is_informed:
            self._decide()
        # Only now, because port numbers may have changed while the bridge was away: what its sender compares the
        # bridge with must be made of the new ones.
        for name, session in self._connected:
            if self.sessions.get(name) is session:
                self._effects.senders[name].attach(session)
        self._connected.clear()

    def _decide(self) -> None:
        changed = self.table.decide()
        touched = self.wiring.update(changed)
        patch_int = self._tunnel_ports.get(self.names.patch_int)
        ready = {self.names.integration_bridge} | (self._listed & {self.names.tunnel_bridge})
        if touched or patch_int != self._patch_int or ready != self._started:
            self._patch_int = patch_int
            self._compile(touched, ready)
        self._tag(touched)
        self._say(changed)
        for conflict in self.wiring.conflicts:
            LOG.warning(
                "device %s keeps not its tag %d: %s", conflict.claim.device, conflict.claim.vlan, conflict.reason
            )
        reports = self.outcomes.settle()
        if reports:
            self._effects.report(reports)

    def _compile(self, touched: Iterable[str], ready: set[str]) -> None:
        was = dict(self.compiler.problems)
        changes = self.compiler.update(self.wiring.view(self._patch_int))
        self._generation += 1
        swapped = {unit.id for unit in was.keys() ^ self.compiler.problems.keys() if unit.kind is UnitKind.PORT}
        self.outcomes.touch({*touched, *swapped}, self._generation)
        for name, sender in self._effects.senders.items():
            if name in self._started:
                sender.want(changes[name].flows if name in changes else {}, self._generation)
            elif name in ready:
                self._started.add(name)
                sender.want(self.compiler.flows(name), self._generation)
        for unit, reason in self.compiler.problems.items():
            if was.get(unit) != reason:
                LOG.error("%s gets no flows: %s", unit, reason)

    def _tag(self, touched: Iterable[str]) -> None:
        wanted = {}
        for port_id in touched:
            for verdict in self.table.verdicts.get(port_id, ()):
                device = verdict.device
                tagging = self.wiring.tags[device.port_name]
                if tagging.agrees(device.tag, device.other_config):
                    self._tag_sent.pop(device.port_name, None)
                elif self._tag_sent.get(device.port_name) != tagging:
                    self._tag_sent[device.port_name] = wanted[device.port_name] = tagging
        if wanted:
            self._effects.tag(wanted)

    def _say(self, port_ids: Iterable[str]) -> None:
        """Log what devices have become, each time it changes."""
        for port_id in port_ids:
            for verdict in self.table.verdicts.get(port_id, ()):
                device, reason = verdict.device.name, self.wiring.reason(verdict)
                now = reason, verdict.mac_address
                if self._said.get(device) == now:
                    continue
                self._said[device] = now
                if reason is not None:
                    LOG.warning("device %s (port %s) is not bound: %s", device, port_id, reason)
                else:
                    self._check_mac(verdict)
        for device in self._said.keys() - self.table.devices.keys():
            del self._said[device]
            LOG.info("device %s is gone", device)

    def _check_mac(self, verdict: Verdict) -> None:
        attached, port = verdict.device.attached_mac, self.table.ports[verdict.port_id]
        try:
            agrees = attached is None or canonical_mac(attached) == port.mac_address
        except ValueError:
            agrees = False
        if not agrees:
            LOG.warning(
                "device %s has attached-mac %.64r, port %s has mac_address %s: the port's is used",
                verdict.device.name, attached, port.id, port.mac_address,
            )  # fmt: skip
