"""An agent with nothing behind its outputs but lists, driven by events."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from apps.framework.compiler import Compiler
from apps.framework.flow import Flow, FlowKey
from apps.framework.render import render
from controller.agent.events import (
    Event,
    Identified,
    PortSeen,
    PortsListed,
    Registered,
)
from controller.agent.host_agent import HostAgent
from controller.agent.host_snapshot import DeviceState, HostSnapshot
from controller.agent.outputs import Outputs
from controller.agent.restore.restore_guard import SavedState
from controller.agent.security.concerned_zones import ConcernedZone
from controller.agent.security.port_filters import PortFilters
from controller.agent.tunnels.port_moves import MacAnnouncement
from controller.agent.tunnels.tunnel_plan import TunnelOptions
from controller.openflow.channel.endpoint import Arrival
from controller.openflow.channel.session import Session, Timeouts
from controller.openflow.tables.sender import Synced
from controller.openflow.wire.messages import PortDesc
from controller.vswitch.bridge_setup import WantedBridges
from controller.vswitch.device import Device
from controller.vswitch.interface_rows import VSwitchBatch
from controller.vswitch.names import Names, physical_names
from controller.vswitch.tagging import Tagging, wired
from topology.model import Network, NetworkType, Port, PortStatus
from topology.source import PortInterest, PortReport, TopologyBatch, WriteBack

NET = Network("c4d8b48b-6ff7-43b6-a203-8f1192a16f07", NetworkType.GRE, 2)
PORT = Port("99f91280-a060-442e-90b0-d8324e50efc8", NET.id, "fa:16:3e:02:dd:79")
TAP = "qvo99f91280-a0"
DATAPATHS = {"br-int": 0x11, "br-tun": 0x22}
OFPP_LOCAL = 0xFFFFFFFE
TOPOLOGY = TopologyBatch(True, networks={NET.id: NET}, ports={PORT.id: PORT})
CLAIM = PortReport(PORT.id, "host1", True, PortStatus.ACTIVE)


NOTHING = SavedState()


def serial(datapath_id: int) -> str:
    """The serial number of a bridge."""
    return f"tunbridge-{datapath_id:020x}"


SERIALS = {name: serial(datapath_id) for name, datapath_id in DATAPATHS.items()}


NO_TUNNELS = TunnelOptions(None)


class Bridge:
    """Stands where a bridge's sender does: keeps what is wanted of the bridge."""

    def __init__(self) -> None:
        self.flows: dict[FlowKey, Flow] = {}
        self.generation = 0
        self.sessions: list[Session] = []

    def want(self, changes: Mapping[FlowKey, Flow | None], generation: int) -> None:
        self.generation = generation
        for key, flow in changes.items():
            if flow is None:
                del self.flows[key]
            else:
                self.flows[key] = flow

    def attach(self, session: Session) -> None:
        self.sessions.append(session)

    def detach(self, session: Session) -> None:
        self.sessions.remove(session)

    @property
    def table(self) -> list[str]:
        """The wanted flows in ovs-ofctl syntax, sorted."""
        return sorted(render(flow, cookie=False) for flow in self.flows.values())


