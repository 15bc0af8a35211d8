"""Flow-based tunnels: every peer gets a copy and nobody else, and what is from no peer gets nowhere."""

from __future__ import annotations

import netaddr
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map
from os_ken.ofproto import ofproto_v1_3 as ofp

from apps.framework.host_view import HostView, LocalNetwork, Peer, RemotePort, TunnelPath, TunnelPorts
from apps.framework.pipeline import BridgeRole
from apps.l2_population import MOST_PATHS
from apps.tunnel_bridge import COPIES
from controller.openflow.wire.flow_messages import flow_mod
from tests.sim.test_delivery import BROADCAST, STRANGER, owner_of_tunnel, to_number
from tests.support.openflow.frames import Frame, Sent, sent
from tests.support.openflow.views import MACS, NETWORK_IDS, PEERS, TUNNEL_IDS, compiled, stays_here, views
from topology.model import Network, NetworkType

FLOW_PORTS = {NetworkType.GRE: 90, NetworkType.VXLAN: 91, NetworkType.GENEVE: 92}
ADDRESSES = dict(zip(PEERS, ("192.0.2.2", "2001:db8::2", "192.0.2.9"), strict=True))
OTHERS = (95, 96)
DESTINATIONS = [to_number(mac) for mac in MACS] + [BROADCAST, STRANGER]


@st.composite
def flow_based(draw: st.DrawFn) -> HostView:
    """A host with flow-based tunnels to some peers, of which each has some encapsulations."""
    view = draw(views())
    peers = {}
    for host, address in ADDRESSES.items():
        kinds = draw(st.lists(st.sampled_from([*FLOW_PORTS]), unique=True))
        if kinds:
            paths = {kind: (TunnelPath(FLOW_PORTS[kind], address),) for kind in kinds}
            peers[host] = Peer(Map(paths), tells_ports=draw(st.booleans()))
    tunnels = TunnelPorts(Map(FLOW_PORTS), others=draw(st.sampled_from([(), OTHERS])))
    gone = dict.fromkeys(view.peers)
    remote = dict.fromkeys(view.remote_ports) if not draw(st.booleans()) else {}
    return view.evolve(peers={**gone, **peers}, tunnels=tunnels, remote_ports=remote).new


def peers_of(view: HostView, kind: NetworkType) -> list[str]:
    """Addresses of the peers that have an encapsulation."""
    return [path.remote_ip or "" for host in sorted(view.peers) for path in view.paths(host, kind)]


FEW = settings(max_examples=30)
"""Each goes through all bridges of a host, with all frames."""


@FEW
@given(flow_based(), st.sampled_from(DESTINATIONS))
def test_outbound_goes_once_to_each_peer(view: HostView, dl_dst: int) -> None:
    """With the tunnel id of its network; to those alone that have the encapsulation, and to ports of an operator. Where
    the topology knows of ports elsewhere, to their hosts; then without a tag."""
    compiler = compiled(view)
    flows = list(compiler.flows("br-tun").values())
    if view.patch_int is None:
        return
    for local in view.networks.values():
        kind, tunnel_id = local.network.network_type, local.network.segmentation_id or 0
        expected = []
        is_served = kind.is_tunnel and owner_of_tunnel(view, tunnel_id) == local.network.id
        if is_served and not stays_here(view, compiler, local.network.id, dl_dst):
            expected = [Sent(port, local.vlan, tunnel_id) for port in view.tunnels.others]
            expected += [Sent(FLOW_PORTS[kind], local.vlan, tunnel_id, ip) for ip in peers_of(view, kind)]
        copies = sent(flows, Frame(view.patch_int, dl_dst, local.vlan))
        if expected and copies and copies[-1].vlan is None:  # L2 population has it
            assert view.hosts_of(local.network.id)
            wanted = {ADDRESSES[host] for host in view.hosts_of(local.network.id)} & set(peers_of(view, kind))
            got = [copy.tun_dst for copy in copies if copy.port == FLOW_PORTS[kind]]
            assert len(set(got)) == len(got)
            assert set(got) >= wanted if dl_dst == BROADCAST else len(got) == 1 and set(got) <= wanted
            assert all(copy.tun_id == tunnel_id for copy in copies)
            assert all(copy.vlan == (local.vlan if copy.port in OTHERS else None) for copy in copies)
        else:
            assert copies == expected


