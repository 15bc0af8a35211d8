"""Rows of the local Open_vSwitch database as the values that binding works on.

Runs in the replica's thread; what leaves it is frozen. A row that makes no sense (a tag that is no VLAN, an
``ofport`` of -1, an ``iface-id`` of a megabyte) is a value like any other here: :mod:`controller.agent.binding` says
what it means.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, ClassVar, NamedTuple

from controller.vswitch.bridge_proof import serial_of
from controller.vswitch.device import Device, VlanColumns, fault_of
from controller.vswitch.names import NO_PEER
from topology.model import NetworkType
from topology.ovsdb.edit import Edit, read
from topology.ovsdb.replica import RowChanges

TABLES: Mapping[str, tuple[str, ...]] = {
    "Open_vSwitch": ("bridges", "other_config"),
    "Bridge": (
        *("name", "ports", "controller", "fail_mode", "protocols", "datapath_id", "datapath_type", "other_config"),
        "mcast_snooping_enable",
    ),
    "Port": ("name", "interfaces", "tag", "vlan_mode", "trunks", "cvlans", "protected", "other_config"),
    "Interface": ("name", "type", "options", "external_ids", "ofport", "error"),
    "Controller": ("target", "type", "connection_mode", "max_backoff", "is_connected"),
}
"""What is followed; statistics and the like change all the time and are left out."""

MAC_TABLE_SIZE = "mac-table-size"
"""In ``Bridge.other_config``: how many addresses it learns at most."""


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
    :param unserved: Interfaces whose ``iface-id`` is of no use, all there are → why
    """

    complete: bool
    devices: Mapping[str, Device | None] = field(default_factory=dict)
    datapaths: Mapping[str, int] = field(default_factory=dict)
    layout: bool = False
    faults: Mapping[str, str] = field(default_factory=dict)
    serials: Mapping[str, str] = field(default_factory=dict)
    restoring: bool = False
    unserved: Mapping[str, str] = field(default_factory=dict)

    key: ClassVar[str] = "vswitch"
    """What it is about: of several that wait for one worker, one is made."""

    def merge(self, newer: VSwitchBatch) -> VSwitchBatch:
        """Both batches as one."""
        if newer.complete:
            return newer
        devices = {**self.devices, **newer.devices}
        return replace(newer, complete=self.complete, devices=devices, layout=self.layout or newer.layout)


TUNNEL_TYPES = frozenset(kind.value for kind in NetworkType if kind.is_tunnel)
"""Types of Interfaces that lead to other hosts."""


def optional(values: list[Any]) -> Any | None:
    """The value of a column that holds at most one."""
    return values[0] if values else None


def named(edit: Edit, table: str, name: str) -> Any | None:
    """The row of a name, None where there is none."""
    return next((row for row in edit.rows(table).values() if row.name == name), None)


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


class PortRow(NamedTuple):
    """What is known of a Port; read once for each change of its row, and not for each of its Interface."""

    row: uuid.UUID
    name: str
    interfaces: tuple[uuid.UUID, ...]
    vlans: VlanColumns
    other_config: Mapping[str, str]


