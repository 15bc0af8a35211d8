"""The Port and the Interface of a plugged device in the local OVSDB.

What has to be known to unplug it is kept with it, in ``external_ids`` of the Interface, so that it is there after a
restart of the machine and whoever asks: the namespace, and whether plugging has made that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from apps.framework.local_vlans import DEAD_VLAN
from controller.plugging.device_plan import DevicePlan
from controller.vswitch.device import fault_of
from controller.vswitch.interface_rows import optional
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
    "Port": ("name", "interfaces", "tag"),
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
    """

    def __init__(self, bridge: str, replica: Replica[Mapping[str, DeviceRow]]) -> None:
        self._bridge = bridge
        self._replica = replica
        self._followed: Followed[Mapping[str, DeviceRow]]

    @contextmanager
    def opened(self) -> Iterator[DeviceRows]:
        """Follow the rows within a ``with`` statement.

        :raises VSwitchUnavailable: the local OVSDB does not answer
        """
        with followed(self._replica, _TIMEOUT, "Open vSwitch's database", VSwitchUnavailable) as self._followed:
            yield self

    def plug(self, plan: DevicePlan, netns: str | None, *, makes_netns: bool) -> bool:
        """Make the rows as they should be, in one transaction.

        The Port is made with the dead VLAN for its tag: one without a tag is a trunk of all VLANs until the controller
        has seen it. Where there is a tag already, it stays.

        :param makes_netns: the namespace is about to be made
        :returns: whether anything was written
        :raises VSwitchError: there is no integration bridge; the name, or the port, is another device's; the device is
            plugged into another namespace; the local OVSDB refuses the change or does not answer
        """
        return self._replica.transact(lambda edit: self._plug(edit, plan, netns, makes_netns))

    def find(self, name: str, port_id: str) -> DeviceRow | None:
        """A plugged device, None where there is none.

        :raises VSwitchError: the name is another device's
        """

        def find(edit: Edit) -> DeviceRow | None:
            port = _find(edit, "Port", name)
            return _device(port, self._own(port, name, port_id)) if port is not None else None

        return self._replica.transact(find)

    def sharing(self, netns: str, name: str) -> list[str]:
        """Names of other devices that are plugged into a namespace."""
        return self._replica.transact(lambda edit: [row.name for row in _inside(edit, netns, name)])

    def unplug(self, name: str, port_id: str) -> None:
        """Remove the rows, in one transaction; another device in a namespace that plugging has made is to remove it.

        :raises VSwitchError: as of :meth:`find`; the local OVSDB refuses the change or does not answer
        """
        self._replica.transact(lambda edit: self._unplug(edit, name, port_id))

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

    def _plug(self, edit: Edit, plan: DevicePlan, netns: str | None, makes_netns: bool) -> bool:
        bridge = _find(edit, "Bridge", self._bridge)
        if bridge is None:
            raise VSwitchError(
                f"Open vSwitch has no bridge {self._bridge}: the controller makes it, start one with `tunbridge run`"
            )
        port_id = plan.external_ids["iface-id"]
        for row in edit.rows("Interface").values():
            if row.name != plan.name and row.external_ids.get("iface-id") == port_id:
                raise VSwitchError(f"port {port_id} is plugged already, by somebody else, as {row.name}")
        marks = {NETNS: netns} if netns is not None else {}
        marks |= {NETNS_MADE: "true"} if makes_netns else {}
        # Open vSwitch has an opinion of its own of the MTU of internal ports, but cannot reach into namespaces.
        mtu_request = [plan.mtu] if netns is None else []
        port = _find(edit, "Port", plan.name)
        if port is not None:
            interface = self._own(port, plan.name, port_id)
            plugged = interface.external_ids.get(NETNS)
            if plugged not in (None, netns):
                raise VSwitchError(f"{plan.name} is plugged into namespace {plugged}: unplug it first")
            external_ids = {**interface.external_ids, **plan.external_ids, **marks}
            return edit.set(interface, external_ids=external_ids, mtu_request=mtu_request)
        interface = edit.insert(
            "Interface",
            name=plan.name,
            type=_INTERNAL,
            external_ids={**plan.external_ids, **marks},
            mtu_request=mtu_request,
        )
        port = edit.insert("Port", name=plan.name, interfaces=[interface], tag=[DEAD_VLAN])
        bridge.addvalue("ports", port)
        return True

    def _unplug(self, edit: Edit, name: str, port_id: str) -> None:
        port = _find(edit, "Port", name)
        if port is None:
            return
        device = _device(port, self._own(port, name, port_id))
        heirs = _inside(edit, device.netns, name) if device.netns is not None and device.netns_made else []
        for heir in heirs[:1]:
            edit.set(heir, external_ids={**heir.external_ids, NETNS_MADE: "true"})
        for bridge in edit.rows("Bridge").values():
            if port in bridge.ports:
                bridge.delvalue("ports", port)

    def _own(self, port: Any, name: str, port_id: str) -> Any:
        """The Interface of a Port that plugging has made, or would have.

        :raises VSwitchError: it is another device
        """
        interface = next((row for row in port.interfaces if row.name == name), None)
        if interface is None or interface.external_ids.get("iface-id") != port_id:
            raise VSwitchError(f"the name {name} is taken by another port of Open vSwitch, which is not port {port_id}")
        if interface.type != _INTERNAL:
            raise VSwitchError(
                f"{name} is a device that somebody else has plugged, a hypervisor perhaps: it is not of type internal"
            )
        return interface


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
        convert=_Converter(),
        tls=tls,
        errors=ErrorTypes(conflict=VSwitchError, failed=VSwitchError, unavailable=VSwitchUnavailable),
    )
    with DeviceRows(bridge, replica).opened() as rows:
        yield rows


class _Converter:
    """All devices, whatever changed; called in the replica's thread."""

    def __init__(self) -> None:
        self._ports: dict[Any, Any] = {}

    def __call__(self, changes: RowChanges) -> Mapping[str, DeviceRow]:
        if changes.complete:
            self._ports = {}
        for identity, port in changes.rows.get("Port", {}).items():
            self._ports.pop(identity, None)
            if port is not None:
                self._ports[identity] = port
        return {
            interface.name: _device(port, interface) for port in self._ports.values() for interface in port.interfaces
        }


def _device(port: Any, interface: Any) -> DeviceRow:
    ids = interface.external_ids
    return DeviceRow(
        tag=optional(port.tag),
        ofport=optional(interface.ofport),
        error=optional(interface.error),
        netns=ids.get(NETNS),
        netns_made=ids.get(NETNS_MADE) == "true",
    )


def _find(edit: Edit, table: str, name: str) -> Any | None:
    return next((row for row in edit.rows(table).values() if row.name == name), None)


def _inside(edit: Edit, netns: str, name: str) -> list[Any]:
    """Interfaces of other devices in a namespace, always in the same order."""
    rows = edit.rows("Interface").values()
    return sorted(
        (row for row in rows if row.name != name and row.external_ids.get(NETNS) == netns),
        key=lambda row: str(row.name),
    )
