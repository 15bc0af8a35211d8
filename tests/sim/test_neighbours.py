"""Who asks for an address in a fabric of hosts with any of the refinements and tunnels of either mode: ARP and ND."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import netaddr
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map

from apps.arp_responder import ARP_RESPONDER
from apps.framework.flow import IN_PORT, Field
from apps.framework.host_view import Address, HostView, Peer, TunnelPath
from tests.sim.test_l2_population import BROADCAST, HOSTS, NOBODY, OPERATORS_PORT, PATCH_INT, Fabric, Hop, Nic, fabrics
from tests.support.openflow.frames import Frame, Sent, sent
from tests.support.openflow.views import compiled
from topology.model import NetworkType

FLOW_PORT = 40
FLOW_PORTS = {NetworkType.GRE: FLOW_PORT}
SHARED = {4: "10.0.9.9", 6: "fd00::9:9"}
"""IP version → an address that any port may have beside its own."""
UNKNOWN = {4: "10.0.9.1", 6: "fd00::9:1"}
ARP, IPV6, ICMPV6 = 0x0806, 0x86DD, 58
ALL_NODES = 0x3333_0000_0001
FEW = settings(max_examples=30)
"""Each example compiles the flows of four hosts."""


def number_of(address: str) -> int:
    return int(netaddr.IPAddress(address))


def own_address(nic: Nic, version: int) -> str:
    return f"10.0.0.{nic.number}" if version == 4 else f"fd00::{nic.number:x}"


def tunnel_ip(host: str) -> str:
    return f"192.0.2.{1 + HOSTS.index(host)}"


def request(nic: Nic, target: str, sender: str | None = None) -> tuple[int, int, dict[Field, int]]:
    """A question of a port who has an address: destination, ethertype and payload.

    :param sender: address of who asks; None: the port's own
    """
    version = netaddr.IPAddress(target).version
    source = number_of(own_address(nic, version) if sender is None else sender)
    if version == 4:
        fields = {Field.ARP_OP: 1, Field.ARP_SHA: nic.dl_dst, Field.ARP_SPA: source, Field.ARP_TPA: number_of(target)}
        return BROADCAST, ARP, fields
    fields = {Field.NW_PROTO: ICMPV6, Field.ICMPV6_TYPE: 135, Field.IPV6_SRC: source}
    fields |= {Field.ND_TARGET: number_of(target), Field.ND_OPTIONS_TYPE: int(source != 0)}
    return 0x3333_FF00_0000 | number_of(target) & 0xFFFFFF, IPV6, fields


@dataclass(frozen=True)
class Walked:
    """What becomes of a frame.

    :param answers: what comes back to br-int of the sender's host
    :param delivered: host and network → copies that its br-int gets
    :param hops: what went over the underlay
    """

    answers: list[Frame]
    delivered: Counter[tuple[str, str]]
    hops: Counter[Hop]


class Neighbourhood:
    """A fabric whose ports have addresses.

    :param sharing: numbers of the ports that may have SHARED
    :param answering: hosts that answer
    :param flow_based: hosts whose tunnels are
    """

    def __init__(
        self, fabric: Fabric, nics: list[Nic], sharing: set[int], answering: set[str], flow_based: set[str]
    ) -> None:
        self.nics = nics
        addresses = {nic.id: self._addresses(nic, nic.number in sharing) for nic in nics}
        self.views: dict[str, HostView] = {}
        self.flows = {}
        for host, view in fabric.views.items():
            self.views[host] = view.evolve(
                ports={key: replace(port, addresses=addresses[key]) for key, port in view.ports.items()},
                remote_ports={key: replace(port, addresses=addresses[key]) for key, port in view.remote_ports.items()},
                options=view.options.set(ARP_RESPONDER.key, host in answering),
                tunnels=replace(
                    view.tunnels, flow_ports=Map({NetworkType.GRE: FLOW_PORT} if host in flow_based else {})
                ),
                peers={name: self._peer(name, peer, host in flow_based) for name, peer in view.peers.items()},
            ).new
            compiler = compiled(self.views[host])
            assert not compiler.problems
            self.flows[host] = list(compiler.flows("br-tun").values())

    @staticmethod
    def _addresses(nic: Nic, is_sharing: bool) -> tuple[Address, ...]:
        found = [own_address(nic, version) for version in (4, 6)] + (list(SHARED.values()) if is_sharing else [])
        return tuple(sorted((address, nic.mac) for address in found))

    @staticmethod
    def _peer(name: str, peer: Peer, is_flow_based: bool) -> Peer:
        path = TunnelPath(FLOW_PORT, tunnel_ip(name)) if is_flow_based else TunnelPath(10 + HOSTS.index(name))
        return replace(peer, paths=Map({NetworkType.GRE: (path,)}))

    def others(self, nic: Nic) -> set[str]:
        """The other hosts that have ports of a port's network."""
        return {other.host for other in self.nics if other.network == nic.network} - {nic.host}

    def everywhere(self, nic: Nic) -> dict[tuple[str, str], int]:
        """What is delivered of a frame for all."""
        return {(host, nic.network.id): 1 for host in self.others(nic)}

    def answerer(self, nic: Nic, address: str) -> str | None:
        """The MAC address that a port's host answers with."""
        view = self.views[nic.host]
        having = view.ports_with(nic.network.id, address)
        if not view.option(ARP_RESPONDER) or len(having) != 1:
            return None
        port = view.remote_ports.get(having.pop())
        return None if port is None else port.mac_address

    def walk(self, nic: Nic, dl_dst: int, ethertype: int = 0x0800, payload: dict[Field, int] | None = None) -> Walked:
        """Send a frame of a port from the br-int of its host to br-tun."""
        vlan = self.views[nic.host].networks[nic.network.id].vlan
        frame = Frame(PATCH_INT, dl_dst, vlan, ethertype=ethertype, dl_src=nic.dl_dst, payload=Map(payload or {}))
        walked = Walked([], Counter(), Counter())
        for copy in sent(self.flows[nic.host], frame):
            assert copy.frame is not None
            if copy.port == IN_PORT:
                assert copy.vlan == vlan
                walked.answers.append(copy.frame)
                continue
            assert copy.tun_id == nic.network.segmentation_id
            assert copy.frame.payload == frame.payload
            for peer in self._peers_of(nic.host, copy):
                walked.hops[nic.host, peer] += 1
                self._arrive(walked, peer, nic.host, copy.frame)
        return walked

    def _peers_of(self, host: str, copy: Sent) -> list[str]:
        """The hosts to which a copy goes, as ``NORMAL`` has it to all."""
        if copy.port == OPERATORS_PORT:
            return []
        paths = {peer: self.views[host].paths(peer, NetworkType.GRE) for peer in self.views[host].peers}
        if copy.port is None:
            assert FLOW_PORT not in self.views[host].tunnels.flow_ports.values()
            return list(paths)
        found = [peer for peer, (path,) in paths.items() if (path.ofport, path.remote_ip) == (copy.port, copy.tun_dst)]
        assert len(found) == 1
        return found

    def _arrive(self, walked: Walked, host: str, sender: str, frame: Frame) -> None:
        view = self.views[host]
        (path,) = view.paths(sender, NetworkType.GRE)
        source = tunnel_ip(sender) if path.remote_ip else None
        for inside in sent(self.flows[host], replace(frame, in_port=path.ofport, tun_src=source, tun_dst=None)):
            assert inside.port in (None, PATCH_INT)  # into no other tunnel
            (network_id,) = [key for key, local in view.networks.items() if local.vlan == inside.vlan]
            walked.delivered[host, network_id] += 1


