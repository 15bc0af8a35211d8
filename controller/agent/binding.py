"""The event join that binds a port: OpenFlow port-status, the Interface row, the topology's port.

Each of the three arrives when it does; whichever comes last completes the join. :func:`bind` is pure: it says of one
port what each of its devices is, from what is known and from which of them was bound before. :class:`Bindings` keeps
what it last said, and asks it again for the ports that an event has touched. So every order of events can be tried.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from apps.framework.host_view import PortSecurity
from controller.agent.facts.port_facts import PortFacts, port_id_of
from controller.agent.security.port_filters import port_security
from controller.vswitch.device import PORT_NAME_MAX, Device
from topology.model import Network, Port

Uncarried = Callable[[Network], str | None]
"""Says why a network cannot be carried on this host, or None when it can."""


@dataclass(frozen=True)
class PortBinding:
    """What a device with an ``iface-id`` is.

    :param port_id: the port it is for; the iface-id as written where that is no UUID
    :param ofport: on br-int; None while the switch has not told
    :param bound: it carries the port's traffic
    :param reason: why it does not, None when it does
    :param network_id: of the port, where it is bound
    :param mac_address: of the port, where it is bound
    :param allowed_macs: others of the port, where it is bound
    :param is_here: its MAC address is on this host and nowhere else; see :class:`apps.framework.host_view.LocalPort`
    :param waiting: nothing but the OpenFlow port is missing, which Open vSwitch is about to give, or the port of the
        topology, which that is about to tell of
    :param security: what the port asks for, where it is bound and asks
    """

    device: Device
    port_id: str
    ofport: int | None
    bound: bool
    reason: str | None = None
    network_id: str | None = None
    mac_address: str | None = None
    allowed_macs: tuple[str, ...] = ()
    is_here: bool = False
    waiting: bool = False
    security: PortSecurity | None = None


def uncarried(
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


def bind(facts: PortFacts, port_id: str, current: str | None, uncarried: Uncarried) -> tuple[PortBinding, ...]:
    """What the devices of one port are, by name.

    :param current: name of the device that is bound now, None while none is
    """
    names = facts.devices_of(port_id)
    if not names:
        return ()
    devices = [facts.devices[name] for name in sorted(names)]
    refusals = {device.name: _refusal(facts, port_id, device, uncarried) for device in devices}
    eligible = [device for device in devices if _ofport(facts, device) and not refusals[device.name]]

    def preference(device: Device) -> tuple[bool, bool, int]:
        """What is bound stays; what was wired before a restart comes next; then the lowest ofport."""
        return (device.name != current, not device.was_wired, _ofport(facts, device) or 0)

    chosen = min(eligible, key=preference, default=None)
    return tuple(_binding(facts, port_id, device, chosen, refusals[device.name]) for device in devices)


def _binding(facts: PortFacts, port_id: str, device: Device, chosen: Device | None, reason: str | None) -> PortBinding:
    ofport = _ofport(facts, device)
    if device is chosen:
        port = facts.ports[port_id]
        network_id, mac_address, macs = port.network_id, port.mac_address, port.allowed_macs
        is_shared = facts.shared_macs[network_id, mac_address] or facts.followed.is_open(port_id)
        is_here = port.requested_host is not None and port.migrating_to is None and not is_shared
        security = port_security(port)
        return PortBinding(
            device, port_id, ofport, True, None, network_id, mac_address, macs, is_here, security=security
        )
    waiting = facts.followed.is_waiting(port_id)
    if reason is None and device.fault is not None and ofport is None:
        reason = f"Open vSwitch could not make the device: {device.fault}"
    elif reason is None and ofport is None:
        reason, waiting = "Open vSwitch has not given the device an OpenFlow port", chosen is None
        if device.ofport is not None:
            reason = f"the device has no OpenFlow port, though its row says that it is {device.ofport}"
    elif reason is None and chosen is not None:
        reason = f"device {chosen.name} has the same iface-id and is bound already"
    return PortBinding(device, port_id, ofport, False, reason, waiting=waiting)


def _ofport(facts: PortFacts, device: Device) -> int | None:
    """The number that the switch gave.

    A name as long as OpenFlow tells may be another device's, cut off: there the Interface row's number counts.
    """
    if len(device.name) >= PORT_NAME_MAX:
        return device.ofport if device.ofport is not None and device.ofport > 0 else None
    return facts.ofports.get(device.name)


def _refusal(facts: PortFacts, port_id: str, device: Device, uncarried: Uncarried) -> str | None:
    """Why the topology does not let this device carry the port's traffic."""
    port = facts.ports.get(port_id)
    if port is None:
        known = port_id_of(device.iface_id or "")[1]
        if facts.followed.is_open(port_id):
            return "the topology has not told yet whether it has such a port"
        return "the topology has no such port" if known else f"iface-id {port_id!r} is not a UUID"
    network = facts.networks.get(port.network_id)
    if network is None:
        return f"the topology has no valid network {port.network_id}"
    if not port.admin_state_up:
        return "admin_state_up of the port is false"
    if not network.admin_state_up:
        return f"admin_state_up of network {network.id} is false"
    if port.requested_host is not None and facts.host not in (port.requested_host, port.migrating_to):
        return f"binding:host_id is {port.requested_host}"
    takes_over = device.name in facts.fresh and not facts.takeovers.is_waiting(port_id)
    if port.requested_host is None and port.host not in (None, facts.host) and not takes_over:
        return f"host {port.host} has bound it"
    return uncarried(network)


class Bindings:
    """What :func:`bind` last said of each port.

    :param uncarried: see :data:`Uncarried`
    """

    def __init__(self, facts: PortFacts, uncarried: Uncarried) -> None:
        self._facts = facts
        self._uncarried = uncarried
        self._by_port: dict[str, tuple[PortBinding, ...]] = {}

    def __iter__(self) -> Iterator[str]:
        """Ids of the ports that have devices here."""
        return iter(self._by_port)

    def update(self, port_ids: Iterable[str]) -> set[str]:
        """Decide some ports anew.

        :returns: ids of those whose bindings changed
        """
        changed = set()
        for port_id in port_ids:
            bound = self.bound(port_id)
            current = bound.device.name if bound is not None else None
            bindings = bind(self._facts, port_id, current, self._uncarried)
            if bindings == self.of(port_id):
                continue
            changed.add(port_id)
            if bindings:
                self._by_port[port_id] = bindings
            else:
                del self._by_port[port_id]
        return changed

    def of(self, port_id: str) -> tuple[PortBinding, ...]:
        """What the devices of a port are."""
        return self._by_port.get(port_id, ())

    def bound(self, port_id: str) -> PortBinding | None:
        """The binding of the device that carries a port's traffic, None while none does."""
        for binding in self.of(port_id):
            if binding.bound:
                return binding
        return None

    def bound_ports(self, port_ids: Iterable[str]) -> Iterator[tuple[Port, Network]]:
        """Those of some ports that are bound here, each with its network."""
        for port_id in port_ids:
            if self.bound(port_id) is not None:
                port = self._facts.ports[port_id]
                yield port, self._facts.networks[port.network_id]
