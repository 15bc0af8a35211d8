"""The event join that binds a port: OpenFlow port-status, the Interface row, the topology's port.

Each of the three arrives when it does; whichever comes last completes the join. A :class:`BindingTable` keeps what is
known and, for the ports that an event touched, decides anew what they are. It knows nothing of flows, sockets or rows
and does no I/O, so that every order of events can be tried by a test.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from controller.vswitch.device import PORT_NAME_MAX, Device
from topology.model import Network, Port, canonical_uuid


@dataclass(frozen=True)
class Verdict:
    """What a device with an ``iface-id`` is.

    :param port_id: the port it is for; the iface-id as written where that is no UUID
    :param ofport: on br-int; None while the switch has not told
    :param bound: it carries the port's traffic
    :param reason: why it does not, None when it does
    :param network_id: of the port, where it is bound
    :param mac_address: of the port, where it is bound
    :param waiting: nothing but the OpenFlow port is missing, which Open vSwitch is about to give
    """

    device: Device
    port_id: str
    ofport: int | None
    bound: bool
    reason: str | None = None
    network_id: str | None = None
    mac_address: str | None = None
    waiting: bool = False


def port_id_of(iface_id: str) -> tuple[str, bool]:
    """The port that an ``iface-id`` names.

    :returns: the canonical id and True, or what was written (cut to a length that a log bears) and False
    """
    try:
        return canonical_uuid(iface_id, "iface-id"), True
    except ValueError:
        return iface_id[:64], False


def unwirable(
    network: Network, physical: Collection[str] = (), tunnel_types: Collection[str] | None = None
) -> str | None:
    """Why this host cannot carry a network, None when it can.

    :param physical: the physical networks that it reaches
    :param tunnel_types: its encapsulations; None where it has no tunnels, so that every tunnelled network is local
    """
    kind = network.network_type
    if kind.is_physical and network.physical_network not in physical:
        return f"physical network {network.physical_network} is not in [ovs] bridge_mappings of this host"
    if kind.is_tunnel and tunnel_types is not None and kind.value not in tunnel_types:
        return f"{kind.value} is not in [agent] tunnel_types of this host"
    return None


class BindingTable:
    """Joins devices, OpenFlow ports and the topology of one host.

    :param host: name of this host, as in ``binding:host_id``
    :param unwirable: says why a network cannot be carried on this host, or None when it can
    """

    def __init__(self, host: str, unwirable: Callable[[Network], str | None]) -> None:
        self.host = host
        self.networks: dict[str, Network] = {}
        self.ports: dict[str, Port] = {}
        self.devices: dict[str, Device] = {}
        self.ofports: dict[str, int] = {}
        self.verdicts: dict[str, tuple[Verdict, ...]] = {}
        self.silenced: set[str] = set()
        """Devices that were on a network and lost their ``iface-id``: they are kept quiet."""
        self._unwirable = unwirable
        self._by_port: dict[str, set[str]] = {}
        self._by_network: dict[str, set[str]] = {}
        self._fresh: set[str] = set()
        self._dirty: set[str] = set()

    # -- what became known ---------------------------------------------------------------------------------------------

    def set_device(self, name: str, device: Device | None, *, fresh: bool) -> None:
        """An Interface on br-int appeared, changed or (None) went.

        :param fresh: it was plugged while this controller watched; such a device may take a port over from another
            host, one that was found at start may not
        """
        old = self.devices.pop(name, None)
        if old is not None and old.iface_id is not None:
            self._forget(name, port_id_of(old.iface_id)[0])
        if device is None or (old is not None and old.iface_id != device.iface_id):
            self._fresh.discard(name)
        self.silenced.discard(name)
        if device is None:
            return
        if device.iface_id is None and device.was_detached:
            self.silenced.add(name)
        self.devices[name] = device
        if device.iface_id is not None:
            port_id = port_id_of(device.iface_id)[0]
            self._by_port.setdefault(port_id, set()).add(name)
            self._dirty.add(port_id)
            if fresh and (old is None or old.iface_id != device.iface_id):
                self._fresh.add(name)

    def _forget(self, name: str, port_id: str) -> None:
        names = self._by_port[port_id]
        names.discard(name)
        if not names:
            del self._by_port[port_id]
        self._dirty.add(port_id)

    def set_ofport(self, name: str, ofport: int | None) -> None:
        """The switch gave a port of br-int its number, or (None) took the port away."""
        if self.ofports.get(name) == ofport:
            return
        if ofport is None:
            self.ofports.pop(name, None)
        else:
            self.ofports[name] = ofport
        device = self.devices.get(name)
        if device is not None and device.iface_id is not None:
            self._dirty.add(port_id_of(device.iface_id)[0])

    def set_network(self, network_id: str, network: Network | None) -> None:
        """A network of the topology appeared, changed or (None) went."""
        if network is None:
            self.networks.pop(network_id, None)
        else:
            self.networks[network_id] = network
        self._dirty |= self._by_network.get(network_id, set())

    def set_port(self, port_id: str, port: Port | None) -> None:
        """A port of the topology appeared, changed or (None) went."""
        old = self.ports.pop(port_id, None)
        if old is not None:
            self._by_network[old.network_id].discard(port_id)
            if not self._by_network[old.network_id]:
                del self._by_network[old.network_id]
            if port is not None and old.host == self.host and port.host not in (None, self.host):
                # the claim was ours and another host took it over: taking it back would go on for ever
                self._fresh -= self._by_port.get(port_id, set())
        if port is not None:
            self.ports[port_id] = port
            self._by_network.setdefault(port.network_id, set()).add(port_id)
        self._dirty.add(port_id)

    # -- what follows --------------------------------------------------------------------------------------------------

    def decide(self) -> set[str]:
        """Decide every port that an event touched.

        :returns: ids of the ports whose :attr:`verdicts` changed
        """
        dirty, self._dirty = self._dirty, set()
        changed = set()
        for port_id in dirty:
            verdicts = self._decide_port(port_id)
            if verdicts == self.verdicts.get(port_id, ()):
                continue
            changed.add(port_id)
            if verdicts:
                self.verdicts[port_id] = verdicts
            else:
                del self.verdicts[port_id]
        return changed

    def bound(self, port_id: str) -> Verdict | None:
        """The verdict on the device that carries a port's traffic, None while none does."""
        return next((verdict for verdict in self.verdicts.get(port_id, ()) if verdict.bound), None)

    def bound_ports(self, port_ids: Iterable[str]) -> Iterator[tuple[Port, Network]]:
        """Those of some ports that are bound here, each with its network."""
        for port_id in port_ids:
            if self.bound(port_id) is not None:
                port = self.ports[port_id]
                yield port, self.networks[port.network_id]

    def _decide_port(self, port_id: str) -> tuple[Verdict, ...]:
        names = self._by_port.get(port_id)
        if not names:
            return ()
        devices = sorted((self.devices[name] for name in names), key=lambda device: device.name)
        eligible = [device for device in devices if self._ofport(device) and not self._refusal(port_id, device)]
        chosen = min(eligible, key=lambda device: self._preference(port_id, device), default=None)
        return tuple(self._verdict(port_id, device, chosen) for device in devices)

    def _verdict(self, port_id: str, device: Device, chosen: Device | None) -> Verdict:
        ofport = self._ofport(device)
        if device is chosen:
            port = self.ports[port_id]
            return Verdict(
                device, port_id, ofport, bound=True, network_id=port.network_id, mac_address=port.mac_address
            )
        reason = self._refusal(port_id, device)
        waiting = False
        if reason is None and ofport is None:
            reason = "Open vSwitch has not given the device an OpenFlow port"
            waiting = chosen is None
            if device.fault is not None:
                reason = f"Open vSwitch could not make the device: {device.fault}"
                waiting = False
        if reason is None and chosen is not None:
            reason = f"device {chosen.name} has the same iface-id and is bound already"
        return Verdict(device, port_id, ofport, bound=False, reason=reason, waiting=waiting)

    def _preference(self, port_id: str, device: Device) -> tuple[bool, bool, int]:
        """What is bound stays; what was wired before a restart comes next; then the lowest ofport."""
        bound = self.bound(port_id)
        is_bound = bound is not None and bound.device.name == device.name
        return (not is_bound, not device.was_wired, self._ofport(device) or 0)

    def _ofport(self, device: Device) -> int | None:
        """The number that the switch gave.

        A name as long as OpenFlow tells may be another device's, cut off: there the Interface row's number counts.
        """
        if len(device.name) >= PORT_NAME_MAX:
            return device.ofport if device.ofport is not None and device.ofport > 0 else None
        return self.ofports.get(device.name)

    def _refusal(self, port_id: str, device: Device) -> str | None:
        """Why the topology does not let this device carry the port's traffic."""
        port = self.ports.get(port_id)
        if port is None:
            known = port_id_of(device.iface_id or "")[1]
            return "the topology has no such port" if known else f"iface-id {port_id!r} is not a UUID"
        network = self.networks.get(port.network_id)
        if network is None:
            return f"the topology has no valid network {port.network_id}"
        if not port.admin_state_up:
            return "admin_state_up of the port is false"
        if not network.admin_state_up:
            return f"admin_state_up of network {network.id} is false"
        if port.requested_host is not None and port.requested_host != self.host:
            return f"binding:host_id is {port.requested_host}"
        if port.requested_host is None and port.host not in (None, self.host) and device.name not in self._fresh:
            return f"host {port.host} has bound it"
        return self._unwirable(network)