@FEW
@given(flow_based(), st.sampled_from((*TUNNEL_IDS, 77)), st.sampled_from(DESTINATIONS))
def test_inbound_is_from_peers_alone(view: HostView, tunnel_id: int, dl_dst: int) -> None:
    """From whom it is not, it goes nowhere; from an operator's port it comes in. It goes to br-int alone."""
    compiler = compiled(view)
    flows = list(compiler.flows("br-tun").values())
    owner = owner_of_tunnel(view, tunnel_id)
    here = {to_number(mac) for port in view.ports.values() if port.network_id == owner for mac in
            (port.mac_address, *port.allowed_macs)}  # fmt: skip
    is_wanted = owner is not None and view.patch_int is not None and (dl_dst == BROADCAST or dl_dst in here)
    for kind, port in FLOW_PORTS.items():
        for address in (*ADDRESSES.values(), "192.0.2.66", "2001:db8::66"):
            copies = sent(flows, Frame(port, dl_dst, None, tunnel_id, tun_src=address))
            if is_wanted and owner is not None and address in peers_of(view, kind):
                assert copies == [Sent(view.patch_int, view.networks[owner].vlan, tunnel_id)]
            else:
                assert copies == []
    for port in view.tunnels.others:
        assert bool(sent(flows, Frame(port, dl_dst, None, tunnel_id))) == is_wanted


@FEW
@given(flow_based())
def test_a_port_that_is_about_to_go_lets_nothing_in(view: HostView) -> None:
    closed = TunnelPorts(closed=tuple(FLOW_PORTS.values()))
    flows = list(compiled(view.evolve(tunnels=closed, peers=dict.fromkeys(view.peers)).new).flows("br-tun").values())
    for port in FLOW_PORTS.values():
        for tunnel_id in TUNNEL_IDS:
            assert sent(flows, Frame(port, BROADCAST, None, tunnel_id, tun_src=ADDRESSES[PEERS[0]])) == []


def test_more_peers_than_one_flow_can_name() -> None:
    """Each gets what is for all, once, by whichever flows; and each flow fits into an OpenFlow message."""
    assert COPIES < MOST_PATHS
    addresses = [str(netaddr.IPAddress("2001:db8:1::") + number) for number in range(MOST_PATHS + 1)]
    kinds = (NetworkType.GRE, NetworkType.VXLAN)
    paths = [Map({kind: (TunnelPath(FLOW_PORTS[kind], address),) for kind in kinds}) for address in addresses]
    networks = [
        Network(id=NETWORK_IDS[number], network_type=kind, segmentation_id=number + 1)
        for number, kind in enumerate(kinds)
    ]
    known = networks[0].id
    view = HostView(
        bridges={"br-tun": BridgeRole.TUNNEL},
        patch_int=1,
        networks=Map({network.id: LocalNetwork(network, vlan) for vlan, network in enumerate(networks, 1)}),
        tunnels=TunnelPorts(Map(FLOW_PORTS), others=OTHERS),
        peers=Map({address: Peer(to) for address, to in zip(addresses, paths, strict=True)}),
    )
    for members in ([], addresses[:2], addresses):  # of the first network
        macs = [
            str(netaddr.EUI(number, dialect=netaddr.mac_unix_expanded)) for number in range(256, 256 + len(members))
        ]
        remote = {mac: RemotePort(mac, known, host, mac) for mac, host in zip(macs, members, strict=True)}
        flows = list(compiled(view.evolve(remote_ports=remote).new).flows("br-tun").values())
        assert all(len(flow_mod(ofp.OFPFC_ADD, flow, 0)) < 1 << 16 for flow in flows)
        for local in view.networks.values():
            copies = sent(flows, Frame(1, BROADCAST, local.vlan))
            expected = members if members and local.network.id == known else addresses
            got = [copy.tun_dst for copy in copies if copy.port == FLOW_PORTS[local.network.network_type]]
            assert sorted(map(str, got)) == sorted(expected)
            assert [copy.port for copy in copies if copy.port in OTHERS] == [*OTHERS]
