"""What a secured port may send, and what it may not: frames through the flows of br-int."""

from __future__ import annotations

from dataclasses import replace

import pytest
from immutables import Map

from apps.filtering.rule_meaning import Packet
from apps.framework.flow import FIRST_FRAGMENT, LATER_FRAGMENT, Field
from apps.framework.host_view import HostView, LocalNetwork, LocalPort, PhysicalNetwork, PortSecurity
from tests.support.openflow.frames import Frame, sent
from tests.support.openflow.packets import arp, discovery, frame_of
from tests.support.openflow.views import BRIDGES, PATCH_TUN, compiled
from topology.model import Network, NetworkType
from topology.security_groups import Direction, Ethertype, SecurityGroup, SecurityGroupRule

GROUP = "30000000-0000-4000-8000-000000000000"
EVERYTHING = tuple(
    SecurityGroupRule(f"{direction.value} {ethertype.value}", direction, ethertype)
    for direction in Direction
    for ethertype in Ethertype
)
SECURED = Network("00000000-0000-4000-8000-000000000000", NetworkType.GRE, 7)
OPEN = Network("00000000-0000-4000-8000-000000000001", NetworkType.GRE, 8)
PROVIDER = Network("00000000-0000-4000-8000-000000000002", NetworkType.VLAN, 101, "physnet1")
VLAN = {SECURED.id: 5, OPEN.id: 6, PROVIDER.id: 7}
OWN, PAIR, NEIGHBOUR, NOBODY = (f"fa:16:3e:00:00:0{number}" for number in range(1, 5))
LINK_LOCAL = "fe80::f816:3eff:fe00:1"
ZERO, ALL = "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"
GUEST, NEIGHBOURS, WITHOUT, OTHER, ON_WIRE, STRAY, INT_PORT = range(1, 8)
PAIRS = (("10.0.0.1/32", OWN), ("fd00::1/128", OWN), ("10.9.0.0/16", OWN), ("10.0.0.9/32", PAIR))


def port(number: int, network: Network, mac: str, security: PortSecurity | None) -> LocalPort:
    return LocalPort(f"port {number}", network.id, mac, f"tap{number}", number, security=security)


PORTS = (
    port(GUEST, SECURED, OWN, PortSecurity(PAIRS, (GROUP,))),
    port(NEIGHBOURS, SECURED, NEIGHBOUR, PortSecurity((("10.0.0.2/32", NEIGHBOUR),), (GROUP,))),
    port(WITHOUT, SECURED, "fa:16:3e:00:00:05", None),
    port(OTHER, OPEN, "fa:16:3e:00:00:06", None),
    port(ON_WIRE, PROVIDER, "fa:16:3e:00:00:07", PortSecurity((("10.0.0.7/32", "fa:16:3e:00:00:07"),), (GROUP,))),
)
VIEW = HostView(
    BRIDGES,
    patch_tun=PATCH_TUN,
    networks=Map({network.id: LocalNetwork(network, VLAN[network.id]) for network in (SECURED, OPEN, PROVIDER)}),
    ports=Map({port.port_id: port for port in PORTS}),
    physical=Map({"physnet1": PhysicalNetwork("physnet1", "br-ex", INT_PORT, 2)}),
    security_groups=Map({GROUP: SecurityGroup(GROUP, rules=EVERYTHING)}),
)
FLOWS = compiled(VIEW).flows("br-int").values()


def v4(source: str, destination: str, port: int, to_port: int, *, mac: str = OWN, to: str = NEIGHBOUR) -> Frame:
    return frame_of(Packet(Ethertype.IPV4, 17, source, destination, port, to_port), GUEST, mac, to)


def v6(source: str, port: int, to_port: int, *, mac: str = OWN) -> Frame:
    return frame_of(Packet(Ethertype.IPV6, 17, source, "fd00::2", port, to_port), GUEST, mac, NEIGHBOUR)


def nd(kind: int, source: str, target: str, *, mac: str = OWN, sll: str | None = None, tll: str | None = None) -> Frame:
    return discovery(GUEST, mac, source, kind, target, sll=sll, tll=tll)


def fragment(frame: Frame, which: int = FIRST_FRAGMENT, **fields: int) -> Frame:
    """A fragment, with other fields than the whole."""
    shown = {Field.NW_FRAG: which, **{Field[name]: value for name, value in fields.items()}}
    return replace(frame, payload=frame.payload.update(shown))


DHCP = v4("0.0.0.0", "255.255.255.255", 68, 67, to=ALL)
RARP = replace(arp(GUEST, OWN, (OWN, "0.0.0.0"), (OWN, "0.0.0.0"), 3), ethertype=0x8035)

