"""Views of a host that nobody would draw by hand: strategies, and changes from one view to the next.

The pools are small on purpose, so that objects meet: a MAC twice in a network, networks of different types with one
tunnel id, two networks on one VLAN of the wire, devices that are dead and alive. Local VLANs are the one thing that
never collides, because :mod:`apps.framework.local_vlans` deals them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import netaddr
from hypothesis import strategies as st
from immutables import Map

from apps.arp_responder import ARP_RESPONDER
from apps.framework.app import UnitKind
from apps.framework.compiler import Compiler
from apps.framework.host_view import (
    Address,
    DeadPort,
    HostView,
    LocalNetwork,
    LocalPort,
    Membership,
    Peer,
    PhysicalNetwork,
    PortSecurity,
    RemotePort,
    TunnelPath,
    TunnelPorts,
    ViewChange,
)
from apps.framework.pipeline import BridgeRole
from apps.l2_population import FLOOD_UNKNOWN, L2_POPULATION
from topology.model import Network, NetworkType
from topology.security_groups import AddressGroup, Direction, Ethertype, SecurityGroup, SecurityGroupRule

PHYSICAL_BRIDGES = {"physnet1": "br-ex", "physnet2": "br-dc"}
"""Physical network → its bridge."""
BRIDGES = {
    "br-int": BridgeRole.INTEGRATION,
    "br-tun": BridgeRole.TUNNEL,
    **dict.fromkeys(PHYSICAL_BRIDGES.values(), BridgeRole.PHYSICAL),
}

NETWORK_IDS = tuple(f"00000000-0000-4000-8000-00000000000{number}" for number in range(5))
PORT_IDS = tuple(f"10000000-0000-4000-8000-00000000000{number}" for number in range(9))
ALLOWED_MACS = st.just(()) | st.lists(
    st.sampled_from([f"fa:16:3e:00:00:0{number}" for number in range(1, 8)]), max_size=2, unique=True
).map(tuple)
"""Of allowed address pairs: those of other ports among them."""
MACS = tuple(f"fa:16:3e:00:00:0{number}" for number in range(1, 6))
REMOTE_IDS = (*(f"20000000-0000-4000-8000-00000000000{number}" for number in range(5)), PORT_IDS[0])
"""One of them may be here too, while its guest migrates."""
PEERS = ("host2", "host3", "host4")
"""Other hosts."""
PEER_PORTS = (50, 51, 52)
"""Ofports of tunnels."""
FLOW_PORTS = {NetworkType.GRE: 40, NetworkType.VXLAN: 41}
"""Type of networks → ofport of the tunnel to all peers, where there is one."""
OPTIONS = (L2_POPULATION, FLOOD_UNKNOWN, ARP_RESPONDER)
"""Of applications."""
IPS = ("10.0.0.1", "10.0.0.2", "fd00::1")
ADDRESSES = st.lists(st.tuples(st.sampled_from(IPS), st.sampled_from(MACS)), max_size=2, unique=True).map(tuple)
"""IP addresses, which several ports may have."""
GROUP_IDS = tuple(f"30000000-0000-4000-8000-00000000000{number}" for number in range(3))
ADDRESS_GROUP_IDS = ("40000000-0000-4000-8000-000000000000", GROUP_IDS[0])
"""One of them has the id of a security group: they are others nevertheless."""
PREFIXES = ("10.0.0.0/30", "10.0.0.1/32", "fd00::/64")
SECURITIES = st.builds(
    PortSecurity,
    st.lists(st.tuples(st.sampled_from(PREFIXES), st.sampled_from(MACS)), max_size=2, unique=True).map(tuple),
    st.lists(st.sampled_from(GROUP_IDS), max_size=2, unique=True).map(tuple),
)
PORT_ATTRIBUTES = (st.sampled_from(MACS), ALLOWED_MACS, st.booleans(), ADDRESSES)
OTHER_PEERS = st.just(()) | st.sampled_from(PEERS).map(lambda host: (host,))
REMOTE_ATTRIBUTES = (st.sampled_from(PEERS), st.sampled_from(MACS), ALLOWED_MACS, ADDRESSES, OTHER_PEERS)
TUNNEL_IDS = (1, 2, 3)
SEGMENTS = (1, 2, 103)
"""VLANs on the wire; local VLANs of other networks among them."""
PATCH_INT = 60
PATCH_TUN = 65
INT_PORTS = {"physnet1": (70, 71, None), "physnet2": (80, 81, None)}
"""Physical network → ofports that the patch to its bridge has on br-int, now and after it was made anew, or has not."""
PHY_PORTS = (90, 91, None)
"""The same of the other end, on the physical bridge."""

Edit = Callable[[HostView], ViewChange]
"""From one view to the next."""


def networks(network_id: str) -> st.SearchStrategy[Network]:
    """A network with this id, of any type."""
    tunnelled = st.builds(
        lambda kind, tunnel_id: Network(network_id, kind, tunnel_id),
        st.sampled_from([NetworkType.GRE, NetworkType.VXLAN, NetworkType.GENEVE]),
        st.sampled_from(TUNNEL_IDS),
    )
    physical_network = st.sampled_from(sorted(PHYSICAL_BRIDGES))
    vlan = st.builds(
        lambda segment, name: Network(network_id, NetworkType.VLAN, segment, name),
        st.sampled_from(SEGMENTS),
        physical_network,
    )
    flat = physical_network.map(lambda name: Network(network_id, NetworkType.FLAT, physical_network=name))
    return tunnelled | vlan | flat | st.just(Network(network_id, NetworkType.LOCAL))


def joints(name: str) -> st.SearchStrategy[PhysicalNetwork]:
    """A physical network whose bridge is joined to br-int by a patch, or by half of one, or not."""
    ends = (st.sampled_from(INT_PORTS[name]), st.sampled_from(PHY_PORTS))
    return st.builds(PhysicalNetwork, st.just(name), st.just(PHYSICAL_BRIDGES[name]), *ends)


def local_networks(network_id: str) -> st.SearchStrategy[LocalNetwork]:
    """That network with a local VLAN that no other network of these strategies can have."""
    number = NETWORK_IDS.index(network_id)
    return st.builds(LocalNetwork, networks(network_id), st.sampled_from([1 + number, 101 + number]))


def _put_network(local: LocalNetwork) -> Edit:
    return lambda view: view.evolve(networks={local.network.id: local})


def _drop_network(network_id: str) -> Edit:
    return lambda view: view.evolve(
        networks={network_id: None},
        ports={key: None for key, port in view.ports.items() if port.network_id == network_id},
        remote_ports={key: None for key, port in view.remote_ports.items() if port.network_id == network_id},
    )


def _put_port(
    port_id: str,
    network: int,
    mac: str,
    allowed_macs: tuple[str, ...],
    is_here: bool,
    addresses: tuple[Address, ...],
    security: PortSecurity | None,
) -> Edit:
    def edit(view: HostView) -> ViewChange:
        if not view.networks:
            return view.evolve()
        network_id = sorted(view.networks)[network % len(view.networks)]
        number = PORT_IDS.index(port_id)
        port = LocalPort(
            port_id, network_id, mac, f"tap{number}", 1 + number, allowed_macs, is_here, addresses, security
        )
        return view.evolve(ports={port_id: port})

    return edit


def _drop_port(port_id: str) -> Edit:
    return lambda view: view.evolve(ports={port_id: None})


def _put_remote(
    port_id: str,
    network: int,
    host: str,
    mac: str,
    allowed_macs: tuple[str, ...],
    addresses: tuple[Address, ...],
    others: tuple[str, ...],
) -> Edit:
    def edit(view: HostView) -> ViewChange:
        if not view.networks:
            return view.evolve()
        network_id = sorted(view.networks)[network % len(view.networks)]
        more = tuple(other for other in others if other != host)
        port = RemotePort(port_id, network_id, host, mac, allowed_macs, addresses, others=more)
        return view.evolve(remote_ports={port_id: port})

    return edit


def _drop_remote(port_id: str) -> Edit:
    return lambda view: view.evolve(remote_ports={port_id: None})


def _put_peer(host: str, peer: Peer | None) -> Edit:
    return lambda view: view.evolve(peers={host: peer})


def peers(host: str, *, modes: bool) -> st.SearchStrategy[Peer]:
    """That host, with a tunnel for some types of networks, or two.

    :param modes: or with addresses that flows set
    """
    number = PEER_PORTS[PEERS.index(host)]
    of_one = [(TunnelPath(number),), (TunnelPath(number), TunnelPath(number + 10))]

    def paths(kind: NetworkType) -> st.SearchStrategy[tuple[TunnelPath, ...]]:
        flow_based = [TunnelPath(FLOW_PORTS[kind], ip) for ip in (f"192.0.2.{number}", f"2001:db8::{number}")]
        return st.sampled_from([(), *of_one, *([(flow_based[0],), tuple(flow_based)] if modes else [])])

    ways = st.fixed_dictionaries({kind: paths(kind) for kind in FLOW_PORTS})
    known = ways.map(lambda of: Map({kind: way for kind, way in of.items() if way}))
    return st.builds(Peer, known, st.booleans())


def tunnel_ports() -> st.SearchStrategy[TunnelPorts]:
    """Ports that lead to all peers, for some types of networks, are about to go, or are not there; and others."""

    def made(used: frozenset[NetworkType], gone: frozenset[NetworkType], others: tuple[int, ...]) -> TunnelPorts:
        closed = (FLOW_PORTS[kind] for kind in sorted(FLOW_PORTS, key=FLOW_PORTS.__getitem__) if kind in gone - used)
        return TunnelPorts(Map({kind: FLOW_PORTS[kind] for kind in used}), tuple(closed), others)

    kinds = st.frozensets(st.sampled_from(sorted(FLOW_PORTS)))
    return st.builds(made, kinds, kinds, st.sampled_from([(), (45,), (45, 46)]))


def chosen() -> st.SearchStrategy[Map[str, bool]]:
    """What an operator may choose of the applications' options."""
    return st.dictionaries(st.sampled_from([option.key for option in OPTIONS]), st.booleans()).map(Map)