class DecidingHost:
    """An agent with nothing behind its outputs but lists.

    :param saved: what it knows of an earlier run
    :param mappings: physical network → bridge
    :param is_partial: it follows of the topology what concerns it
    :param unenforced: the option that has nothing filtered
    """

    def __init__(
        self,
        saved: SavedState = NOTHING,
        mappings: Mapping[str, str] = MappingProxyType({}),
        *,
        is_partial: bool = False,
        tunnels: TunnelOptions = NO_TUNNELS,
        unenforced: str | None = None,
    ) -> None:
        names = Names("host1", "br-int", "br-tun", "patch-tun", "patch-int", physical_names(mappings))
        self.bridges = {name: Bridge() for name in names.bridges}
        self.tags: list[dict[str, Tagging]] = []
        self.reports: list[dict[str, PortReport]] = []
        self.announcements: list[MacAnnouncement] = []
        self.retried_ports: list[Mapping[str, str]] = []
        self.checks = 0
        self.saved: list[SavedState] = []
        self.write_backs: list[WriteBack] = []
        self.interests: list[PortInterest] = []
        self.ended: list[Mapping[int, ConcernedZone]] = []
        self.sockets: list[socket.socket] = []
        outputs = Outputs(
            flows=self.bridges,
            tag=lambda tags: self.tags.append(dict(tags)),
            report=lambda reports: self.reports.append(dict(reports)),
            set_up=self._set_up,
            register=lambda: None,
            save=self.saved.append,
            write_back=self.write_backs.append,
            accepted=lambda session: None,
            announce=self.announcements.append,
            retry_ports=self.retried_ports.append,
            follow=self.interests.append if is_partial else None,
            end_connections=self.ended.append,
        )
        self.compiler = Compiler()
        filters = PortFilters(unenforced)
        self.agent = HostAgent(names, tunnels, self.compiler, outputs, saved, filters=filters)
        self._first: list[Event] = [Registered()]

    def _set_up(self, wanted: WantedBridges) -> None:
        self.checks += 1

    @property
    def snapshot(self) -> HostSnapshot:
        """What the agent has published."""
        return self.agent.snapshot

    def device(self, port_id: str = PORT.id) -> DeviceState:
        """What it has published of the one device of a port."""
        (state,) = self.snapshot.devices[port_id]
        return state

    @property
    def building(self) -> int:
        """Number of devices whose port is said to be being built."""
        return sum(one.status is PortStatus.BUILD for states in self.snapshot.devices.values() for one in states)

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Bridge → its connection."""
        return self.agent.facts.bridges.sessions

    def step(self, *events: Event) -> None:
        """Let the agent handle events in one go."""
        first, self._first = self._first, []
        self.agent.handle([*first, *events])

    def session(self, datapath_id: int) -> Session:
        """A connection whose handshake is done."""
        ours, theirs = socket.socketpair()
        self.sockets += [ours, theirs]
        session = Session(Arrival(ours, "test"), Timeouts(5, 5), lambda event, phase: None)
        session.handshake.datapath_id, session.handshake.serial = datapath_id, serial(datapath_id)
        return session

    def connect(self, name: str, *ports: tuple[str, int]) -> Session:
        """A bridge connects and lists its ports (name, number)."""
        session = self.session(DATAPATHS[name])
        listed = tuple(port_desc(*port) for port in (*ports, (name, OFPP_LOCAL)))
        self.step(Identified(session))
        self.step(PortsListed(session, listed))
        return session

    def confirm(self, *names: str) -> None:
        """Bridges, or all, say that all that is wanted of them is in place."""
        for name in names or self.bridges:
            self.step(Synced(name, self.bridges[name].generation, {}))

    def seen(self, session: Session, name: str, number: int, *, present: bool = True) -> None:
        """The switch tells of a port, or (not present) that it has gone."""
        self.step(PortSeen(session, port_desc(name, number), present))

    def bring_up(self) -> Session:
        """Have :data:`PORT` bound, tagged and ACTIVE; the session of br-int."""
        self.step(devices(device(), complete=True), TOPOLOGY)
        session = self.connect("br-int", (TAP, 5), ("patch-tun", 6))
        self.connect("br-tun", ("patch-int", 1))
        self.confirm()
        self.step(devices(tagged(1)))
        self.confirm()
        assert self.reports == [{PORT.id: CLAIM}]
        return session

    def close(self) -> None:
        """Close what :meth:`session` opened."""
        for sock in self.sockets:
            sock.close()


def port_desc(name: str, number: int) -> PortDesc:
    """A port as the switch tells of it."""
    return PortDesc(number, name)


def device(**more: Any) -> Device:
    """The device of :data:`PORT`, not tagged yet, but for what ``more`` says."""
    return Device(**{"name": TAP, "port_name": TAP, "iface_id": PORT.id, "attached_mac": PORT.mac_address, **more})


def devices(*changed: Device, complete: bool = False) -> VSwitchBatch:
    """What the local OVSDB says of some devices."""
    return VSwitchBatch(complete, {one.name: one for one in changed}, DATAPATHS, layout=complete, serials=SERIALS)


def tagged(vlan: int) -> Device:
    """The device of :data:`PORT` once it is tagged."""
    tagging = wired(NET, vlan)
    return device(tag=tagging.tag, other_config=dict(tagging.wiring))
