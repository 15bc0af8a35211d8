"""What is known of the ports of this host, from three sides: OpenFlow ports, Interface rows, the topology.

It keeps account of what has changed since it was last asked, so that whoever decides does so for these ports alone. It
decides nothing itself, knows nothing of flows, sockets or rows and does no I/O.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from controller.agent.facts.followed_ports import FollowedPorts
from controller.agent.facts.takeovers import Takeovers
from controller.vswitch.device import Device
from topology.model import Network, Port, canonical_uuid


def port_id_of(iface_id: str) -> tuple[str, bool]:
    """The port that an ``iface-id`` names.

    :returns: the canonical id and True, or what was written (cut to a length that a log bears) and False
    """
    try:
        return canonical_uuid(iface_id, "iface-id"), True
    except ValueError:
        return iface_id[:64], False


def _foreign_vlans(device: Device) -> Collection[int]:
    """The VLANs of a device that is none of our business; one that was wired and lost its ``iface-id`` is not that.

    A trunk of all VLANs leaves none to avoid: it is reported instead.
    """
    is_ours = device.iface_id is not None or "net_uuid" in device.other_config
    return () if is_ours else device.vlans.carried or ()


_Address = tuple[str, str]
"""Network id and MAC address."""


def _shared_by(port: Port | None) -> set[_Address]:
    """The addresses that a port may have beside its own."""
    if port is None or not port.allowed_macs:
        return set()
    return {(port.network_id, mac) for mac in port.allowed_macs}


@dataclass(frozen=True)
class ChangedPorts:
    """What an event has touched.

    :param ports: ids of the ports whose binding may be another now
    :param networks: ids of networks
    :param devices: names of devices whose row or OpenFlow port is another now
    :param foreign: VLANs that devices which are no ports of ours have now and had not before
    """

    ports: set[str] = field(default_factory=set)
    networks: set[str] = field(default_factory=set)
    devices: set[str] = field(default_factory=set)
    foreign: set[int] = field(default_factory=set)


class PortFacts:
    """Devices, OpenFlow ports and the topology of one host.

    :param host: name of this host, as in ``binding:host_id``
    :param followed: which ports the topology is asked for; None: none, it tells of all
    """

    def __init__(self, host: str, followed: FollowedPorts | None = None) -> None:
        self.host = host
        self.followed = followed or FollowedPorts()
        self.networks: dict[str, Network] = {}
        self.ports: dict[str, Port] = {}
        self.devices: dict[str, Device] = {}
        self.ofports: dict[str, int] = {}
        """Name of a port of br-int → its number there."""
        self.tags: Counter[int] = Counter()
        """``Port.tag`` → number of devices that have it."""
        self.foreign: dict[int, set[str]] = {}
        """VLAN → names of the devices on br-int that have it and are no ports of ours."""
        self.detached: set[str] = set()
        """Devices that were on a network and lost their ``iface-id``: they are silenced."""
        self.fresh: set[str] = set()
        """Devices that were plugged while this controller watched."""
        self.shared_macs: Counter[_Address] = Counter()
        """Address → number of ports that ``allowed_address_pairs`` gives it to: it may move by itself."""
        self.takeovers = Takeovers()
        """Of ports that this host has bound, or has a device for."""
        self._shared_in: set[str] = set()
        """Ids of the networks in which other addresses are shared now."""
        self._by_port: dict[str, set[str]] = {}
        self._by_network: dict[str, set[str]] = {}
        self._changed = ChangedPorts()

    def devices_of(self, port_id: str) -> set[str]:
        """Names of the devices whose ``iface-id`` names a port."""
        return self._by_port.get(port_id, set())

    def ports_of(self, network_id: str) -> Collection[str]:
        """Ids of the ports of a network of which the topology has told, wherever they are bound.

        All there are, once a port of this host in that network is not open (:meth:`FollowedPorts.is_open`).
        """
        return self._by_network.get(network_id, ())

    def collect(self) -> ChangedPorts:
        """What has changed since this was last called."""
        changed, self._changed = self._changed, ChangedPorts()
        for network_id in self._shared_in:
            changed.ports.update(self._by_network.get(network_id, set()) & self._by_port.keys())
        self._shared_in.clear()
        return changed

    def set_device(self, name: str, device: Device | None, *, fresh: bool) -> None:
        """An Interface on br-int appeared, changed or (None) went.

        :param fresh: it was plugged while this controller watched; such a device may take a port over from another
            host, one that was found at start may not
        """
        self._changed.devices.add(name)
        old = self.devices.pop(name, None)
        if old is not None:
            self._count_tag(old, -1)
            for vlan in _foreign_vlans(old):
                self.foreign[vlan].discard(name)
                if not self.foreign[vlan]:
                    del self.foreign[vlan]
            if old.iface_id is not None:
                self._forget(name, port_id_of(old.iface_id)[0])
        if device is None or (old is not None and old.iface_id != device.iface_id):
            self.fresh.discard(name)
        self.detached.discard(name)
        if device is None:
            return
        if device.iface_id is None and device.was_detached:
            self.detached.add(name)
        self.devices[name] = device
        self._count_tag(device, 1)
        for vlan in _foreign_vlans(device):
            self.foreign.setdefault(vlan, set()).add(name)
            self._changed.foreign.add(vlan)
        if device.iface_id is not None:
            port_id, is_one = port_id_of(device.iface_id)
            self._by_port.setdefault(port_id, set()).add(name)
            self._changed.ports.add(port_id)
            if is_one:
                self.followed.want(port_id, is_known=port_id in self.ports, now=time.monotonic())
            if fresh and (old is None or (old.iface_id, old.rows) != (device.iface_id, device.rows)):
                self.fresh.add(name)

    def _count_tag(self, device: Device, more: int) -> None:
        if device.tag is not None:
            self.tags[device.tag] += more
            if not self.tags[device.tag]:
                del self.tags[device.tag]

    def _forget(self, name: str, port_id: str) -> None:
        names = self._by_port[port_id]
        names.discard(name)
        if not names:
            del self._by_port[port_id]
        self._changed.ports.add(port_id)

    def set_ofport(self, name: str, ofport: int | None) -> None:
        """The switch gave a port of br-int its number, or (None) took the port away."""
        if self.ofports.get(name) == ofport:
            return
        self._changed.devices.add(name)
        if ofport is None:
            self.ofports.pop(name, None)
        else:
            self.ofports[name] = ofport
        device = self.devices.get(name)
        if device is not None and device.iface_id is not None:
            self._changed.ports.add(port_id_of(device.iface_id)[0])

    def _note_move(self, port_id: str, old: Port, new: Port | None) -> None:
        if new is None:
            self.takeovers.forget(port_id)
        elif old.host != new.host and None not in (old.host, new.host) and new.requested_host is None:
            hosts = {str(old.host), str(new.host)}
            if self.host in hosts or port_id in self._by_port:
                self.takeovers.moved(port_id, hosts, time.monotonic())

    def reconsider(self, port_ids: Iterable[str]) -> None:
        """Something else may be so of these ports."""
        self._changed.ports.update(port_ids)

    def set_network(self, network_id: str, network: Network | None) -> None:
        """A network of the topology appeared, changed or (None) went."""
        if network is None:
            self.networks.pop(network_id, None)
        else:
            self.networks[network_id] = network
        self._changed.networks.add(network_id)
        self._changed.ports.update(self._by_network.get(network_id, ()))

    def describe(self, port: Port) -> None:
        """A port of the topology is called otherwise: nothing follows from that."""
        self.ports[port.id] = port

    def set_port(self, port_id: str, port: Port | None) -> None:
        """A port of the topology appeared, changed or (None) went."""
        old = self.ports.pop(port_id, None)
        if old is not None:
            self._by_network[old.network_id].discard(port_id)
            if not self._by_network[old.network_id]:
                del self._by_network[old.network_id]
            if port is not None and old.host == self.host and port.host not in (None, self.host):
                # the claim was ours and another host took it over: taking it back would go on for ever
                self.fresh -= self.devices_of(port_id)
            self._note_move(port_id, old, port)
        shared = _shared_by(port)
        for address in _shared_by(old) ^ shared:
            self.shared_macs[address] += 1 if address in shared else -1
            if not self.shared_macs[address]:
                del self.shared_macs[address]
            self._shared_in.add(address[0])
        if port is not None:
            self.ports[port_id] = port
            self._by_network.setdefault(port.network_id, set()).add(port_id)
        self._changed.ports.add(port_id)
