"""What a controller would do to this host, found out by letting it do so to a host that does everything at once.

The deciding worker is the real one, and so is all that it is made of. Its effects end here: bridges that take every
flow, a local OVSDB that takes every tag, ports that are there as soon as they are asked for. What they bring about is
told to the worker as it is on a real host, until nothing more follows.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from immutables import Map

from apps import APPLICATIONS
from apps.framework.app import App
from apps.framework.compiler import Compiler
from apps.framework.flow import Flow, FlowKey
from apps.framework.options import OptionValue
from controller.agent.events import Event, Identified, PortSeen, PortsListed, Registered
from controller.agent.host_agent import HostAgent
from controller.agent.outputs import Outputs
from controller.agent.patches import roles
from controller.agent.restore.restore_guard import SavedState
from controller.agent.security.port_filters import PortFilters
from controller.agent.tunnels.tunnel_plan import TunnelOptions
from controller.openflow.channel.endpoint import Arrival
from controller.openflow.channel.openflow_client import BridgeState
from controller.openflow.channel.session import Session, Timeouts
from controller.openflow.tables.sender import Synced
from controller.openflow.wire.messages import PortDesc
from controller.vswitch.bridge_setup import WantedBridges
from controller.vswitch.device import PORT_NAME_MAX, Device
from controller.vswitch.interface_rows import VSwitchBatch
from controller.vswitch.local_ovsdb import Attempt
from controller.vswitch.names import Names
from controller.vswitch.tagging import Tagging
from topology.errors import TunbridgeError
from topology.source import PortReport, TopologyBatch, WriteBack

_FIRST_NEW_OFPORT = 0xFF000000
"""Numbers from here on stand for ports that Open vSwitch has yet to number; its own end at 0xfeff."""

_NEW_DATAPATH = 1 << 63
"""Datapath ids from here on stand for bridges that are not there yet."""

_SERIAL = "dry run"
"""The serial number that all bridges have been given, and show."""

_ROUNDS = 100
"""How often what was brought about may bring about more; some 5 are usual."""


class _Connection(Session):
    """The session of a bridge that is not spoken to: it is there to be told from others.

    :param accepted: is called when it is let in
    """

    def __init__(self, datapath_id: int, accepted: Callable[[], None]) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            super().__init__(Arrival(sock, "dry run"), Timeouts(0, 0), lambda event, phase: None)
        self.handshake.datapath_id, self.handshake.serial = datapath_id, _SERIAL
        self._accepted_as_ours = accepted

    def accept(self, name: str) -> None:
        self.is_accepted = True
        self._accepted_as_ours()

    def close(self, reason: str | None = None) -> None:
        """There is nothing to be closed."""


class _Flows:
    """Takes the flows of one bridge, and says at once that they are in place."""

    def __init__(self, bridge: str, react: Callable[[Event], None]) -> None:
        self.wanted: dict[FlowKey, Flow] | None = None
        self._bridge = bridge
        self._react = react

    def want(self, changes: Mapping[FlowKey, Flow | None], generation: int) -> None:
        self.wanted = {key: flow for key, flow in {**(self.wanted or {}), **changes}.items() if flow is not None}
        self._react(Synced(self._bridge, generation, {}))

    def attach(self, session: Session) -> None:
        """There is no connection."""

    def detach(self, session: Session) -> None:
        """There is no connection."""


class SimulatedHost:
    """One agent on one host that does everything at once.

    :param attempt: what a set-up of the local OVSDB would come to
    :param vswitch: what is in it, complete
    :param topology: what is in the topology, complete
    :param installed: bridge → what it has; bridges that are not there are left out
    :param saved: of the controller that ran before
    :param options: of applications
    :param filters: which ports are filtered
    :param apps: the applications
    """

    def __init__(
        self,
        names: Names,
        tunnels: TunnelOptions,
        attempt: Callable[[WantedBridges], Attempt],
        vswitch: VSwitchBatch,
        topology: TopologyBatch,
        installed: Mapping[str, BridgeState],
        saved: SavedState,
        options: Map[str, OptionValue],
        filters: PortFilters,
        apps: Sequence[App] = APPLICATIONS,
    ) -> None:
        self.wanted = WantedBridges(None)
        self.tags: dict[str, Tagging] = {}
        self.reports: dict[str, PortReport] = {}
        self.write_back: WriteBack | None = None
        self.new_ports: dict[int, str] = {}
        """The numbers of ports that are not there yet → their names."""
        self._attempt = attempt
        self._installed = installed
        self._datapaths = dict(vswitch.datapaths)
        self._devices: dict[str, Device] = {name: one for name, one in vswitch.devices.items() if one is not None}
        self._sessions: dict[str, _Connection] = {}
        self._ports: dict[str, dict[str, int]] = {}
        self._vswitch = replace(vswitch, serials=dict.fromkeys(names.bridges, _SERIAL))
        self._waiting: list[Event] = []
        self._sinks = {name: _Flows(name, self._react) for name in roles(names)}
        outputs = Outputs(
            flows=self._sinks,
            tag=self._tag,
            report=self.reports.update,
            set_up=self._set_up,
            register=lambda: None,
            save=lambda _: None,
            write_back=self._write_back,
            accepted=lambda _: None,
            announce=lambda _: None,
            retry_ports=lambda _: None,
        )
        self._agent = HostAgent(names, tunnels, Compiler(apps), outputs, saved, options, filters)
        self._react(topology)
        self._react(Registered())
        self._react(replace(self._vswitch, complete=True, layout=True))

    @property
    def flows(self) -> dict[str, dict[FlowKey, Flow]]:
        """Bridge → the flows that it should have; a bridge that would not be touched is left out."""
        return {name: sink.wanted for name, sink in self._sinks.items() if sink.wanted is not None}

    def run(self) -> None:
        """Let the agent decide until nothing follows any more.

        :raises TunbridgeError: as of ``attempt``; or it comes to no end
        """
        for _ in range(_ROUNDS):
            if not self._waiting:
                return
            events, self._waiting = self._waiting, []
            self._agent.handle(events)
        raise TunbridgeError(f"the controller has not come to an end after {_ROUNDS} rounds of the dry run")

    def _react(self, event: Event) -> None:
        """Let the agent know in the next round."""
        self._waiting.append(event)

    def _set_up(self, wanted: WantedBridges) -> None:
        self.wanted = wanted
        interfaces = self._attempt(wanted).interfaces
        bridges = {name: ports for name, ports in interfaces.items() if name in self._sinks}
        made = bridges.keys() - self._datapaths.keys()
        if made:
            self._datapaths.update((name, _NEW_DATAPATH + number) for number, name in enumerate(sorted(made)))
            self._tell({})
        for bridge, ports in bridges.items():
            if bridge not in self._sessions:
                self._connect(bridge)
            self._show_ports(bridge, ports)

    def _connect(self, bridge: str) -> None:
        installed = self._installed.get(bridge)
        listed = installed.ports if installed is not None else ()
        self._ports[bridge] = {port.name: port.port_no for port in listed}
        session = self._sessions[bridge] = _Connection(self._datapaths[bridge], partial(self._list_ports, bridge))
        self._react(Identified(session))

    def _list_ports(self, bridge: str) -> None:
        """A bridge that is let in tells its ports, and only then."""
        ports = tuple(PortDesc(number, name) for name, number in self._ports[bridge].items())
        self._react(PortsListed(self._sessions[bridge], ports))

    def _show_ports(self, bridge: str, names: tuple[str, ...]) -> None:
        """Ports that are to be made are there at once; ports that are to go are gone."""
        there = self._ports[bridge]
        short = {name[:PORT_NAME_MAX]: name for name in names}
        for name in short.keys() - there.keys() - {bridge}:
            if name in self._devices:
                continue  # Open vSwitch has not made it, and does not because of us
            number = _FIRST_NEW_OFPORT + len(self.new_ports)
            self.new_ports[number] = short[name]
            there[name] = number
            self._react(PortSeen(self._sessions[bridge], PortDesc(number, name), True))
        for name in there.keys() - short.keys() - {bridge}:
            self._react(PortSeen(self._sessions[bridge], PortDesc(there.pop(name), name), False))

    def _write_back(self, wanted: WriteBack) -> None:
        self.write_back = wanted

    def _tag(self, wanted: Mapping[str, Tagging]) -> None:
        self.tags.update(wanted)
        changed = {
            name: replace(device, **vars(tagging.columns), other_config=tagging.written(device.other_config))
            for name, device in self._devices.items()
            if (tagging := wanted.get(device.port_name)) is not None
        }
        self._devices.update(changed)
        self._tell(changed)

    def _tell(self, changed: Mapping[str, Device]) -> None:
        """Something has changed in the local OVSDB."""
        told = replace(self._vswitch, devices=dict(changed), datapaths=dict(self._datapaths))
        self._react(replace(told, complete=False, layout=False, restoring=False))
