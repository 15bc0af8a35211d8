"""What the agent tells of itself: one frozen value, made anew after each walk and published by assignment.

Status, metrics, the supervisor and the dry run read it, in any thread, and nothing else of the agent. Maps in it are
persistent or replaced as a whole, never changed, so that making it costs what has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from immutables import Map

from apps.framework.app import Unit
from apps.framework.host_view import HostView
from controller.runtime.metric_families import Durations
from controller.vswitch.names import Names
from controller.vswitch.row_drift import RowDrift
from topology.model import PortStatus
from topology.source import RowProblem


@dataclass(frozen=True)
class DeviceState:
    """A device with an ``iface-id``.

    :param ofport: on br-int; None while it has none
    :param network_id: of its port, where the topology has that
    :param vlan: local VLAN, where it is bound
    :param reason: what stands against ACTIVE
    """

    port_id: str
    device: str
    ofport: int | None
    network_id: str | None
    vlan: int | None
    status: PortStatus
    reason: str | None


@dataclass(frozen=True)
class TunnelState:
    """A tunnel port that this host should have.

    :param ofport: on br-tun; None while it is not there
    """

    host: str
    type: str
    remote_ip: str
    device: str
    ofport: int | None


@dataclass(frozen=True)
class HostSnapshot:
    """One host.

    :param view: what flows are compiled from: with what is bound and filtered here, and security groups
    :param is_complete: all is known that flows are compiled from
    :param devices: by port id
    :param active: number of ports that are up
    :param twins: bridge that is not served, since another has its datapath id → that, in words
    :param datapaths: bridge → datapath id, of all bridges of this machine
    :param connected: bridges of this host that are connected
    :param patched: physical networks whose patch may carry frames
    :param is_restoring: an ovs-vswitchd that starts waits until its flows are restored, without a controller
    :param row_problems: rows of the topology that cannot be used
    :param restore_problems: what runs here and cannot be written back to the topology
    :param unit_problems: flows that are left out → why
    :param ports_not_made: name of a patch or tunnel port that Open vSwitch could not make → why
    :param ports_misplaced: name of one that has no place → why
    :param vlan_conflicts: local VLAN that a network had to leave to others who have it now → that, in words
    :param unserved: Interfaces whose ``iface-id`` is of no use → why
    :param open_trunks: devices without an ``iface-id`` that are in all VLANs of br-int
    :param unfiltered: ports that ask for port security, which is switched off on this host → by what
    :param tunnel_problems: what stands against tunnels to other hosts, though all is as it should be here
    :param address_conflicts: addresses of one port that others of its network may use too, a line each
    :param flapping_ports: ports that go back and forth between this host and others, a line each
    :param tag_drift: tags that others have changed
    :param durations: seconds from the event that completes a port's binding until it is up; goes on counting
    :param stages: the same of each part of that, by the name of the stage
    """

    names: Names
    view: HostView = field(default_factory=HostView)
    is_complete: bool = False
    devices: Map[str, tuple[DeviceState, ...]] = field(default_factory=Map)
    active: int = 0
    tunnels: tuple[TunnelState, ...] = ()
    twins: Mapping[str, str] = field(default_factory=dict)
    datapaths: Mapping[str, int] = field(default_factory=dict)
    connected: frozenset[str] = frozenset()
    patched: frozenset[str] = frozenset()
    is_restoring: bool = False
    row_problems: tuple[RowProblem, ...] = ()
    restore_problems: tuple[str, ...] = ()
    unit_problems: Mapping[Unit, str] = field(default_factory=dict)
    ports_not_made: Mapping[str, str] = field(default_factory=dict)
    ports_misplaced: Mapping[str, str] = field(default_factory=dict)
    vlan_conflicts: Mapping[int, str] = field(default_factory=dict)
    unserved: Mapping[str, str] = field(default_factory=dict)
    open_trunks: frozenset[str] = frozenset()
    unfiltered: Mapping[str, str] = field(default_factory=dict)
    tunnel_problems: tuple[str, ...] = ()
    address_conflicts: tuple[str, ...] = ()
    flapping_ports: tuple[str, ...] = ()
    tag_drift: RowDrift = field(default_factory=RowDrift)
    durations: Durations = field(default_factory=lambda: Durations(()))
    stages: Mapping[str, Durations] = field(default_factory=dict)


class Published(Protocol):
    """Whoever publishes snapshots."""

    @property
    def snapshot(self) -> HostSnapshot:
        """The last one."""
