"""Rows of the local Open_vSwitch database as the values that binding works on.

Runs in the replica's thread; what leaves it is frozen. A row that makes no sense (a tag that is no VLAN, an
``ofport`` of -1, an ``iface-id`` of a megabyte) is a value like any other here: :mod:`controller.agent.binding` says
what it means.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, ClassVar

from controller.vswitch.bridge_proof import serial_of
from controller.vswitch.device import Device, fault_of
from controller.vswitch.names import NO_PEER
from topology.model import NetworkType
from topology.ovsdb.replica import RowChanges

TABLES: Mapping[str, tuple[str, ...]] = {
    "Open_vSwitch": ("bridges", "other_config"),
    "Bridge": ("name", "ports", "controller", "fail_mode", "protocols", "datapath_id", "datapath_type", "other_config"),
    "Port": ("name", "interfaces", "tag", "trunks", "other_config"),
    "Interface": ("name", "type", "options", "external_ids", "ofport", "error"),
    "Controller": ("target", "type", "connection_mode", "max_backoff", "is_connected"),
}
"""What is followed; statistics and the like change all the time and are left out."""


@dataclass(frozen=True)
class VSwitchBatch:
    """What changed together in the local OVSDB.

    :param complete: everything there is; what was known before is void
    :param devices: Interfaces of the integration bridge by name; None: gone
    :param datapaths: bridge → datapath id, for all bridges that have one
    :param layout: something changed that the set-up of bridges depends on
    :param faults: patch and tunnel ports that Open vSwitch could not make, all there are, with its reason
    :param serials: bridge → serial number by which it is told from impostors, for all bridges that have one
    :param restoring: ``other_config:flow-restore-wait`` is set: an ovs-vswitchd that starts connects to no controller
    """

    complete: bool
    devices: Mapping[str, Device | None] = field(default_factory=dict)
    datapaths: Mapping[str, int] = field(default_factory=dict)
    layout: bool = False
    faults: Mapping[str, str] = field(default_factory=dict)
    serials: Mapping[str, str] = field(default_factory=dict)
    restoring: bool = False

    key: ClassVar[str] = "vswitch"
    """What it is about: of several that wait for one worker, one is made."""

    def merge(self, newer: VSwitchBatch) -> VSwitchBatch:
        """Both batches as one."""
        if newer.complete:
            return newer
        return VSwitchBatch(
            self.complete,
            {**self.devices, **newer.devices},
            newer.datapaths,
            self.layout or newer.layout,
            newer.faults,
            newer.serials,
            newer.restoring,
        )


TUNNEL_TYPES = frozenset(kind.value for kind in NetworkType if kind.is_tunnel)
"""Types of Interfaces that lead to other hosts."""


def optional(values: list[Any]) -> Any | None:
    """The value of a column that holds at most one."""
    return values[0] if values else None


class PortSet:
    """The ports of one bridge, of which it says which came and which went.

    The IDL gives a set of references as a sorted list of rows, made anew whenever it is read, which takes 5 ms where
    there are a thousand. But where it keeps them, what is new stands last, so that one more port costs as much as in
    an empty bridge.
    """

    def __init__(self) -> None:
        self._ports: set[uuid.UUID] = set()

    def __contains__(self, port: uuid.UUID) -> bool:
        return port in self._ports

    def among(self, ports: Iterable[uuid.UUID]) -> frozenset[uuid.UUID]:
        """Those of some ports that are on the bridge."""
        return frozenset(port for port in ports if port in self._ports)

    def follow(self, row: Any | None, deleted: Iterable[uuid.UUID] | None = None) -> set[uuid.UUID]:
        """Take in the bridge's row as it is now, None where it is gone; the ports that came or went.

        :param deleted: Ports whose rows went with this change; None: ports may have gone elsewhere too
        """
        references = row._data["ports"].values if row is not None else {}
        came = set(takewhile(lambda port: port not in self._ports, (atom.value for atom in reversed(references))))
        gone = self._ports.intersection(deleted or ())
        if deleted is None or len(self._ports) + len(came) - len(gone) != len(references):
            now = {atom.value for atom in references}
            came, gone = now - self._ports, self._ports - now
        self._ports -= gone
        self._ports |= came
        return gone | came


class RowTracker:
    """Keeps track of which Interface is a device of the integration bridge.

    :param integration_bridge: its name
    :param patch_ports: names of the ports whose rows belong to the set-up of bridges
    """

    def __init__(self, integration_bridge: str, patch_ports: frozenset[str]) -> None:
        self._bridge_name = integration_bridge
        self._patch_ports = patch_ports
        self._reset()

    def _reset(self) -> None:
        self._bridge_ports = PortSet()
        self.port_ids: dict[str, uuid.UUID] = {}
        """Name of a Port → its row; only for the replica's thread."""
        self._port_names: dict[uuid.UUID, str] = {}
        self._port_rows: dict[uuid.UUID, Any] = {}
        self._interface_rows: dict[uuid.UUID, Any] = {}
        self._port_of: dict[uuid.UUID, uuid.UUID] = {}
        self._interfaces_of: dict[uuid.UUID, tuple[uuid.UUID, ...]] = {}
        self._bridges: dict[uuid.UUID, tuple[str, int | None, str | None]] = {}
        self._patch_rows: set[uuid.UUID] = set()
        self._layouts: dict[uuid.UUID, tuple[Any, ...]] = {}
        self._told: dict[uuid.UUID, Device] = {}
        self._faults: dict[uuid.UUID, tuple[str, str]] = {}
        self._restoring = False

    def convert(self, changes: RowChanges) -> VSwitchBatch | None:
        """Turn changed rows into a batch; None when they change nothing that matters here."""
        if changes.complete:
            self._reset()
        for row in changes.rows.get("Open_vSwitch", {}).values():
            self._restoring = row is not None and row.other_config.get("flow-restore-wait", "").lower() == "true"
        touched = self._take_interfaces(changes.rows.get("Interface", {}))
        touched |= self._take_ports(changes.rows.get("Port", {}))
        bridges, layouts, faults = dict(self._bridges), dict(self._layouts), dict(self._faults)
        self._take_faults(changes.rows.get("Interface", {}))
        touched |= self._take_bridges(changes.rows.get("Bridge", {}), changes.rows.get("Port", {}))
        devices = self._devices(touched)
        layout = self._layouts != layouts or self._is_layout(changes)
        if not (changes.complete or devices or layout or (self._bridges, self._faults) != (bridges, faults)):
            return None
        datapaths = {name: datapath for name, datapath, _ in self._bridges.values() if datapath is not None}
        serials = {name: serial for name, _, serial in self._bridges.values() if serial is not None}
        faults_now = dict(self._faults.values())
        return VSwitchBatch(changes.complete, devices, datapaths, layout, faults_now, serials, self._restoring)

    def _take_faults(self, rows: Mapping[uuid.UUID, Any | None]) -> None:
        for identity, row in rows.items():
            self._faults.pop(identity, None)
            if row is not None and (row.type in TUNNEL_TYPES or row.name in self._patch_ports):
                fault = fault_of(optional(row.ofport), optional(row.error))
                if fault is not None and NO_PEER not in fault:  # else it is about to be joined
                    self._faults[identity] = row.name, fault

    def _take_interfaces(self, rows: Mapping[uuid.UUID, Any | None]) -> set[uuid.UUID]:
        for identity, row in rows.items():
            if row is None:
                self._interface_rows.pop(identity, None)
            else:
                self._interface_rows[identity] = row
        return set(rows)

    def _take_ports(self, rows: Mapping[uuid.UUID, Any | None]) -> set[uuid.UUID]:
        touched: set[uuid.UUID] = set()
        for identity, row in rows.items():
            touched.update(self._interfaces_of.pop(identity, ()))
            if row is None:
                self._port_rows.pop(identity, None)
                self._forget_port(identity)
                self._patch_rows.discard(identity)
                continue
            self._port_rows[identity] = row
            self._port_names[identity] = row.name
            self.port_ids[row.name] = identity
            if row.name in self._patch_ports:
                self._patch_rows.add(identity)
            interfaces = tuple(interface.uuid for interface in row.interfaces)
            self._interfaces_of[identity] = interfaces
            self._port_of.update(dict.fromkeys(interfaces, identity))
            touched.update(interfaces)
        return touched

    def _forget_port(self, identity: uuid.UUID) -> None:
        name = self._port_names.pop(identity, "")
        if self.port_ids.get(name) == identity:  # else another row has the name by now
            del self.port_ids[name]

    def _take_bridges(
        self, rows: Mapping[uuid.UUID, Any | None], ports: Mapping[uuid.UUID, Any | None]
    ) -> set[uuid.UUID]:
        touched: set[uuid.UUID] = set()
        # a port that leaves its bridge is deleted, unless another bridge gets it
        deleted = [identity for identity, row in ports.items() if row is None] if len(rows) == 1 else None
        for identity, row in rows.items():
            was = self._bridges.pop(identity, None)
            self._layouts.pop(identity, None)
            is_ours = row is not None and row.name == self._bridge_name
            if is_ours or (was is not None and was[0] == self._bridge_name):
                for port in self._bridge_ports.follow(row if is_ours else None, deleted):
                    touched.update(self._interfaces_of.get(port, ()))
            if row is not None:
                members = self._bridge_ports.among(self._patch_rows) if is_ours else _ports(row)
                self._bridges[identity] = (row.name, _datapath_id(row), serial_of(row.other_config))
                self._layouts[identity] = _layout(row, members)
        return touched

    def _devices(self, touched: set[uuid.UUID]) -> dict[str, Device | None]:
        gone: dict[str, Device | None] = {}
        here: dict[str, Device | None] = {}
        for identity in touched:
            old, device = self._told.get(identity), self._device(identity)
            if device == old:
                continue
            if old is not None:
                gone[old.name] = None
            if device is None:
                self._told.pop(identity, None)
                self._port_of.pop(identity, None)
            else:
                self._told[identity] = device
                here[device.name] = device
        return {**gone, **here}

    def _device(self, identity: uuid.UUID) -> Device | None:
        row = self._interface_rows.get(identity)
        port = self._port_rows.get(self._port_of.get(identity, identity))
        if row is None or port is None or port.uuid not in self._bridge_ports:
            return None
        if row.name in self._patch_ports or row.name == self._bridge_name:
            return None
        external_ids = row.external_ids
        return Device(
            name=row.name,
            port_name=port.name,
            iface_id=external_ids.get("iface-id") or None,
            attached_mac=external_ids.get("attached-mac"),
            tag=optional(port.tag),
            other_config=dict(port.other_config),
            error=optional(row.error),
            ofport=optional(row.ofport),
            rows=(identity, port.uuid),
        )

    def _is_layout(self, changes: RowChanges) -> bool:
        """True when the set-up of bridges depends on what changed, apart from the rows of bridges themselves."""
        if changes.complete or changes.rows.keys() & {"Open_vSwitch", "Controller"}:
            return True
        interfaces, ports = changes.rows.get("Interface", {}).values(), changes.rows.get("Port", {}).values()
        members = (interface for row in ports if row is not None for interface in row.interfaces)
        return any(row is not None and row.name in self._patch_ports for row in (*interfaces, *ports)) or any(
            row is not None and row.type in TUNNEL_TYPES for row in (*interfaces, *members)
        )


def _ports(row: Any) -> frozenset[uuid.UUID]:
    return frozenset(port.uuid for port in row.ports)


def _layout(row: Any, ports: frozenset[uuid.UUID]) -> tuple[Any, ...]:
    """What the set-up of bridges depends on in a Bridge row.

    :param ports: those that count: a device that is plugged or unplugged is no part of the layout
    """
    controllers = frozenset(controller.uuid for controller in row.controller)
    return (
        row.name,
        optional(row.fail_mode),
        frozenset(row.protocols),
        controllers,
        ports,
        serial_of(row.other_config),
    )


def _datapath_id(row: Any) -> int | None:
    try:
        return int(optional(row.datapath_id) or "", 16)
    except ValueError:
        return None
