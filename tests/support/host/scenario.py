"""Networks, ports and devices of a test that are nobody else's, and what has become of them on a running host.

Rows of the topology are written directly, as by any other client of the database: a command for each change would take
half a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

_NUMBERS = count(1)
DEAD_VLAN = 4095


@dataclass(frozen=True)
class Network:
    """A GRE network.

    :param number: also its tunnel id
    """

    number: int

    @property
    def id(self) -> str:
        return f"{self.number:08x}-0000-4000-8000-00000000000a"

    @property
    def tun_id(self) -> str:
        """The tunnel id as a flow table shows it."""
        return hex(self.number)


@dataclass(frozen=True)
class Port:
    """A port and the device that is plugged for it."""

    number: int
    network: Network

    @property
    def id(self) -> str:
        return f"{self.number:08x}-0000-4000-8000-00000000000b"

    @property
    def mac(self) -> str:
        return (0xFA163E000000 + self.number).to_bytes(6, "big").hex(":")

    @property
    def name(self) -> str:
        """Of the device."""
        return f"tap{self.number}"

    def device(self, name: str | None = None, **more: Any) -> Device:
        """The device, to be plugged.

        :param more: of :class:`tests.support.host.ovs.Device`
        """
        return Device(name or self.name, self.id, self.mac, **more)


def new_network() -> Network:
    """A network that no other test has; it is not in the topology yet."""
    return Network(100 + next(_NUMBERS))


def new_port(network: Network) -> Port:
    """A port that no other test has; it is not in the topology yet."""
    return Port(next(_NUMBERS), network)


@dataclass(frozen=True)
class Host:
    """A running host."""

    ovs: OvsHost
    tunbridge: Tunbridge

    # -- the topology

    def add_networks(self, *networks: Network, **columns: object) -> None:
        """Insert networks; ``columns`` of the table Network in place of the usual values."""
        operations: list[dict[str, Any]] = []
        for network in networks:
            segment = f"segment{network.number}"
            row = {"network_type": "gre", "segmentation_id": network.number}
            operations.append({"op": "insert", "table": "Segment", "uuid-name": segment, "row": row})
            row = {"id": network.id, "network_type": "gre", "admin_state_up": True, **columns}
            row["segments"] = ["named-uuid", segment]
            operations.append({"op": "insert", "table": "Network", "row": row})
        self.tunbridge.topology_transact(*operations)

    def add_ports(self, *ports: Port, **columns: object) -> None:
        """Insert ports, in one transaction; ``columns`` of the table Port in place of the usual values."""
        networks = {network: self._network_row(network) for network in {port.network for port in ports}}
        operations = []
        for port in ports:
            row = {"id": port.id, "network": networks[port.network], "mac_address": port.mac}
            row |= {"admin_state_up": True, "status": "DOWN", **columns}
            operations.append({"op": "insert", "table": "Port", "row": row})
        self.tunbridge.topology_transact(*operations)

    def wire(self, *ports: Port) -> None:
        """Have ports in the topology and their devices plugged, and wait until they are up."""
        self.add_ports(*ports)
        self.ovs.plug_many([port.device() for port in ports])
        for port in ports:
            self.wait_active(port)

    def update_port(self, port: Port, **columns: object) -> None:
        """Change a row of Port; ``network`` may be a :class:`Network`."""
        row = {name: self._network_row(value) if isinstance(value, Network) else value
               for name, value in columns.items()}  # fmt: skip
        self._change("Port", port.id, {"op": "update", "row": row})

    def update_network(self, network: Network, **columns: object) -> None:
        """Change a row of Network."""
        self._change("Network", network.id, {"op": "update", "row": columns})

    def delete_ports(self, *ports: Port, network: Network | None = None) -> None:
        """Delete ports, and a network with them, in one transaction."""
        operations = [{"op": "delete", "table": "Port", "where": [["id", "==", port.id]]} for port in ports]
        if network is not None:
            operations.append({"op": "delete", "table": "Network", "where": [["id", "==", network.id]]})
        self.tunbridge.topology_transact(*operations)

    def _network_row(self, network: Network) -> object:
        where = [["id", "==", network.id]]
        (result,) = self.tunbridge.topology_transact(
            {"op": "select", "table": "Network", "where": where, "columns": ["_uuid"]}
        )
        return result["rows"][0]["_uuid"]

    def _change(self, table: str, identity: str, operation: Mapping[str, object]) -> None:
        where = [["id", "==", identity]]
        (result,) = self.tunbridge.topology_transact({**operation, "table": table, "where": where})
        assert result["count"] == 1, f"{table} {identity}: {result}"

    # -- what has become of it

    def wait_active(self, port: Port, device: str | None = None, **expected: Any) -> dict[str, Any]:
        """Wait until a device carries its port's traffic and the topology says so; what ``status`` says of it.

        :param device: its name; None: the port's usual one
        """
        state = self.tunbridge.wait_device(device or port.name, id=port.id, status="ACTIVE", **expected)
        row = self.tunbridge.wait_port(port.id)
        assert row["host"] == "host1"
        return state

    def wait_row(self, port: Port, host: str | None, status: str) -> None:
        """Wait until the topology says this of a port."""

        def said() -> bool:
            row = self.tunbridge.topology_ports()[port.id]
            return (row["host"], row["status"]) == (host, status)

        wait_until(said, 20, lambda: f"{port} is {status} on {host}: {self.tunbridge.topology_ports()[port.id]}")

    def wait_tag(self, device: str, tag: int) -> None:
        """Wait until a Port has a tag."""
        wait_until(
            lambda: self.ovs.tag(device) == tag, 20, lambda: f"{device} has tag {self.ovs.tag(device)}, not {tag}"
        )

    def wait_flows(self, bridge: str, text: str, flows: int) -> list[str]:
        """Wait until so many flows of a bridge have a text; these flows."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [flow for flow in self.ovs.dump(bridge) if text in flow]
            return len(found) == flows

        wait_until(there, 20, lambda: f"{bridge}: {flows} flows with {text!r}, not {found}")
        return found

    def assert_bound(self, port: Port, device: str | None = None) -> None:
        """Hold that a device is up with all that belongs to that: tag, flows, status, topology."""
        name = device or port.name
        state = self.wait_active(port, name, reason=None)
        vlan = state["vlan"]
        assert state["ofport"] == self.ovs.ofport(name)
        assert self.ovs.tag(name) == vlan
        load = f"load:{vlan:#x}->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],NORMAL"
        unicast = f"priority=3,tun_id={port.network.tun_id},dl_dst={port.mac} actions={load}"
        assert unicast in self.ovs.dump("br-tun")
        self.wait_flows("br-int", f"in_port={state['ofport']} ", 0)

    def assert_dead(self, port_id: str, device: str, reason: str) -> None:
        """Hold that a device is kept from sending, and that status and log say why."""
        state = self.tunbridge.wait_device(device, id=port_id, status="DOWN", reason=reason, vlan=None)
        self.wait_tag(device, DEAD_VLAN)
        assert "net_uuid" not in self.ovs.row("Port", device)["other_config"]  # type: ignore[operator]
        ofport = self.ovs.ofport(device)
        if ofport == -1:
            assert state["ofport"] is None
        else:
            assert state["ofport"] == ofport
            assert self.wait_flows("br-int", f"in_port={ofport} ", 1) == [f"priority=2,in_port={ofport} actions=drop"]
        self.tunbridge.wait_log(f"device {device} (port {port_id}) is not bound: {reason}")