MAY = {
    "IPv4 from its address": v4("10.0.0.1", "10.0.0.2", 1, 2),
    "IPv4 from a pair's prefix": v4("10.9.3.4", "10.0.0.2", 1, 2),
    "IPv4 from a pair with its MAC": v4("10.0.0.9", "10.0.0.2", 1, 2, mac=PAIR),
    "IPv6 from its address": v6("fd00::1", 1, 2),
    "IPv6 from its link-local address": v6(LINK_LOCAL, 1, 2),
    "ARP request": arp(GUEST, OWN, (OWN, "10.0.0.1"), (ZERO, "10.0.0.2")),
    "ARP reply": arp(GUEST, OWN, (OWN, "10.0.0.1"), (NEIGHBOUR, "10.0.0.2"), 2),
    "gratuitous ARP": arp(GUEST, OWN, (OWN, "10.0.0.1"), (ZERO, "10.0.0.1")),
    "ARP probe": arp(GUEST, OWN, (OWN, "0.0.0.0"), (ZERO, "10.0.0.1")),
    "ARP of a pair": arp(GUEST, PAIR, (PAIR, "10.0.0.9"), (ZERO, "10.0.0.2")),
    "DHCP without an address": DHCP,
    "DHCP with its address": v4("10.0.0.1", "10.0.0.2", 68, 67),
    "DHCPv6": v6(LINK_LOCAL, 546, 547),
    "RARP": RARP,
    "NS": nd(135, LINK_LOCAL, "fd00::2", sll=OWN),
    "NS of who lives": nd(135, "fd00::1", "fd00::2"),
    "duplicate address detection": nd(135, "::", "fd00::1"),
    "detection of the link-local address": nd(135, "::", LINK_LOCAL),
    "NA": nd(136, "fd00::1", "fd00::1", tll=OWN),
    "NA without option": nd(136, LINK_LOCAL, "fd00::1"),
    "RS": nd(133, LINK_LOCAL, "::"),
    "RS without an address": nd(133, "::", "::"),
    "MLD report": nd(143, "::", "::"),
    "IPv6 in fragments": fragment(v6("fd00::1", 1, 2)),
    "a later fragment": fragment(v6("fd00::1", 0, 0), LATER_FRAGMENT, NW_PROTO=44),
    "an echo request in fragments": fragment(nd(128, "fd00::1", "::")),
}
MAY_NOT = {
    "another's MAC": v4("10.0.0.1", "10.0.0.2", 1, 2, mac=NEIGHBOUR),
    "a broadcast MAC": v4("10.0.0.1", "10.0.0.2", 1, 2, mac=ALL),
    "a pair's MAC with its own address": v4("10.0.0.1", "10.0.0.2", 1, 2, mac=PAIR),
    "its own MAC with a pair's address": v4("10.0.0.9", "10.0.0.2", 1, 2),
    "the neighbour's IPv4": v4("10.0.0.2", "10.0.0.3", 1, 2),
    "the gateway's IPv4": v4("10.0.0.254", "10.0.0.2", 1, 2),
    "IPv4 from nowhere": v4("0.0.0.0", "10.0.0.2", 1, 2),
    "IPv4 beside the pair's prefix": v4("10.10.0.1", "10.0.0.2", 1, 2),
    "another's IPv6": v6("fd00::2", 1, 2),
    "another's link-local address": v6("fe80::f816:3eff:fe00:3", 1, 2),
    "IPv6 from nowhere": v6("::", 1, 2),
    "its IPv6 with a pair's MAC": v6("fd00::1", 1, 2, mac=PAIR),
    "ARP with another's address": arp(GUEST, OWN, (OWN, "10.0.0.2"), (ZERO, "10.0.0.3")),
    "ARP reply for another": arp(GUEST, OWN, (OWN, "10.0.0.2"), (NEIGHBOUR, "10.0.0.3"), 2),
    "gratuitous ARP for another": arp(GUEST, OWN, (OWN, "10.0.0.2"), (ZERO, "10.0.0.2")),
    "ARP with another's MAC": arp(GUEST, OWN, (NEIGHBOUR, "10.0.0.1"), (ZERO, "10.0.0.3")),
    "ARP with another's source": arp(GUEST, NEIGHBOUR, (OWN, "10.0.0.1"), (ZERO, "10.0.0.3")),
    "ARP with nobody's MAC": arp(GUEST, OWN, (ZERO, "10.0.0.1"), (ZERO, "10.0.0.3")),
    "ARP probe for another": arp(GUEST, OWN, (OWN, "0.0.0.0"), (ZERO, "10.0.0.2")),
    "ARP of a pair from its own MAC": arp(GUEST, OWN, (OWN, "10.0.0.9"), (ZERO, "10.0.0.2")),
    "ARP of its address from a pair's MAC": arp(GUEST, PAIR, (PAIR, "10.0.0.1"), (ZERO, "10.0.0.2")),
    "RARP for another": replace(arp(GUEST, OWN, (NEIGHBOUR, "0.0.0.0"), (NEIGHBOUR, "0.0.0.0"), 3), ethertype=0x8035),
    "RARP for another as target": replace(
        arp(GUEST, OWN, (OWN, "0.0.0.0"), (NEIGHBOUR, "0.0.0.0"), 3), ethertype=0x8035
    ),
    "NS with another's option": nd(135, LINK_LOCAL, "fd00::3", sll=NEIGHBOUR),
    "NS that cannot be read": nd(135, LINK_LOCAL, "::"),
    "NS from another": nd(135, "fd00::2", "fd00::3", sll=OWN),
    "NS of a pair's MAC": nd(135, LINK_LOCAL, "fd00::3", sll=PAIR),
    "detection of another's address": nd(135, "::", "fd00::2"),
    "detection with an option": nd(135, "::", "fd00::1", sll=OWN),
    "NA for another": nd(136, "fd00::1", "fd00::2", tll=OWN),
    "NA with another's option": nd(136, "fd00::1", "fd00::1", tll=NEIGHBOUR),
    "NA from another": nd(136, "fd00::2", "fd00::1", tll=OWN),
    "NA from nowhere": nd(136, "::", "fd00::1", tll=OWN),
    "IPv6 whose headers are cut off": replace(
        v6("fd00::1", 0, 0), payload=v6("fd00::1", 0, 0).payload.set(Field.NW_PROTO, 0)
    ),
    "UDP behind the first fragment": fragment(v6("fd00::1", 0, 0)),
    "ICMPv6 behind the first fragment": fragment(nd(0, "fd00::1", "::")),
    "NS in fragments": fragment(nd(135, "fd00::1", "fd00::2", sll=OWN)),
    "NA in fragments": fragment(nd(136, "fd00::1", "fd00::1")),
    "RA": nd(134, LINK_LOCAL, "::"),
    "RA from its address": nd(134, "fd00::1", "::"),
    "redirect": nd(137, LINK_LOCAL, "::"),
    "RS of another": nd(133, "fe80::f816:3eff:fe00:3", "::"),
    "DHCP server": v4("10.0.0.1", "10.0.0.2", 67, 68),
    "DHCP server to all": v4("10.0.0.1", "255.255.255.255", 67, 68, to=ALL),
    "DHCP without an address, to one": v4("0.0.0.0", "10.0.0.2", 68, 67),
    "DHCP of another's MAC": replace(DHCP, dl_src=0xFA163E000003),
    "DHCP server by another port": v4("10.0.0.1", "10.0.0.2", 1067, 68),
    "DHCPv6 server": v6(LINK_LOCAL, 547, 546),
    "DHCPv6 server by another port": v6(LINK_LOCAL, 1547, 546),
    "a tag": replace(v4("10.0.0.1", "10.0.0.2", 1, 2), vlan=5),
    "a tag of another network": replace(v4("10.0.0.1", "10.0.0.2", 1, 2), vlan=6),
    "a tag with VID 0": replace(v4("10.0.0.1", "10.0.0.2", 1, 2), vlan=0),
    "another ethertype": replace(v4("10.0.0.1", "10.0.0.2", 1, 2), ethertype=0x88CC),
    "an old tag": replace(v4("10.0.0.1", "10.0.0.2", 1, 2), ethertype=0x9100),
    "MPLS": replace(v4("10.0.0.1", "10.0.0.2", 1, 2), ethertype=0x8847),
    "a device that is not known": replace(v4("10.0.0.1", "10.0.0.2", 1, 2), in_port=STRAY),
    "a broadcast of a device that is not known": replace(v4("10.0.0.1", "10.0.0.2", 1, 2, to=ALL), in_port=STRAY),
    "the bridge's own port": replace(v4("10.0.0.1", "10.0.0.2", 1, 2), in_port=0xFFFFFFFE),
}


