"""A fabric of hosts with any of the refinements and tunnels of either mode: frames go from br-tun to br-tun, by the
compiled flows of each.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import netaddr
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from apps.framework.compiler import Compiler
from apps.framework.flow import MULTICAST_BIT
from apps.framework.host_view import (
    HostView,
    LocalNetwork,
    LocalPort,
    Peer,
    RemotePort,
    TunnelPath,
    TunnelPorts,
    ViewChange,
)
from apps.l2_population import FLOOD_UNKNOWN, L2_POPULATION
from tests.support.openflow.frames import Frame, sent
from tests.support.openflow.views import BRIDGES
from topology.model import Network, NetworkType

HOSTS = ("host1", "host2", "host3", "host4")
NETWORKS = tuple(Network(f"00000000-0000-4000-8000-00000000000{n}", NetworkType.GRE, 2 + n) for n in range(2))
PATCH_INT = 1
OPERATORS_PORT = 5
"""Of br-tun of each host; what is behind it gets what is flooded."""
FLOW_PORT, FIRST_PEER = 6, 10
"""Ofports of the tunnel to all peers, and of the one to the first host."""
BROADCAST = 2**48 - 1
NOBODY = int(netaddr.EUI("fa:16:3e:ff:ff:ff"))


@dataclass(frozen=True)
class Nic:
    """A port that is bound somewhere."""

    number: int
    network: Network
    host: str

    @property
    def id(self) -> str:
        return f"10000000-0000-4000-8000-0000000000{self.number:02}"

    @property
    def mac(self) -> str:
        return f"fa:16:3e:00:00:{self.number:02x}"

    @property
    def dl_dst(self) -> int:
        return int(netaddr.EUI(self.mac))


ADDRESSES = tuple(f"192.0.2.{number}" for number, _ in enumerate(HOSTS, 1))


def _path(number: int, is_flow_based: bool) -> TunnelPath:
    """To a host, by its number."""
    return TunnelPath(FLOW_PORT, ADDRESSES[number]) if is_flow_based else TunnelPath(FIRST_PEER + number)


Hop = tuple[str, str]
"""A frame on the underlay: from one host to another."""


class Fabric:
    """Hosts with a full mesh of tunnels.

    :param told: which ports the topology has told of to each other host
    :param options: of each host
    :param silent: hosts of which no controller tells anything
    :param flow_based: hosts that have one tunnel port; the others have one for each peer
    """

    def __init__(
        self,
        nics: list[Nic],
        told: dict[str, set[int]],
        options: dict[str, Map[str, bool]],
        silent: frozenset[str],
        flow_based: frozenset[str],
    ) -> None:
        self.views = {
            host: self._view(host, nics, told[host], options[host], silent, host in flow_based) for host in HOSTS
        }
        self.flows = {}
        for host, view in self.views.items():
            compiler = Compiler()
            compiler.update(ViewChange.between(HostView(), view))
            assert not compiler.problems
            self.flows[host] = list(compiler.flows("br-tun").values())

    @staticmethod
    def _view(
        host: str, nics: list[Nic], told: set[int], options: Map[str, bool], silent: frozenset[str], is_flow_based: bool
    ) -> HostView:
        here = [nic for nic in nics if nic.host == host]
        networks = sorted({nic.network.id for nic in here})
        # Two hosts have no local VLAN alike.
        vlans = {key: 100 * (1 + HOSTS.index(host)) + number for number, key in enumerate(networks)}
        remote = [
            nic for nic in nics if nic.network.id in vlans and nic.number in told and nic.host not in {host, *silent}
        ]
        return HostView(
            bridges=BRIDGES,
            patch_int=PATCH_INT,
            tunnels=TunnelPorts(Map({NetworkType.GRE: FLOW_PORT} if is_flow_based else {}), others=(OPERATORS_PORT,)),
            networks=Map({nic.network.id: LocalNetwork(nic.network, vlans[nic.network.id]) for nic in here}),
            ports=Map(
                {nic.id: LocalPort(nic.id, nic.network.id, nic.mac, f"tap{nic.number}", nic.number) for nic in here}
            ),
            options=Map(options),
            peers=Map(
                {
                    peer: Peer(Map({NetworkType.GRE: (_path(number, is_flow_based),)}), peer not in silent)
                    for number, peer in enumerate(HOSTS)
                    if peer != host
                }
            ),
            remote_ports=Map({nic.id: RemotePort(nic.id, nic.network.id, nic.host, nic.mac) for nic in remote}),
        )

    def send(self, nic: Nic, dl_dst: int) -> tuple[Counter[tuple[str, str]], Counter[Hop]]:
        """A frame from the br-int of a port's host, which has flooded it.

        MAC learning knows nothing: ``NORMAL`` sends to all tunnels what comes from br-int, and to br-int alone what
        comes from a tunnel.

        :returns: host and network → copies that its br-int gets; and what went over the underlay
        """
        delivered, hops = Counter[tuple[str, str]](), Counter[Hop]()
        view = self.views[nic.host]
        frame = Frame(PATCH_INT, dl_dst, view.networks[nic.network.id].vlan, dl_src=nic.dl_dst)
        for copy in sent(self.flows[nic.host], frame):
            assert copy.tun_id == nic.network.segmentation_id
            peers = [host for host in HOSTS if host != nic.host]
            if copy.port == OPERATORS_PORT:
                assert dl_dst & MULTICAST_BIT or view.option(FLOOD_UNKNOWN) or view.tunnels.flow_ports
                assert copy.vlan == frame.vlan  # networks are told apart there by nothing else
                continue
            if copy.port == FLOW_PORT:
                peers = [HOSTS[ADDRESSES.index(str(copy.tun_dst))]]
            elif copy.port is not None:
                peers = [HOSTS[copy.port - FIRST_PEER]]
            for peer in peers:
                hops[nic.host, peer] += 1
                number = HOSTS.index(nic.host)
                in_port = FLOW_PORT if self.views[peer].tunnels.flow_ports else FIRST_PEER + number
                arriving = replace(
                    frame, in_port=in_port, vlan=copy.vlan, tun_id=copy.tun_id, tun_src=ADDRESSES[number]
                )
                for inside in sent(self.flows[peer], arriving):
                    assert inside.port in (None, PATCH_INT)  # into no other tunnel
                    networks = self.views[peer].networks.items()
                    (network_id,) = [key for key, local in networks if local.vlan == inside.vlan]
                    delivered[peer, network_id] += 1
        return delivered, hops


@st.composite
def fabrics(draw: st.DrawFn, *, is_told: bool) -> tuple[Fabric, list[Nic]]:
    """Ports on hosts; of each of which the topology has told or, where it may be late, not."""
    places = draw(st.lists(st.tuples(st.sampled_from(NETWORKS), st.sampled_from(HOSTS)), min_size=1, max_size=8))
    nics = [Nic(1 + number, network, host) for number, (network, host) in enumerate(places)]
    everything = {nic.number for nic in nics}
    told = {host: everything if is_told else draw(st.sets(st.sampled_from(sorted(everything)))) for host in HOSTS}
    choice = st.fixed_dictionaries({L2_POPULATION.key: st.booleans(), FLOOD_UNKNOWN.key: st.booleans()})
    options = {host: Map(draw(choice)) for host in HOSTS}
    silent = frozenset(draw(st.sets(st.sampled_from(HOSTS), max_size=1)))
    flow_based = frozenset(draw(st.sets(st.sampled_from(HOSTS))))
    return Fabric(nics, told, options, silent, flow_based), nics


def _others(nics: list[Nic], nic: Nic) -> set[str]:
    """The other hosts that have ports of a port's network."""
    return {other.host for other in nics if other.network == nic.network} - {nic.host}