@st.composite
def neighbourhoods(draw: st.DrawFn, *, is_told: bool) -> Neighbourhood:
    """Any fabric; of whose ports the topology has told or, where it may be late, not."""
    fabric, nics = draw(fabrics(is_told=is_told))
    hosts = st.sets(st.sampled_from(HOSTS))
    sharing = draw(st.sets(st.sampled_from([nic.number for nic in nics])))
    return Neighbourhood(fabric, nics, sharing, draw(hosts), draw(hosts))


@FEW
@given(neighbourhoods(is_told=True), st.data())
def test_frames_reach_whom_they_are_for(fabric: Neighbourhood, data: st.DataObject) -> None:
    """A broadcast each member once, unicast the host of its port, and what is for nobody goes nowhere."""
    nic = data.draw(st.sampled_from(fabric.nics))
    for group in (BROADCAST, ALL_NODES):
        walked = fabric.walk(nic, group)
        assert (walked.answers, walked.delivered) == ([], fabric.everywhere(nic))
    assert not fabric.walk(nic, NOBODY).delivered
    for other in fabric.nics:
        if other.network == nic.network and other.host != nic.host:
            assert fabric.walk(nic, other.dl_dst).delivered == {(other.host, nic.network.id): 1}


@FEW
@given(st.booleans().flatmap(lambda is_told: neighbourhoods(is_told=is_told)), st.data())
def test_a_question_is_answered_once_or_goes_to_all(fabric: Neighbourhood, data: st.DataObject) -> None:
    """On the host for an address of one port elsewhere that the topology has told of, and then nobody else hears it."""
    nic = data.draw(st.sampled_from(fabric.nics))
    for version in (4, 6):
        targets = [own_address(other, version) for other in fabric.nics if other.network == nic.network]
        for target in (*targets, SHARED[version], UNKNOWN[version]):
            walked, broadcast = fabric.walk(nic, *request(nic, target)), fabric.walk(nic, BROADCAST)
            mac = fabric.answerer(nic, target)
            if mac is None:
                assert walked == broadcast
            else:
                assert not walked.hops
                assert walked.answers == [_answer(fabric, nic, target, mac)]


