"""Delivery in networks with a secured port: each frame to the ports that it is for, and not where NORMAL would learn.

What is for the address of a port here goes to that port, through its rules if it is secured; all else leaves the host
by the network's patch, with the local VLAN as its tag. A patch or port that a frame came by does not get it back
(OpenFlow 1.3 §7.2.5, OFPAT_OUTPUT).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from apps.filtering.filter_tables import (
    NOT_YET_ACCEPTED,
    RECEIVER_ACCEPTS,
    FilterTable,
    in_network,
    is_secured,
    secured_otherwise,
    to,
    uplink,
)
from apps.framework.app import App, Placed, Unit, UnitKind, place
from apps.framework.field_values import mac_number
from apps.framework.flow import (
    MULTICAST_BIT,
    Action,
    Field,
    Flow,
    LoadBits,
    Match,
    ModVlanVid,
    Output,
    Resubmit,
    SetField,
    SetXxreg,
    Term,
)
from apps.framework.host_view import HostView, LocalNetwork, LocalPort, RemotePort, ViewChange
from apps.framework.pipeline import Band, BridgeRole, Dropped
from apps.group_filter import MOST_GROUPS, asked
from topology.security_groups import Direction

_ON = BridgeRole.INTEGRATION

UNKNOWN = Band(
    "DELIVERY_UNKNOWN",
    _ON,
    1,
    frozenset({Field.REG10}),
    frozenset({Resubmit, Output, ModVlanVid}),
    "To an address that no port here has: out of the host, with the local VLAN as tag, and to the ports without port "
    "security, behind which it may be.",
    ports="secured port",
    table=FilterTable.DELIVERY,
)
MULTICAST = Band(
    "DELIVERY_MULTICAST",
    _ON,
    2,
    frozenset({Field.REG10, Field.ETH_DST}),
    frozenset({Output, ModVlanVid, Resubmit, LoadBits, SetField, SetXxreg}),
    "Multicast and broadcast: to the ports without port security; to secured ones, where their rules accept it, which "
    "those that have the same groups are asked of once; and out of the host.",
    table=FilterTable.DELIVERY,
)
KNOWN = Band(
    "DELIVERY_KNOWN",
    _ON,
    3,
    frozenset({Field.REG10, Field.ETH_DST}),
    frozenset({Output, ModVlanVid, Resubmit, LoadBits, SetField}),
    "To the address of a port here: to it, through its rules if it is secured; out of the host too, while another port "
    "may have that address. To an address of allowed address pairs: to all ports here that may have it, and out. To a "
    "port on another host: out alone, where there are ports without port security.",
    table=FilterTable.DELIVERY,
)
RESERVED = Band(
    "DELIVERY_RESERVED",
    _ON,
    4,
    frozenset({Field.REG10, Field.ETH_DST}),
    frozenset(),
    "To 01:80:c2:00:00:00 to 0f, which are for the bridge itself (IEEE 802.1Q, table 8-1: spanning tree, LLDP, pause "
    "and others): as no bridge passes them on, and `NORMAL` does not.",
    dropped=(
        Dropped("to an address that is for bridges, in a network with a secured port", "see band DELIVERY_RESERVED"),
    ),
    table=FilterTable.DELIVERY,
)
COPIES = Band(
    "COPIES",
    _ON,
    1,
    frozenset({Field.REG8, Field.REG10, Field.REG11}),
    frozenset({Output}),
    "What the rules of some groups have accepted goes to all ports that have these groups; register 11 says which.",
    table=FilterTable.COPIES,
)


FOR_BRIDGES = Term(Field.ETH_DST, 0x0180_C200_0000, 0xFFFF_FFFF_FFF0)
MOST_STEPS = 2000
"""Actions that ask rules of a multicast. An OpenFlow message has 65,535 bytes at most, and one takes up to 24."""


class PortDelivery(App):
    """The application."""

    name = "port delivery"
    number = 8
    bands = (UNKNOWN, MULTICAST, KNOWN, RESERVED, COPIES)
    kinds = (UnitKind.NETWORK, UnitKind.PORT, UnitKind.REMOTE_PORT, UnitKind.ALLOWED_MAC)
    follows = frozenset({"Port"})

    def units(self, view: HostView) -> Iterable[Unit]:
        """None on a host without a secured port."""
        return super().units(view) if view.is_secured else ()

    def touched(self, change: ViewChange) -> Iterable[Unit]:
        """What differs; the networks of ports that do; ports that may have their addresses; all of a network, where it
        is secured now or no longer, or has its first or last port without port security."""
        old, new = change.old, change.new
        if not (old.is_secured or new.is_secured):
            return
        if change.patch_tun:
            yield from (unit for view in (old, new) for unit in self.units(view))
            return
        yield from super().touched(change)
        yield from (self.unit(UnitKind.REMOTE_PORT, key) for key in change.ports)  # while a guest migrates it is both
        yield from (self.unit(UnitKind.PORT, key) for key in change.remote_ports)
        changed: list[LocalPort | RemotePort] = [
            ports[key]
            for keys, all_ports in (
                (change.ports, (old.ports, new.ports)),
                (change.remote_ports, (old.remote_ports, new.remote_ports)),
            )
            for key in keys
            for ports in all_ports
            if key in ports
        ]
        for network_id in {port.network_id for port in changed}:
            yield self.unit(UnitKind.NETWORK, network_id)
            if _has_open_ports(old, network_id) is not _has_open_ports(new, network_id):
                yield from self._of_network(change, network_id)
        for network_id in secured_otherwise(change):
            yield from self._of_network(change, network_id)
        for port in changed:
            for view in (old, new):
                if is_secured(view, port.network_id):
                    yield from self._having_as_own(view, port)

    def _having_as_own(self, view: HostView, port: LocalPort | RemotePort) -> Iterator[Unit]:
        """Ports whose own MAC address is one that this port may have: whether they have it alone decides their flow.

        Not ports that share other addresses with it: a virtual address may be that of all ports of a network.
        """
        for mac_address in (port.mac_address, *port.allowed_macs):
            for key in view.ports_with(port.network_id, mac_address):
                if key in view.ports and view.ports[key].mac_address == mac_address:
                    yield self.unit(UnitKind.PORT, key)
                if key in view.remote_ports and view.remote_ports[key].mac_address == mac_address:
                    yield self.unit(UnitKind.REMOTE_PORT, key)

    def _of_network(self, change: ViewChange, network_id: str) -> Iterator[Unit]:
        yield self.unit(UnitKind.NETWORK, network_id)
        for view in (change.old, change.new):
            for key in view.ports_of(network_id):
                yield self.unit(UnitKind.PORT, key)
                for mac_address in view.ports[key].allowed_macs:
                    yield self.unit(UnitKind.ALLOWED_MAC, f"{network_id} {mac_address}")
            yield from (self.unit(UnitKind.REMOTE_PORT, key) for key in view.remote_ports_of(network_id))

    def flows(self, unit: Unit, view: HostView) -> Iterable[Placed]:
        """All on br-int, in networks with a secured port."""
        if unit.kind is UnitKind.NETWORK:
            network_id = unit.id
        elif unit.kind is UnitKind.ALLOWED_MAC:
            network_id = unit.id.partition(" ")[0]
        else:
            ports = view.ports if unit.kind is UnitKind.PORT else view.remote_ports
            network_id = ports[unit.id].network_id
        if not is_secured(view, network_id):
            return ()
        local = view.networks[network_id]
        flows: Iterable[Flow]
        if unit.kind is UnitKind.NETWORK:
            flows = self._network(view, local)
        elif unit.kind is UnitKind.PORT:
            flows = self._port(view, local, view.ports[unit.id])
        elif unit.kind is UnitKind.ALLOWED_MAC:
            flows = self._allowed_mac(view, local, unit.id.partition(" ")[2])
        else:
            flows = self._remote(view, local, view.remote_ports[unit.id])
        return place(view, _ON, flows)

    def _network(self, view: HostView, local: LocalNetwork) -> Iterator[Flow]:
        """Deliver what is for all, or for nobody known.

        ::

            table=40, priority=1,reg10=0x1 actions=resubmit(,60),output:6,load:0x1->NXM_OF_VLAN_TCI[0..11],
                load:0x1->NXM_OF_VLAN_TCI[12],output:4
            table=40, priority=2,reg10=0x1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=output:6,
                load:0->NXM_NX_REG8[2],resubmit(,50),set_field:0x6d1f…->xxreg0,resubmit(,54),set_field:0->reg11,
                resubmit(,58),load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],output:4
            table=40, priority=4,reg10=0x1,dl_dst=01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0 actions=drop
            table=58, priority=1,reg8=0x4/0x4,reg10=0x1,reg11=0 actions=output:5,output:8
        """
        network = local.network.id
        ports = [view.ports[key] for key in view.ports_of(network)]
        unfiltered = [Output(number) for number in sorted(port.ofport for port in ports if port.security is None)]
        out = _out(view, local)
        yield self.flow(UNKNOWN, Match((in_network(local),)), to(FilterTable.COMMIT), *unfiltered, *out, of=network)
        steps: list[Action] = []
        for number, (group_ids, ofports) in enumerate(asked_of_multicast(ports)):
            steps += [NOT_YET_ACCEPTED, to(FilterTable.INGRESS_ALWAYS), *asked(group_ids, Direction.INGRESS)]
            steps += [SetField(Field.REG11, number), to(FilterTable.COPIES)]
            accepted = Match((RECEIVER_ACCEPTS, in_network(local), Term(Field.REG11, number)))
            yield self.flow(COPIES, accepted, *map(Output, sorted(ofports)), of=network)
        multicast = Match((in_network(local), Term(Field.ETH_DST, MULTICAST_BIT, MULTICAST_BIT)))
        yield self.flow(MULTICAST, multicast, *unfiltered, *steps, *out, of=network)
        yield self.flow(RESERVED, Match((in_network(local), FOR_BRIDGES)), of=network)

    def _allowed_mac(self, view: HostView, local: LocalNetwork, mac_address: str) -> Iterator[Flow]:
        """Deliver what is for an address of allowed address pairs to all that may have it; nothing of one that is the
        own address of a port, which has a flow for it.

        ``table=40, priority=3,reg10=0x1,dl_dst=00:00:5e:00:01:01 actions=load:0->NXM_NX_REG8[2],set_field:0x5->reg9,
        resubmit(,50),resubmit(,51),resubmit(,60),load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],
        output:4``
        """
        network = local.network.id
        if view.is_own(network, mac_address):
            return
        having = sorted(view.ports_allowed(network, mac_address), key=lambda port: port.ofport)
        actions = [action for port in having for action in _into(port)]
        out = _out(view, local)
        yield self.flow(KNOWN, _for(local, mac_address), *actions, to(FilterTable.COMMIT), *out, of=network)

    def _port(self, view: HostView, local: LocalNetwork, port: LocalPort) -> Iterator[Flow]:
        """Deliver what is for a port.

        ::

            table=40, priority=3,reg10=0x1,dl_dst=fa:16:3e:02:dd:79
                actions=load:0->NXM_NX_REG8[2],set_field:0x5->reg9,resubmit(,50),resubmit(,51)
            table=40, priority=3,reg10=0x1,dl_dst=fa:16:3e:b6:fc:21 actions=resubmit(,60),output:6
        """
        actions = list(_into(port))
        is_alone = view.ports_with(port.network_id, port.mac_address) == {port.port_id}
        if not is_alone or port.port_id in view.remote_ports:
            actions += [to(FilterTable.COMMIT), *_out(view, local)]
        yield self.flow(KNOWN, _for(local, port.mac_address), *actions, of=port.port_id)

    def _remote(self, view: HostView, local: LocalNetwork, port: RemotePort) -> Iterator[Flow]:
        """Send what is for a port on another host nowhere else.

        ``table=40, priority=3,reg10=0x1,dl_dst=fa:16:3e:4d:5e:6f actions=resubmit(,60),
        load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],output:4``
        """
        is_alone = view.ports_with(port.network_id, port.mac_address) == {port.port_id}
        if is_alone and port.port_id not in view.ports and _has_open_ports(view, port.network_id):
            actions = to(FilterTable.COMMIT), *_out(view, local)
            yield self.flow(KNOWN, _for(local, port.mac_address), *actions, of=port.port_id)


def asked_of_multicast(ports: Iterable[LocalPort]) -> Iterator[tuple[tuple[str, ...], list[int]]]:
    """Sets of groups with the ofports of the ports that have them, as many as one flow can name; those that are left
    are asked of no group, and get what no rule is asked of.

    :param ports: of one network
    """
    alike: dict[tuple[str, ...], list[int]] = {}
    for port in ports:
        if port.security is not None:
            alike.setdefault(tuple(sorted(set(port.security.group_ids))), []).append(port.ofport)
    left, beyond = MOST_STEPS, list[int]()
    for group_ids in sorted(alike):
        steps = 4 + 2 * len(group_ids)
        if steps <= left and len(group_ids) <= MOST_GROUPS:
            left -= steps
            yield group_ids, alike[group_ids]
        else:
            beyond += alike[group_ids]
    if beyond:
        yield (), beyond


def _for(local: LocalNetwork, mac_address: str) -> Match:
    return Match((in_network(local), Term(Field.ETH_DST, mac_number(mac_address))))


def _into(port: LocalPort) -> Iterable[Action]:
    """To a port here, through its rules if it is secured."""
    if port.security is None:
        return to(FilterTable.COMMIT), Output(port.ofport)
    receiver = SetField(Field.REG9, port.ofport)
    return NOT_YET_ACCEPTED, receiver, to(FilterTable.INGRESS_ALWAYS), to(FilterTable.INGRESS)


def _out(view: HostView, local: LocalNetwork) -> tuple[Action, ...]:
    """Out of the host; the last that is done to a frame, since it has a tag from then on."""
    patch = uplink(view, local)
    return () if patch is None else (ModVlanVid(local.vlan), Output(patch))


def _has_open_ports(view: HostView, network_id: str) -> bool:
    """Whether a network has bound ports without port security."""
    return any(view.ports[key].security is None for key in view.ports_of(network_id))
