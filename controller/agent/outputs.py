"""What the agent can bring about; others do it, each in a thread of its own, so that it never waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from apps.framework.flow import Flow, FlowKey
from controller.agent.restore.restore_guard import SavedState
from controller.agent.security.concerned_zones import ConcernedZone
from controller.agent.tunnels.port_moves import MacAnnouncement
from controller.openflow.channel.session import Session
from controller.runtime.binding_times import BindingTimes
from controller.vswitch.bridge_setup import WantedBridges
from controller.vswitch.tagging import Tagging
from topology.event_kinds import HostEvent
from topology.source import PortInterest, PortReport, WriteBack


class FlowSink(Protocol):
    """Takes the flows of one bridge; see :class:`controller.openflow.tables.sender.Sender`."""

    def want(self, changes: Mapping[FlowKey, Flow | None], generation: int) -> None: ...

    def attach(self, session: Session) -> None: ...

    def detach(self, session: Session) -> None: ...


def discard(_event: HostEvent) -> None:
    """Where nobody keeps events."""


def leave(_zones: Mapping[int, ConcernedZone]) -> None:
    """Where nothing is connected."""


@dataclass(frozen=True)
class Outputs:
    """What the agent can bring about. All of it is made before the agent; what comes of it comes back as an event.

    :param flows: bridge → who writes its flows
    :param tag: has Ports tagged
    :param report: has port states written to the topology
    :param set_up: has bridges, patches and tunnel ports of the local OVSDB made as they should be
    :param register: has this host registered again
    :param save: has it saved over a restart what runs here
    :param write_back: has that written to the topology
    :param accepted: is told of sessions that turned out to be a bridge of this host
    :param announce: has br-tun, or br-int for those that are here, told where ports are that have moved
    :param retry_ports: has Open vSwitch try again to make ports, given by name with the reason why it could not
    :param note: takes an event of which the log has no line
    :param trace: takes the times of a binding; None: nobody wants them
    :param end_connections: has zones of conntrack looked through for connections that are not allowed any more
    :param follow: has ports of the topology followed by their ids; None: all are followed
    """

    flows: Mapping[str, FlowSink]
    tag: Callable[[Mapping[str, Tagging]], None]
    report: Callable[[Mapping[str, PortReport]], None]
    set_up: Callable[[WantedBridges], None]
    register: Callable[[], None]
    save: Callable[[SavedState], None]
    write_back: Callable[[WriteBack], None]
    accepted: Callable[[Session], None]
    announce: Callable[[MacAnnouncement], None]
    retry_ports: Callable[[Mapping[str, str]], None]
    follow: Callable[[PortInterest], None] | None = None
    note: Callable[[HostEvent], None] = discard
    trace: Callable[[BindingTimes], None] | None = None
    end_connections: Callable[[Mapping[int, ConcernedZone]], None] = leave