@pytest.mark.parametrize("frame", MAY.values(), ids=MAY)
def test_what_is_its_own_passes(frame: Frame) -> None:
    assert sent(FLOWS, frame)


@pytest.mark.parametrize("frame", MAY_NOT.values(), ids=MAY_NOT)
def test_what_is_not_its_own_reaches_nobody(frame: Frame) -> None:
    assert sent(FLOWS, frame) == []


def test_a_pair_of_all_addresses_opens_no_protocol() -> None:
    """It is a source like others: rules are asked, and servers are refused."""
    pairs = PortSecurity((("0.0.0.0/0", OWN),), ())
    view = VIEW.evolve(ports={"port 1": replace(PORTS[0], security=pairs)}).new
    flows = compiled(view).flows("br-int").values()
    for frame in (v4("192.0.2.7", "10.0.0.2", 1, 2), v4("192.0.2.7", "10.0.0.2", 67, 68)):
        assert sent(flows, frame) == []
    assert sent(flows, arp(GUEST, OWN, (OWN, "192.0.2.7"), (ZERO, "10.0.0.2")))


def reached(frame: Frame) -> list[tuple[int | None, int | None]]:
    return sorted(((copy.port, copy.vlan) for copy in sent(FLOWS, frame)), key=str)


def test_networks_keep_apart() -> None:
    """Each way in leads to its own network alone; one without a secured port is switched as ever."""
    tap = v4("10.0.0.1", "10.0.0.2", 1, 2, to=ALL)
    own = sorted([(NEIGHBOURS, None), (WITHOUT, None), (PATCH_TUN, 5)], key=str)
    assert reached(tap) == own
    assert reached(replace(tap, in_port=OTHER)) == [(None, None)]
    assert reached(replace(tap, in_port=PATCH_TUN, vlan=6)) == [(None, 6)]
    inwards = sorted([(GUEST, None), (NEIGHBOURS, None), (WITHOUT, None)], key=str)
    assert reached(replace(tap, in_port=PATCH_TUN, vlan=5)) == inwards
    assert reached(replace(tap, in_port=INT_PORT, vlan=101)) == [(ON_WIRE, None)]
    assert reached(replace(tap, in_port=INT_PORT, vlan=5)) == []
    assert reached(replace(tap, in_port=WITHOUT)) == sorted(
        [(GUEST, None), (NEIGHBOURS, None), (PATCH_TUN, 5)], key=str
    )
    assert reached(replace(tap, in_port=WITHOUT, vlan=6)) == []
    assert reached(replace(tap, in_port=WITHOUT, vlan=0)) == reached(replace(tap, in_port=WITHOUT))
    wire = frame_of(Packet(Ethertype.IPV4, 17, "10.0.0.7", "10.0.0.8", 1, 2), ON_WIRE, "fa:16:3e:00:00:07", NOBODY)
    assert reached(wire) == [(INT_PORT, 7)]