def _put_tunnels(tunnels: TunnelPorts) -> Edit:
    return lambda view: view.evolve(tunnels=tunnels)


def _choose(options: Map[str, bool]) -> Edit:
    return lambda view: view.evolve(options=options)


def _kill(number: int, ofport: int) -> Edit:
    device = f"tap{number}"
    return lambda view: view.evolve(dead={device: DeadPort(device, ofport)})


def _revive(number: int) -> Edit:
    return lambda view: view.evolve(dead={f"tap{number}": None})


def rules(number: int) -> st.SearchStrategy[SecurityGroupRule]:
    """A rule with that number; those of IPv4 have IPv4 prefixes, and so on."""

    def made(
        direction: Direction,
        ethertype: Ethertype,
        what: tuple[int | None, int | None, int | None],
        remote: tuple[str, str] | None,
    ) -> SecurityGroupRule:
        if remote is not None and remote[0] == "remote_ip_prefix" and (":" in remote[1]) is (ethertype == "IPv4"):
            remote = None
        remotes: dict[str, Any] = dict([remote] if remote is not None else [])
        return SecurityGroupRule(f"50000000-0000-4000-8000-00000000000{number}", direction, ethertype, *what, **remotes)

    remotes = st.one_of(
        st.none(),
        st.tuples(st.just("remote_ip_prefix"), st.sampled_from(PREFIXES)),
        st.tuples(st.just("remote_group_id"), st.sampled_from(GROUP_IDS)),
        st.tuples(st.just("remote_address_group_id"), st.sampled_from(ADDRESS_GROUP_IDS)),
    )
    protocols = st.sampled_from(
        [
            (None, None, None),
            (6, None, None),
            (6, 20, 25),
            (6, 22, 30),
            (17, 22, 22),
            (1, 8, None),
            (1, 8, 0),
            (132, None, None),
        ]
    )
    return st.builds(made, st.sampled_from(list(Direction)), st.sampled_from(list(Ethertype)), protocols, remotes)