@given(fabrics(is_told=True))
def test_a_broadcast_reaches_each_host_of_its_network_once(made: tuple[Fabric, list[Nic]]) -> None:
    """And no other network; with L2 population no other host is even sent a copy, but one that tells nothing."""
    fabric, nics = made
    for nic in nics:
        for group in (BROADCAST, 0x3333_0000_0001):
            delivered, hops = fabric.send(nic, group)
            assert delivered == {(host, nic.network.id): 1 for host in _others(nics, nic)}
            view = fabric.views[nic.host]
            if view.option(L2_POPULATION) and _others(nics, nic) - view.untold:
                assert hops == {(nic.host, host): 1 for host in _others(nics, nic) | view.untold}
            else:
                assert set(hops.values()) == {1}


@given(fabrics(is_told=True))
def test_unicast_reaches_its_port_alone(made: tuple[Fabric, list[Nic]]) -> None:
    """By one tunnel with L2 population, unless it is on a host that tells nothing."""
    fabric, nics = made
    for nic in nics:
        for other in nics:
            if other.network == nic.network and other.host != nic.host:
                delivered, hops = fabric.send(nic, other.dl_dst)
                assert delivered == {(other.host, nic.network.id): 1}
                view = fabric.views[nic.host]
                if view.option(L2_POPULATION) and other.host not in view.untold:
                    assert hops == {(nic.host, other.host): 1}


@given(fabrics(is_told=False))
def test_what_the_topology_is_late_with_is_flooded(made: tuple[Fabric, list[Nic]]) -> None:
    """A port that has not been told of is reached all the same; a broadcast reaches at least the hosts that are known.

    Nothing ever comes twice, or to another network.
    """
    fabric, nics = made
    for nic in nics:
        view = fabric.views[nic.host]
        known = {port.host for port in view.remote_ports.values() if port.network_id == nic.network.id}
        delivered, _ = fabric.send(nic, BROADCAST)
        assert set(delivered.values()) <= {1}
        assert delivered.keys() <= {(host, nic.network.id) for host in _others(nics, nic)}
        silent = view.untold & _others(nics, nic)
        assert delivered.keys() >= {(host, nic.network.id) for host in known | silent}
        for other in nics:
            if other.network == nic.network and other.host != nic.host and not view.option(FLOOD_UNKNOWN):
                assert fabric.send(nic, other.dl_dst)[0] == {(other.host, nic.network.id): 1}
        delivered, _ = fabric.send(nic, NOBODY)
        assert not delivered


@given(fabrics(is_told=True))
def test_an_unknown_address_goes_to_the_network_by_option(made: tuple[Fabric, list[Nic]]) -> None:
    fabric, nics = made
    for nic in nics:
        view = fabric.views[nic.host]
        if view.option(L2_POPULATION) and view.option(FLOOD_UNKNOWN) and _others(nics, nic) - view.untold:
            _, hops = fabric.send(nic, NOBODY)
            assert hops == {(nic.host, host): 1 for host in _others(nics, nic) | view.untold}