def test_a_neighbour_hears_replies_of_servers_and_routers() -> None:
    """From elsewhere, where no rule accepts anything: DHCP, RA, ARP and ND reach a secured port."""
    view = VIEW.evolve(security_groups={GROUP: SecurityGroup(GROUP)}).new
    flows = compiled(view).flows("br-int").values()
    offer = v4("10.0.0.3", "255.255.255.255", 67, 68, mac=NOBODY, to=ALL)
    advertisement = discovery(PATCH_TUN, NOBODY, "fe80::1", 134, "::")
    question = arp(PATCH_TUN, NOBODY, (NOBODY, "10.0.0.3"), (ZERO, "10.0.0.1"))
    for frame in (offer, advertisement, question, discovery(PATCH_TUN, NOBODY, "fd00::3", 135, "fd00::1", sll=NOBODY)):
        to = {copy.port for copy in sent(flows, replace(frame, in_port=PATCH_TUN, vlan=5))}
        assert to == {GUEST, NEIGHBOURS, WITHOUT}
        one = replace(frame, in_port=PATCH_TUN, vlan=5, dl_dst=0xFA163E000001)
        assert [copy.port for copy in sent(flows, one)] == [GUEST]
    other = replace(offer, in_port=PATCH_TUN, vlan=5, payload=offer.payload.set(Field.UDP_DST, 69))
    assert {copy.port for copy in sent(flows, other)} == {WITHOUT}


def test_ethertypes_of_the_option_pass_and_no_others() -> None:
    """From its own MAC addresses, to whoever it is for; the rules, which know IP alone, are not asked."""
    view = VIEW.evolve(security_groups={GROUP: SecurityGroup(GROUP)}).new
    permitted = compiled(view.evolve(options=Map({"securitygroup.permitted_ethertypes": "0x8847,0x88cc"})).new)
    flows = permitted.flows("br-int").values()
    for kind in ("another ethertype", "MPLS"):
        assert {copy.port for copy in sent(flows, MAY_NOT[kind])} == {NEIGHBOURS}
        of_pair = replace(MAY_NOT[kind], dl_src=0xFA163E000002)
        assert {copy.port for copy in sent(flows, of_pair)} == {NEIGHBOURS}
        assert sent(flows, replace(MAY_NOT[kind], dl_src=0xFA163E000003)) == []
        assert {copy.port for copy in sent(flows, replace(of_pair, in_port=PATCH_TUN, vlan=5))} == {NEIGHBOURS}
    for kind, frame in MAY_NOT.items():
        if kind not in ("another ethertype", "MPLS"):
            assert sent(flows, frame) == []