def security_groups(group_id: str) -> st.SearchStrategy[SecurityGroup]:
    """That group, with few rules."""
    some = st.integers(0, 4).flatmap(lambda count: st.tuples(*map(rules, range(count))))
    return st.builds(SecurityGroup, st.just(group_id), stateful=st.booleans(), rules=some)


def _put_group(group: SecurityGroup) -> Edit:
    return lambda view: view.evolve(security_groups={group.id: group})


def _put_address_group(group_id: str, addresses: list[str] | None) -> Edit:
    group = None if addresses is None else AddressGroup(group_id, addresses=tuple(sorted(addresses)))
    return lambda view: view.evolve(address_groups={group_id: group})


def _put_members(members: dict[Membership, bool]) -> Edit:
    return lambda view: view.evolve(group_members=members)


def group_edits() -> st.SearchStrategy[Edit]:
    """A change of a group or of its members."""
    members = st.tuples(st.sampled_from(GROUP_IDS), st.sampled_from((*IPS, "10.0.0.2/32", "10.0.0.0/30")))
    return st.one_of(
        st.sampled_from(GROUP_IDS).flatmap(security_groups).map(_put_group),
        st.sampled_from(GROUP_IDS).map(lambda key: lambda view: view.evolve(security_groups={key: None})),
        st.builds(
            _put_address_group,
            st.sampled_from(ADDRESS_GROUP_IDS),
            st.none() | st.lists(st.sampled_from(PREFIXES), unique=True),
        ),
        st.dictionaries(members, st.booleans(), max_size=4).map(_put_members),
        st.sampled_from([None, PATCH_TUN, PATCH_TUN + 1]).map(
            lambda patch_tun: lambda view: view.evolve(patch_tun=patch_tun)
        ),
    )