def _answer(fabric: Neighbourhood, nic: Nic, target: str, mac: str) -> Frame:
    """To a port that has asked."""
    ethertype, asked = request(nic, target)[1:]
    made = int(netaddr.EUI(mac))
    vlan = fabric.views[nic.host].networks[nic.network.id].vlan
    if ethertype == ARP:
        fields = {Field.ARP_OP: 2, Field.ARP_SHA: made, Field.ARP_SPA: asked[Field.ARP_TPA]}
        fields |= {Field.ARP_THA: nic.dl_dst, Field.ARP_TPA: asked[Field.ARP_SPA]}
    else:
        fields = asked | {Field.ICMPV6_TYPE: 136, Field.ND_RESERVED: 0x60000000, Field.ND_OPTIONS_TYPE: 2}
        fields |= {Field.IPV6_SRC: asked[Field.ND_TARGET], Field.IPV6_DST: asked[Field.IPV6_SRC], Field.ND_TLL: made}
    return Frame(PATCH_INT, nic.dl_dst, vlan, ethertype=ethertype, dl_src=made, payload=Map(fields))


@FEW
@given(neighbourhoods(is_told=True), st.data())
def test_what_only_looks_like_a_question_goes_to_all(fabric: Neighbourhood, data: st.DataObject) -> None:
    """Probes whether anybody has an address, announcements, and solicitations that cannot be answered."""
    nic = data.draw(st.sampled_from(fabric.nics))
    for other in fabric.nics:
        if other.network != nic.network:
            continue
        arp, nd = (own_address(other, version) for version in (4, 6))
        frames = [request(nic, arp, "0.0.0.0"), request(nic, arp, arp), request(nic, nd, "::")]
        *to, solicitation = request(nic, nd)
        for differing in ({Field.ND_OPTIONS_TYPE: 0}, {Field.IPV6_SRC: 0}, {Field.ICMPV6_TYPE: 136}):
            frames.append((to[0], to[1], solicitation | differing))
        for frame in frames:
            walked = fabric.walk(nic, *frame)
            assert (walked.answers, walked.delivered) == ([], fabric.everywhere(nic))