class RowTracker:
    """Keeps track of which Interface is a device of the integration bridge.

    :param integration_bridge: its name
    :param patch_ports: names of the ports whose rows belong to the set-up of bridges
    :param other_bridges: those of this host on which no device is served
    """

    def __init__(
        self, integration_bridge: str, patch_ports: frozenset[str], other_bridges: frozenset[str] = frozenset()
    ) -> None:
        self._bridge_name = integration_bridge
        self._patch_ports = patch_ports
        self._other_bridges = other_bridges
        self._reset()

    def _reset(self) -> None:
        self._bridge_ports = PortSet()
        self.port_ids: dict[str, uuid.UUID] = {}
        """Name of a Port → its row; only for the replica's thread."""
        self._ports: dict[uuid.UUID, PortRow] = {}
        self._interfaces: dict[uuid.UUID, Any] = {}
        self._port_of: dict[uuid.UUID, uuid.UUID] = {}
        self._bridges: dict[uuid.UUID, tuple[str, int | None, str | None]] = {}
        self._layouts: dict[uuid.UUID, tuple[Any, ...]] = {}
        self._told: dict[uuid.UUID, Device] = {}
        self._faults: dict[uuid.UUID, tuple[str, str]] = {}
        self._unserved: dict[uuid.UUID, tuple[str, str]] = {}
        self._restoring = False

    def port(self, name: str) -> PortRow | None:
        """The Port of a name, None where there is none; only for the replica's thread."""
        return self._ports[self.port_ids[name]] if name in self.port_ids else None

    def convert(self, changes: RowChanges) -> VSwitchBatch | None:
        """Turn changed rows into a batch; None when they change nothing that matters here."""
        if changes.complete:
            self._reset()
        bridges, layouts, faults = dict(self._bridges), dict(self._layouts), dict(self._faults)
        unserved = dict(self._unserved)
        for row in changes.rows.get("Open_vSwitch", {}).values():
            self._restoring = row is not None and row.other_config.get("flow-restore-wait", "").lower() == "true"
        touched = set(changes.rows.get("Interface", {}))
        self._follow_interfaces(changes.rows.get("Interface", {}))
        touched |= self._follow_ports(changes.rows.get("Port", {}))
        touched |= self._follow_bridges(changes.rows.get("Bridge", {}), changes.rows.get("Port", {}))
        devices = self._devices(touched)
        layout = self._layouts != layouts or self._is_layout(changes)
        told = self._bridges, self._faults, self._unserved
        if not (changes.complete or devices or layout or told != (bridges, faults, unserved)):
            return None
        return VSwitchBatch(
            complete=changes.complete,
            devices=devices,
            datapaths={name: datapath for name, datapath, _ in self._bridges.values() if datapath is not None},
            layout=layout,
            faults=dict(self._faults.values()),
            serials={name: serial for name, _, serial in self._bridges.values() if serial is not None},
            restoring=self._restoring,
            unserved=dict(self._unserved.values()),
        )

    def _follow_interfaces(self, rows: Mapping[uuid.UUID, Any | None]) -> None:
        for identity, row in rows.items():
            self._faults.pop(identity, None)
            if row is None:
                self._interfaces.pop(identity, None)
                self._port_of.pop(identity, None)
                continue
            self._interfaces[identity] = row
            if read(row, "type") in TUNNEL_TYPES or read(row, "name") in self._patch_ports:
                fault = fault_of(optional(row.ofport), optional(row.error))
                if fault is not None and NO_PEER not in fault:  # else it is about to be joined
                    self._faults[identity] = row.name, fault

    def _follow_ports(self, rows: Mapping[uuid.UUID, Any | None]) -> set[uuid.UUID]:
        """Take in Port rows; the Interfaces that they had or have."""
        touched: set[uuid.UUID] = set()
        for identity, row in rows.items():
            old = self._ports.pop(identity, None)
            if old is not None:
                touched.update(old.interfaces)
                if self.port_ids.get(old.name) == identity:  # else another row has the name by now
                    del self.port_ids[old.name]
            if row is not None:
                interfaces = tuple(interface.uuid for interface in read(row, "interfaces"))
                name = read(row, "name")
                self._ports[identity] = PortRow(
                    identity, name, interfaces, VlanColumns.of(row), read(row, "other_config")
                )
                self.port_ids[name] = identity
                self._port_of.update(dict.fromkeys(interfaces, identity))
                touched.update(interfaces)
        return touched

    def _follow_bridges(
        self, rows: Mapping[uuid.UUID, Any | None], ports: Mapping[uuid.UUID, Any | None]
    ) -> set[uuid.UUID]:
        """Take in Bridge rows; the Interfaces that came to the integration bridge or left it."""
        touched: set[uuid.UUID] = set()
        # a port that leaves its bridge is deleted, unless another bridge gets it
        deleted = [identity for identity, row in ports.items() if row is None] if len(rows) == 1 else None
        for identity, row in rows.items():
            was = self._bridges.pop(identity, None)
            self._layouts.pop(identity, None)
            is_ours = row is not None and row.name == self._bridge_name
            if is_ours or (was is not None and was[0] == self._bridge_name):
                for port in self._bridge_ports.follow(row if is_ours else None, deleted):
                    if port in self._ports:
                        touched.update(self._ports[port].interfaces)
            if row is not None:
                self._bridges[identity] = (row.name, _datapath_id(row), serial_of(row.other_config))
                self._layouts[identity] = self._layout(row)
        return touched

    def _layout(self, row: Any) -> tuple[Any, ...]:
        """What the set-up of bridges depends on in a Bridge row; devices come and go, and are no part of it."""
        if row.name == self._bridge_name:  # whose ports are many, and not to be gone through
            patches = (self.port_ids[name] for name in self._patch_ports & self.port_ids.keys())
            ports = frozenset(port for port in patches if port in self._bridge_ports)
        else:
            ports = frozenset(port.uuid for port in row.ports)
        return (
            row.name,
            optional(row.fail_mode),
            frozenset(row.protocols),
            frozenset(controller.uuid for controller in row.controller),
            ports,
            serial_of(row.other_config),
            row.other_config.get(MAC_TABLE_SIZE),
            row.mcast_snooping_enable,
        )

    def _devices(self, touched: set[uuid.UUID]) -> dict[str, Device | None]:
        gone: dict[str, Device | None] = {}
        here: dict[str, Device | None] = {}
        for identity in touched:
            old, device = self._told.pop(identity, None), self._device(identity)
            self._unserved.pop(identity, None)
            if device is None or device.iface_id is None:
                self._follow_unserved(identity)
            if device is not None:
                self._told[identity] = device
            if device != old:
                gone |= {old.name: None} if old is not None else {}
                here |= {device.name: device} if device is not None else {}
        return {**gone, **here}

    def _device(self, identity: uuid.UUID) -> Device | None:
        row, port_id = self._interfaces.get(identity), self._port_of.get(identity)
        if row is None or port_id is None or port_id not in self._ports or port_id not in self._bridge_ports:
            return None
        name, port = row.name, self._ports[port_id]
        is_local = name == self._bridge_name  # the host's own port: no device, and somebody's once it is given VLANs
        if name in self._patch_ports or (is_local and port.vlans.carried is None):
            return None
        external_ids = {} if is_local else read(row, "external_ids")
        return Device(
            name=name,
            port_name=port.name,
            iface_id=external_ids.get("iface-id") or None,
            attached_mac=external_ids.get("attached-mac"),
            **vars(port.vlans),
            other_config=port.other_config,
            error=optional(read(row, "error")),
            ofport=optional(read(row, "ofport")),
            rows=(identity, port_id),
        )

    def _follow_unserved(self, identity: uuid.UUID) -> None:
        """Note an Interface that somebody has given an ``iface-id`` where it makes no port of a network of it."""
        row, port_id = self._interfaces.get(identity), self._port_of.get(identity)
        if row is None or port_id is None or not read(row, "external_ids").get("iface-id"):
            return
        bridges = (layout for layout in self._layouts.values() if layout[0] in self._other_bridges)
        bridge = next((name for name, *_, ports, _, _, _ in bridges if port_id in ports), None)
        if row.name == self._bridge_name:
            why = "it is the bridge's own port"
        elif row.name in self._patch_ports:
            why = "it is a patch between bridges of this host"
        elif bridge is not None:
            why = f"it is on {bridge}, and devices are served on {self._bridge_name} alone"
        else:
            return
        self._unserved[identity] = row.name, f"its external_ids:iface-id is ignored: {why}"

    def _is_layout(self, changes: RowChanges) -> bool:
        """True when the set-up of bridges depends on what changed, apart from the rows of bridges themselves."""
        if changes.complete or changes.rows.keys() & {"Open_vSwitch", "Controller"}:
            return True
        interfaces, ports = (
            [row for row in changes.rows.get(table, {}).values() if row is not None] for table in ("Interface", "Port")
        )
        if any(read(row, "name") in self._patch_ports for row in (*interfaces, *ports)):
            return True
        interfaces += (interface for row in ports for interface in read(row, "interfaces"))
        return any(read(row, "type") in TUNNEL_TYPES for row in interfaces)


def _datapath_id(row: Any) -> int | None:
    try:
        return int(optional(row.datapath_id) or "", 16)
    except ValueError:
        return None