def _patch(patch_int: int | None) -> Edit:
    return lambda view: view.evolve(patch_int=patch_int)


def _join(physical: PhysicalNetwork) -> Edit:
    return lambda view: view.evolve(physical={physical.name: physical})


def _unmap(name: str) -> Edit:
    return lambda view: view.evolve(physical={name: None})


def edits() -> st.SearchStrategy[Edit]:
    """One change of a host: something appears, changes or goes."""
    number = st.integers(0, len(PORT_IDS) - 1)
    which_network = st.integers(0, len(NETWORK_IDS) - 1)
    port_id = st.sampled_from(PORT_IDS)
    return st.one_of(
        st.sampled_from(NETWORK_IDS).flatmap(local_networks).map(_put_network),
        st.builds(_put_port, port_id, which_network, *PORT_ATTRIBUTES, st.none() | SECURITIES),
        group_edits(),
        st.builds(_drop_network, st.sampled_from(NETWORK_IDS)),
        st.builds(_drop_port, port_id),
        st.builds(_put_remote, st.sampled_from(REMOTE_IDS), which_network, *REMOTE_ATTRIBUTES),
        st.builds(_drop_remote, st.sampled_from(REMOTE_IDS)),
        st.sampled_from(PEERS).flatmap(
            lambda host: st.builds(_put_peer, st.just(host), st.none() | peers(host, modes=True))
        ),
        tunnel_ports().map(_put_tunnels),
        chosen().map(_choose),
        st.builds(_kill, number, st.integers(1, 4)),  # two dead devices with one ofport contradict each other
        st.builds(_revive, number),
        st.builds(_patch, st.sampled_from([None, PATCH_INT, PATCH_INT + 1])),
        st.sampled_from(sorted(PHYSICAL_BRIDGES)).flatmap(joints).map(_join),
        st.builds(_unmap, st.sampled_from(sorted(PHYSICAL_BRIDGES))),
    )


def edited(view: HostView, changes: Iterable[Edit]) -> HostView:
    """The view after all changes."""
    for change in changes:
        view = change(view).new
    return view


def views(*, modes: bool = False) -> st.SearchStrategy[HostView]:
    """A host on which about half of what can be there is, contradictions included.

    :param modes: tunnels in either mode, options, port security and groups are drawn too; else it has a tunnel port for
        each peer, options have their defaults, and no port is secured
    """
    things: list[st.SearchStrategy[Edit | None]] = [st.sampled_from([PATCH_INT, PATCH_INT, None]).map(_patch)]
    things += [st.none() | joints(name).map(_join) for name in PHYSICAL_BRIDGES]
    things += [st.none() | local_networks(network_id).map(_put_network) for network_id in NETWORK_IDS]
    which_network = st.integers(0, len(NETWORK_IDS) - 1)
    things += [
        st.none()
        | st.builds(
            _put_port, st.just(port_id), which_network, *PORT_ATTRIBUTES, st.none() | SECURITIES if modes else st.none()
        )
        for port_id in PORT_IDS
    ]
    things += [st.none() | st.builds(_put_peer, st.just(host), peers(host, modes=modes)) for host in PEERS]
    things += [
        st.none() | st.builds(_put_remote, st.just(port_id), which_network, *REMOTE_ATTRIBUTES)
        for port_id in REMOTE_IDS
    ]
    things += [st.none() | st.integers(1, 4).map(partial(_kill, number)) for number in range(3)]
    if modes:
        things += [st.none() | tunnel_ports().map(_put_tunnels), st.none() | chosen().map(_choose)]
        things += [st.none() | group_edits() for _ in range(5)]
    bare = HostView(bridges=BRIDGES)
    return st.tuples(*things).map(lambda made: edited(bare, [edit for edit in made if edit is not None]))


def compiled(view: HostView) -> Compiler:
    """A compiler that has seen this view and no other."""
    compiler = Compiler()
    compiler.update(ViewChange.between(HostView(), view))
    return compiler


def stays_here(view: HostView, compiler: Compiler, network_id: str, dl_dst: int) -> bool:
    """Whether what is sent to an address of a network is for a port that is on this host and nowhere else."""
    ports = (view.ports[port_id] for port_id in view.ports_of(network_id))
    served = (port for port in ports if compiler.reason(UnitKind.PORT, port.port_id) is None)
    return any(port.is_here and int(netaddr.EUI(port.mac_address)) == dl_dst for port in served)
