"""The Port and the Interface of a plugged device in the local OVSDB.

What has to be known to unplug it is kept with it, in ``external_ids`` of the Interface, so that it is there after a
restart of the machine and whoever asks: the namespace, and whether plugging has made that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from apps.framework.local_vlans import DEAD_VLAN
from controller.plugging.device_plan import DevicePlan
from controller.vswitch.device import DEAD_COLUMNS, fault_of
from controller.vswitch.interface_rows import named, optional
from topology.errors import VSwitchError, VSwitchUnavailable
from topology.ovsdb.edit import Edit
from topology.ovsdb.one_shot import Followed, followed
from topology.ovsdb.replica import ErrorTypes, Replica, RowChanges
from topology.ovsdb.tls import TlsFiles

NETNS = "tunbridge-netns"
"""Key of ``external_ids``: name of the namespace that the device is in; none: it is in that of Open vSwitch."""

NETNS_MADE = "tunbridge-netns-made"
"""Key of ``external_ids``: ``true`` where plugging has made the namespace, so that unplugging removes it."""

_INTERNAL = "internal"
_TIMEOUT = 10.0  # seconds to wait for the local OVSDB, and for ovs-vswitchd
_TABLES = {
    "Bridge": ("name", "ports"),
    "Port": ("name", "interfaces", "tag", "vlan_mode", "trunks", "cvlans"),
    "Interface": ("name", "type", "external_ids", "ofport", "error", "mtu_request"),
}


@dataclass(frozen=True)
class DeviceRow:
    """A device as its rows have it.

    :param tag: of its Port
    :param ofport: None: ovs-vswitchd has not looked at it yet
    :param error: ovs-vswitchd's
    :param netns: the namespace that it is plugged into; ``netns_made``: plugging has made that
    """

    tag: int | None
    ofport: int | None
    error: str | None
    netns: str | None
    netns_made: bool


class DeviceRows:
    """The devices of the integration bridge; made by :func:`device_rows`.

    :param bridge: name of the integration bridge
    :param replica: gives the devices by name
    :param followed: what it tells
    """

    def __init__(
        self, bridge: str, replica: Replica[Mapping[str, DeviceRow]], followed: Followed[Mapping[str, DeviceRow]]
    ) -> None:
        self._bridge = bridge
        self._replica = replica
        self._followed = followed

    def plug(self, plan: DevicePlan, netns: str | None, *, makes_netns: bool) -> bool:
        """Make the rows as they should be, in one transaction.

        The Port is made dead: one without a tag is a trunk of all VLANs until the controller has seen it. The VLAN
        columns of one that is there already stay.

        :param makes_netns: the namespace is about to be made
        :returns: whether anything was written
        :raises VSwitchError: there is no integration bridge; the name, or the port, is another device's; the device is
            plugged into another namespace; the local OVSDB refuses the change or does not answer
        """
        port_id = plan.external_ids["iface-id"]
        ids = {**plan.external_ids, NETNS: netns, NETNS_MADE: "true" if makes_netns else None}
        external_ids = {key: value for key, value in ids.items() if value is not None}
        # Open vSwitch has an opinion of its own of the MTU of internal ports, but cannot reach into namespaces.
        mtu_request = [plan.mtu] if netns is None else []

        def change(edit: Edit) -> bool:
            bridge = named(edit, "Bridge", self._bridge)
            if bridge is None:
                raise VSwitchError(
                    f"Open vSwitch has no bridge {self._bridge}: the controller makes it, "
                    "start one with `tunbridge run`"
                )
            for row in edit.rows("Interface").values():
                if row.name != plan.name and row.external_ids.get("iface-id") == port_id:
                    raise VSwitchError(f"port {port_id} is plugged already, by somebody else, as {row.name}")
            present = _own(edit, plan.name, port_id)
            if present is not None:
                _, interface = present
                plugged = interface.external_ids.get(NETNS)
                if plugged not in (None, netns):
                    raise VSwitchError(f"{plan.name} is plugged into namespace {plugged}: unplug it first")
                return edit.set(
                    interface, external_ids={**interface.external_ids, **external_ids}, mtu_request=mtu_request
                )
            interface = edit.insert(
                "Interface", name=plan.name, type=_INTERNAL, external_ids=external_ids, mtu_request=mtu_request
            )
            bridge.addvalue("ports", edit.insert("Port", name=plan.name, interfaces=[interface], **DEAD_COLUMNS.row))
            return True

        return self._replica.transact(change)

    def find(self, name: str, port_id: str) -> DeviceRow | None:
        """A plugged device, None where there is none.

        :raises VSwitchError: the name is another device's
        """
        return self._replica.transact(
            lambda edit: _device(*present) if (present := _own(edit, name, port_id)) is not None else None
        )

    def sharing(self, netns: str, name: str) -> list[str]:
        """Names of other devices that are plugged into a namespace."""
        return self._replica.transact(lambda edit: [row.name for row in _inside(edit, netns, name)])

    def unplug(self, name: str, port_id: str) -> None:
        """Remove the rows, in one transaction; another device in a namespace that plugging has made is to remove it.

        :raises VSwitchError: as of :meth:`find`; the local OVSDB refuses the change or does not answer
        """

        def change(edit: Edit) -> None:
            present = _own(edit, name, port_id)
            if present is None:
                return
            device = _device(*present)
            heirs = _inside(edit, device.netns, name) if device.netns is not None and device.netns_made else []
            for heir in heirs[:1]:
                edit.set(heir, external_ids={**heir.external_ids, NETNS_MADE: "true"})
            for bridge in edit.rows("Bridge").values():
                if present[0] in bridge.ports:
                    bridge.delvalue("ports", present[0])

        self._replica.transact(change)

    def wait_made(self, name: str) -> None:
        """Wait until ovs-vswitchd has made the device.

        :raises VSwitchError: it cannot, or does not answer
        """

        def decided(rows: Mapping[str, DeviceRow]) -> bool:
            return name in rows and (rows[name].ofport is not None or rows[name].error is not None)

        if not self._followed.until(decided, _TIMEOUT):
            raise VSwitchError(f"ovs-vswitchd has not made {name} within {_TIMEOUT:g} s: does it run?")
        row = self._followed.latest[name]
        if (fault := fault_of(row.ofport, row.error)) is not None:
            raise VSwitchError(f"Open vSwitch cannot make {name}: {fault}")

    def wait_wired(self, name: str, timeout: float) -> bool:
        """Wait until the controller has put the device on its network: whether it was in time.

        :param timeout: seconds
        """
        return self._followed.until(lambda rows: name in rows and rows[name].tag not in (None, DEAD_VLAN), timeout)


@contextmanager
def device_rows(connection: str, bridge: str, tls: TlsFiles | None = None) -> Iterator[DeviceRows]:
    """Open the local OVSDB.

    :param connection: ``[ovs] ovsdb_connection``
    :param bridge: ``[ovs] integration_bridge``
    :raises ConfigError: certificates are missing or cannot be used
    :raises VSwitchUnavailable: it does not answer
    """
    replica: Replica[Mapping[str, DeviceRow]] = Replica(
        connection,
        "Open_vSwitch",
        tables=_TABLES,
        convert=partial(_all_devices, {}),
        tls=tls,
        errors=ErrorTypes(conflict=VSwitchError, failed=VSwitchError, unavailable=VSwitchUnavailable),
    )
    with followed(replica, _TIMEOUT, "Open vSwitch's database", VSwitchUnavailable) as devices:
        yield DeviceRows(bridge, replica, devices)


def _all_devices(ports: dict[UUID, Any], changes: RowChanges) -> Mapping[str, DeviceRow]:
    """All devices by name, whatever changed; called in the replica's thread.

    :param ports: rows that are known, to be brought up to date
    """
    if changes.complete:
        ports.clear()
    ports.update(changes.rows.get("Port", {}))
    present = (port for port in ports.values() if port is not None)
    return {interface.name: _device(port, interface) for port in present for interface in port.interfaces}


def _device(port: Any, interface: Any) -> DeviceRow:
    ids = interface.external_ids
    return DeviceRow(
        tag=optional(port.tag),
        ofport=optional(interface.ofport),
        error=optional(interface.error),
        netns=ids.get(NETNS),
        netns_made=ids.get(NETNS_MADE) == "true",
    )


def _own(edit: Edit, name: str, port_id: str) -> tuple[Any, Any] | None:
    """The Port and the Interface that plugging has made, or would have; None where there is no Port of that name.

    :raises VSwitchError: it is another device
    """
    port = named(edit, "Port", name)
    if port is None:
        return None
    interface = next((row for row in port.interfaces if row.name == name), None)
    if interface is None or interface.external_ids.get("iface-id") != port_id:
        raise VSwitchError(f"the name {name} is taken by another port of Open vSwitch, which is not port {port_id}")
    if interface.type != _INTERNAL:
        raise VSwitchError(
            f"{name} is a device that somebody else has plugged, a hypervisor perhaps: it is not of type internal"
        )
    return port, interface


def _inside(edit: Edit, netns: str, name: str) -> list[Any]:
    """Interfaces of other devices in a namespace, always in the same order."""
    rows = edit.rows("Interface").values()
    return sorted(
        (row for row in rows if row.name != name and row.external_ids.get(NETNS) == netns),
        key=lambda row: str(row.name),
    )
