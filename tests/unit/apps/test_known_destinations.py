"""What one port on another host costs here, and what is known of an address that several ports may have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from immutables import Map

from apps.arp_responder import ANNOUNCEMENT, ANSWER, ARP_RESPONDER
from apps.framework.app import UnitKind
from apps.framework.compiler import Compiler
from apps.framework.flow import Flow
from apps.framework.host_view import HostView, LocalNetwork, LocalPort, Peer, RemotePort, TunnelPath, ViewChange
from apps.framework.render import render
from apps.l2_population import FLOOD, L2_POPULATION, UNICAST
from tests.support.openflow.views import BRIDGES
from topology.model import Network, NetworkType

NETWORK = Network("c4d8b48b-6ff7-43b6-a203-8f1192a16f07", NetworkType.GRE, 2)
OTHER = Network("d4d8b48b-6ff7-43b6-a203-8f1192a16f07", NetworkType.GRE, 3)
VIRTUAL = ("10.0.0.100", "00:00:5e:00:01:01")


def mac(number: int) -> str:
    return f"fa:16:3e:00:{number >> 8:02x}:{number & 0xFF:02x}"


def local(number: int, **more: object) -> LocalPort:
    made = LocalPort(f"{number:08x}-0000-4000-8000-00000000000b", NETWORK.id, mac(number), f"tap{number}", number)
    return replace(made, **more)  # type: ignore[arg-type]


def remote(number: int, host: str = "host2", of: Network = NETWORK, **more: object) -> RemotePort:
    addresses = ((f"10.0.{number >> 8}.{number & 0xFF}", mac(number)),)
    made = RemotePort(f"{number:08x}-0000-4000-8000-00000000000b", of.id, host, mac(number), addresses=addresses)
    return replace(made, **more)  # type: ignore[arg-type]


class Settled:
    """A host with two ports, and what changes when its view does.

    :param remote_ports: on other hosts
    """

    def __init__(self, *remote_ports: RemotePort, **options: bool) -> None:
        self.compiler = Compiler()
        view = HostView(
            bridges=BRIDGES,
            patch_int=1,
            networks=Map({NETWORK.id: LocalNetwork(NETWORK, 1), OTHER.id: LocalNetwork(OTHER, 2)}),
            ports=Map({port.port_id: port for port in (local(1), local(2))}),
            peers=Map({f"host{n}": Peer(Map({NetworkType.GRE: (TunnelPath(n),)})) for n in (2, 3)}),
            remote_ports=Map({port.port_id: port for port in remote_ports}),
            options=Map({f"agent.{name}": value for name, value in options.items()}),
        )
        self.view = HostView()
        self.follow(ViewChange.between(self.view, view))

    def follow(self, change: ViewChange) -> list[str]:
        """Flows of br-tun that come, with ``+``, or go, with ``-``."""
        old = dict(self.compiler.flows("br-tun"))
        changes = self.compiler.update(change)
        self.view = change.new
        assert self.compiler.problems == {}
        assert changes.keys() <= {"br-tun"} or not old
        found = []
        for key, flow in changes.get("br-tun", {}).items():
            found += [f"-{render(old[key], cookie=False)}"] if key in old and flow is None else []
            found += [f"+{render(flow, cookie=False)}"] if flow is not None else []
        return sorted(found)

    def put(self, *ports: RemotePort) -> list[str]:
        return self.follow(self.view.evolve(remote_ports={port.port_id: port for port in ports}))

    def remove(self, port: RemotePort) -> list[str]:
        return self.follow(self.view.evolve(remote_ports={port.port_id: None}))

    def flows(self, priority: int) -> list[Flow]:
        return [flow for flow in self.compiler.flows("br-tun").values() if (flow.table, flow.priority) == (0, priority)]


def unicast(port: RemotePort) -> str:
    return (
        f"priority=6,in_port=1,dl_vlan=1,dl_dst={port.mac_address} "
        f"actions=pop_vlan,set_field:0x2->tun_id,output:{port.host[4:]}"
    )


def test_one_more_port_elsewhere_is_its_own_flows() -> None:
    """However many there are; the flood changes with the hosts, and with nothing else."""
    visited = []
    for count in (3, 2000):
        host = Settled(*(remote(number) for number in range(10, 10 + count)), arp_responder=False)
        before = host.compiler.visited
        new = remote(4000)
        assert host.put(new) == [f"+{unicast(new)}"]
        visited.append(host.compiler.visited - before)
        assert host.remove(new) == [f"-{unicast(new)}"]
        (flood,) = host.flows(FLOOD.priority)
        changes = host.put(replace(new, host="host3"))
        assert len(changes) == 2
        assert changes[1] == f"+{unicast(replace(new, host='host3'))}"
        assert changes[0] == f"+{render(flood, cookie=False)},output:3"
    assert visited == [2, 2]  # its unit of each application


def test_a_move_is_one_flow_and_the_flood() -> None:
    host = Settled(remote(10), remote(11), arp_responder=False)
    moved = replace(remote(10), host="host3")
    assert f"+{unicast(moved)}" in host.put(moved)
    assert [flow.priority for flow in host.flows(UNICAST.priority)] == [6, 6]
    back = host.put(remote(10))
    assert f"+{unicast(remote(10))}" in back
    assert len(back) == 2


def test_a_network_without_ports_elsewhere_has_the_flows_of_the_tunnel_bridge_alone() -> None:
    """So has one whose ports are all on hosts that no tunnel leads to, but for what it lets in."""
    bare = Settled()
    assert {flow.priority for flow in bare.compiler.flows("br-tun").values()} == {1, 3, 4}
    off = Settled(remote(10), l2_population=False, arp_responder=False)
    assert off.compiler.flows("br-tun") == bare.compiler.flows("br-tun")
    elsewhere = Settled(remote(10, of=OTHER))
    here = {render(flow) for flow in bare.compiler.flows("br-tun").values()}
    new = {render(flow) for flow in elsewhere.compiler.flows("br-tun").values()} - here
    assert new
    assert not [flow for flow in new if "dl_vlan=1," in flow or "tun_id=0x2," in flow]


@pytest.mark.parametrize(
    "rival",
    [
        remote(11, "host3", mac_address=mac(10)),
        remote(11, "host3", allowed_macs=(mac(10),)),
        local(3, allowed_macs=(mac(10),)),
        local(3, mac_address=mac(10)),
    ],
    ids=["its own elsewhere", "allowed elsewhere", "allowed here", "its own here"],
)
def test_an_address_of_more_than_one_port_is_nobodys(rival: RemotePort | LocalPort) -> None:
    """Until only one may have it."""
    host = Settled(remote(10), remote(12))
    kind = "remote_ports" if isinstance(rival, RemotePort) else "ports"

    def known() -> bool:
        return f"dl_dst={mac(10)} " in "".join(render(flow) for flow in host.flows(UNICAST.priority))

    assert known()
    host.follow(host.view.evolve(**{kind: {rival.port_id: rival}}))  # type: ignore[arg-type]
    assert not known()
    host.follow(host.view.evolve(**{kind: {rival.port_id: None}}))  # type: ignore[arg-type]
    assert known()


def test_an_allowed_address_of_one_port_is_known() -> None:
    pair = remote(10, allowed_macs=(VIRTUAL[1],), addresses=(VIRTUAL,))
    host = Settled(pair)
    assert f"dl_dst={VIRTUAL[1]} " in "".join(render(flow) for flow in host.flows(UNICAST.priority))
    (answer,) = host.flows(ANSWER.priority)
    assert f"arp_tpa={VIRTUAL[0]}," in render(answer)
    assert f"set_field:{VIRTUAL[1]}->arp_sha" in render(answer)
    host.follow(host.view.evolve(ports={local(1).port_id: local(1, allowed_macs=(VIRTUAL[1],), addresses=(VIRTUAL,))}))
    assert not host.flows(ANSWER.priority)
    assert f"dl_dst={VIRTUAL[1]} " not in "".join(render(flow) for flow in host.flows(UNICAST.priority))


@pytest.mark.parametrize("tells_ports", [True, False])
def test_another_way_to_a_host_concerns_the_networks_that_it_has(tells_ports: bool) -> None:
    """All, where nobody tells which these are."""
    visited = []
    for count in (1, 200):
        numbers = range(100, 100 + count)
        others = [Network(f"{n:08x}-6ff7-43b6-a203-8f1192a16f07", NetworkType.GRE, n) for n in numbers]
        host = Settled(remote(10, "host3"))
        host.follow(host.view.evolve(networks={of.id: LocalNetwork(of, of.segmentation_id or 0) for of in others}))
        host.put(*(remote(of.segmentation_id or 0, "host2", of=of) for of in others))
        before = host.compiler.visited
        peer = Peer(Map({NetworkType.GRE: (TunnelPath(9),)}), tells_ports=tells_ports)
        changes = host.follow(host.view.evolve(peers={"host3": peer}))
        assert f"+{unicast(remote(10, 'host9'))}" in changes
        assert len([flow for flow in changes if ",output:9" in flow]) >= (1 if tells_ports else count)
        visited.append(host.compiler.visited - before)
    assert (visited[0] == visited[1]) is tells_ports


def test_options_are_switched_while_all_else_is_the_same() -> None:
    """What passes the responder goes where the broadcasts of the network go then."""
    for was in (False, True):
        host = Settled(remote(10), l2_population=was)
        host.follow(host.view.evolve(options=Map({L2_POPULATION.key: not was})))
        assert host.compiler.flows("br-tun") == Settled(remote(10), l2_population=not was).compiler.flows("br-tun")


def test_an_address_with_two_macs_is_not_answered_for() -> None:
    host = Settled(remote(10, addresses=(("10.0.0.10", mac(10)), ("10.0.0.10", mac(99)))))
    assert not host.flows(ANSWER.priority)


@pytest.mark.parametrize("l2_population", [False, True])
def test_arp_is_answered_for_ports_elsewhere(l2_population: bool) -> None:
    """Each address by a flow; what only looks like a request goes where broadcasts go."""
    host = Settled(remote(10), l2_population=l2_population)
    (answer,) = host.flows(ANSWER.priority)
    assert "arp_tpa=10.0.0.10,arp_op=1 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]" in render(answer)
    passed = [render(flow, cookie=False) for flow in host.compiler.flows("br-tun").values() if flow.table == 2]
    sent = "pop_vlan,set_field:0x2->tun_id,output:2" if l2_population else "set_field:0x2->tun_id,NORMAL"
    assert passed == [f"table=2, priority=1,in_port=1,dl_vlan=1 actions={sent}"]
    assert bool(host.flows(FLOOD.priority)) is l2_population


SOLICITATION = "icmp6,in_port=1,dl_vlan=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"


@pytest.mark.parametrize(("is_router", "flags"), [(False, 0x60000000), (True, 0xE0000000)])
def test_neighbour_discovery_is_answered_for_ports_elsewhere(is_router: bool, flags: int) -> None:
    """Who says that he is a router is believed, for others would forget him as one (RFC 4861 §7.2.5)."""
    port = remote(10, addresses=(("fd00::5", mac(11)),), is_router=is_router)
    host = Settled(port)
    (answer,) = host.flows(ANSWER.priority)
    assert render(answer, cookie=False) == (
        f"priority=7,{SOLICITATION},icmp_type=135,icmp_code=0,nd_target=fd00::5,nd_options_type=1 "
        f"actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:{mac(11)}->eth_src,"
        "move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],move:NXM_NX_ND_TARGET[]->NXM_NX_IPV6_SRC[],"
        f"set_field:{flags}->nd_reserved,set_field:2->nd_options_type,set_field:136->icmpv6_type,resubmit(,3)"
    )
    assert f"priority=12,{SOLICITATION},ipv6_src=::,icmp_type=135,icmp_code=0 actions=resubmit(,2)" in [
        render(flow, cookie=False) for flow in host.flows(ANNOUNCEMENT.priority)
    ]
    assert [render(flow, cookie=False) for flow in host.compiler.flows("br-tun").values() if flow.table == 3] == [
        "table=3, priority=1,icmp6,in_port=1,dl_vlan=1,icmp_type=136,icmp_code=0 "
        "actions=move:NXM_OF_ETH_SRC[]->NXM_NX_ND_TLL[],IN_PORT"
    ]
    host.put(replace(port, is_router=not is_router))
    assert host.flows(ANSWER.priority) != [answer]


def test_a_link_local_address_is_not_answered_for() -> None:
    """By it hosts know their routers, and nobody says of a guest that it is one."""
    host = Settled(remote(10, addresses=(("fe80::1", mac(10)), ("fd00::5", mac(10)), ("fd00::5", mac(11)))))
    assert not host.flows(ANSWER.priority)


def test_arp_is_answered_only_while_a_way_leads_there() -> None:
    """A guest that has to ask again keeps what it has to send; one that got an answer would send what is lost."""
    sixth = ("fd00::5", mac(10))
    host = Settled(replace(remote(10), addresses=(*remote(10).addresses, sixth)), remote(11, "host3"))
    lost = host.follow(host.view.evolve(peers={"host2": None}))
    gone = [flow for flow in lost if "priority=7," in flow]
    assert len(gone) == 2 and "arp_tpa=10.0.0.10," in gone[0] and "nd_target=fd00::5," in gone[1]
    assert len(host.flows(ANSWER.priority)) == 1
    found = host.follow(host.view.evolve(peers={"host2": Peer(Map({NetworkType.GRE: (TunnelPath(2),)}))}))
    assert {flow.partition(",")[0] for flow in found} >= {"+priority=6", "+priority=7"}  # in one step
    vxlan = Peer(Map({NetworkType.VXLAN: (TunnelPath(2),)}))
    host.follow(host.view.evolve(peers={"host2": vxlan}))
    assert len(host.flows(ANSWER.priority)) == 1


def test_options_are_switches() -> None:
    assert L2_POPULATION.default is ARP_RESPONDER.default is True
    assert not Settled(remote(10), arp_responder=False).flows(ANSWER.priority)
    assert UnitKind.REMOTE_PORT not in {unit.kind for unit in Settled(remote(10)).compiler.problems}
