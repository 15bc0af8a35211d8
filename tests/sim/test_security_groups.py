"""Exactly what rules mean passes: random groups, members and packets, compiled flows against the plain evaluator."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from hypothesis import event, given, settings
from hypothesis import strategies as st
from immutables import Map

from apps.filtering.rule_meaning import Acceptance, Packet, accepted, is_tracked
from apps.framework.host_view import HostView, LocalNetwork, LocalPort, Membership, PortSecurity
from tests.support.openflow.connections import Connections
from tests.support.openflow.frames import sent
from tests.support.openflow.packets import frame_of
from tests.support.openflow.views import (
    ADDRESS_GROUP_IDS,
    BRIDGES,
    GROUP_IDS,
    PATCH_TUN,
    PREFIXES,
    compiled,
    security_groups,
)
from topology.model import Network, NetworkType
from topology.security_groups import AddressGroup, Direction, Ethertype, SecurityGroup, SecurityGroupRule

NETWORK = Network("00000000-0000-4000-8000-000000000000", NetworkType.GRE, 7)
VLAN = 5
ELSEWHERE = "fa:16:3e:00:00:99"
EVERYBODY = "ff:ff:ff:ff:ff:ff"
ALL_PAIRS = ("0.0.0.0/0", "::/0")
"""Of every secured port, so that rules alone decide; see test_port_security for what pairs do."""
IPS = {
    Ethertype.IPV4: ("10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.1"),
    Ethertype.IPV6: ("fd00::1", "fd00::2", "2001:db8::1"),
}


def mac_of(number: int) -> str:
    return f"fa:16:3e:00:00:0{number}"


@st.composite
def hosts(draw: st.DrawFn) -> HostView:
    """A host with some ports of one network, at least one of them secured."""
    groups = st.lists(st.sampled_from((*GROUP_IDS, "39999999-0000-4000-8000-000000000000")), max_size=3, unique=True)
    members = st.dictionaries(
        st.tuples(
            st.sampled_from(GROUP_IDS), st.sampled_from([ip for ips in IPS.values() for ip in ips] + [*PREFIXES])
        ),
        st.just(True),
        max_size=6,
    )
    ports = {}
    for number in range(1, draw(st.integers(2, 4)) + 1):
        pairs = tuple((cidr, mac_of(number)) for cidr in ALL_PAIRS)
        is_secured = number == 1 or draw(st.sampled_from([True, True, False]))
        security = PortSecurity(pairs, tuple(draw(groups))) if is_secured else None
        ports[str(number)] = LocalPort(
            str(number), NETWORK.id, mac_of(number), f"tap{number}", number, security=security
        )
    made: list[SecurityGroup] = [draw(security_groups(group_id)) for group_id in GROUP_IDS]
    address_groups = [
        AddressGroup(key, addresses=tuple(draw(st.lists(st.sampled_from(PREFIXES), unique=True))))
        for key in ADDRESS_GROUP_IDS
    ]
    belonging: dict[Membership, bool] = draw(members)
    return HostView(
        BRIDGES,
        patch_tun=PATCH_TUN,
        networks=Map({NETWORK.id: LocalNetwork(NETWORK, VLAN)}),
        ports=Map(ports),
        security_groups=Map({group.id: group for group in made}),
        address_groups=Map({group.id: group for group in address_groups}),
        group_members=Map(belonging),
    )


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    """Of protocols, ports and addresses that rules name, or nearly."""
    ethertype = draw(st.sampled_from(list(Ethertype)))
    source, destination = draw(st.tuples(*[st.sampled_from(IPS[ethertype])] * 2))
    protocol = draw(st.sampled_from([6, 6, 17, 132, 47, 1 if ethertype is Ethertype.IPV4 else 58]))
    port = draw(st.sampled_from([19, 20, 22, 25, 26, 30, 31, 8, 0, 65535]))
    if protocol == 58 and port in (0, 8):
        port = 128
    code = draw(st.integers(0, 1))
    return Packet(ethertype, protocol, source, destination, 4000, port, code, draw(st.booleans()) and protocol != 58)


@dataclass
class Expected:
    """What should become of a packet."""

    to: set[tuple[int, int | None]]
    commits: bool


def passing(view: HostView, port: LocalPort | None, direction: Direction, packet: Packet) -> Acceptance:
    """What a port's rules say; of one without port security, or elsewhere, that it passes."""
    if port is None or port.security is None:
        return Acceptance.ACCEPTED
    return accepted(view, port.security, direction, packet)


def expected(view: HostView, sender: LocalPort | None, destination: str, packet: Packet) -> Expected:
    """A packet that is of no connection yet."""
    by_sender = passing(view, sender, Direction.EGRESS, packet)
    if by_sender is Acceptance.REFUSED:
        return Expected(set(), commits=False)
    out = set() if sender is None else {(PATCH_TUN, VLAN)}
    others = [port for port in view.ports.values() if sender is None or port.ofport != sender.ofport]
    receivers = [port for port in others if port.mac_address == destination]
    if destination == EVERYBODY:
        receivers = others
    elif not receivers:
        is_own = sender is not None and sender.mac_address == destination
        receivers = [] if is_own else [port for port in others if port.security is None]
        out = set() if is_own else out
    else:
        out = set()
    if not receivers and not out and sender is not None:  # to itself: a switch sends nothing back, and keeps account
        by_itself = passing(view, sender, Direction.INGRESS, packet)
        is_tracked_by = Acceptance.TRACKED in (by_sender, by_itself)
        return Expected(set(), commits=is_tracked_by and by_itself is not Acceptance.REFUSED)
    by_receivers = {port.ofport: passing(view, port, Direction.INGRESS, packet) for port in receivers}
    reached = {(number, None) for number, by in by_receivers.items() if by is not Acceptance.REFUSED}
    is_tracked_by = by_sender is Acceptance.TRACKED or Acceptance.TRACKED in by_receivers.values()
    to: set[tuple[int, int | None]] = {*reached, *out}
    return Expected(to, commits=is_tracked_by and bool(to) and destination != EVERYBODY)


def reply_to(packet: Packet) -> Packet:
    return replace(
        packet,
        source=packet.destination,
        destination=packet.source,
        source_port=packet.destination_port,
        destination_port=packet.source_port,
    )


@settings(deadline=None, max_examples=60)
@given(hosts(), packets(), st.integers(0, 4), st.sampled_from([*range(1, 5), 0, 9]))
def test_what_rules_accept_passes_and_what_belongs_to_it(view: HostView, packet: Packet, origin: int, to: int) -> None:
    """A packet, the same again, and the answer to it; between ports of this host, to others and from others."""
    compiler = compiled(view)
    assert not [unit for unit in compiler.problems if "rule" not in str(unit)]
    flows, connections = compiler.flows("br-int").values(), Connections()
    sender = view.ports.get(str(origin))
    source = ELSEWHERE if sender is None else sender.mac_address
    destination = {0: EVERYBODY, 9: "fa:16:3e:00:00:98"}.get(to, mac_of(to))
    first = expected(view, sender, destination, packet)
    frame = frame_of(
        packet, PATCH_TUN if sender is None else origin, source, destination, VLAN if sender is None else None
    )
    if sender is None and destination == source:
        return
    for again in range(2):
        copies = sent(flows, frame, connections)
        assert [(copy.port, copy.vlan) for copy in copies] == sorted(
            {(c.port, c.vlan) for c in copies}, key=lambda c: [(copy.port, copy.vlan) for copy in copies].index(c)
        ), "no copy twice"
        assert {(copy.port, copy.vlan) for copy in copies} == first.to, again
        assert connections.commits == first.commits
    assert connections.lookups <= 2, "one look-up a frame"
    if destination != EVERYBODY and packet.protocol in (6, 17, 132) and not packet.is_later_fragment:
        _answers(view, connections, packet, sender, destination)
    event("passes" if first.to else "refused")


ALL = tuple(
    SecurityGroupRule(f"{number}0000000-0000-4000-8000-000000000000", direction, ethertype)
    for number, (direction, ethertype) in enumerate(itertools.product(Direction, Ethertype))
)
"""Rules that accept everything."""
OTHER = replace(NETWORK, id="00000000-0000-4000-8000-000000000001", segmentation_id=8)


@given(
    hosts(),
    packets(),
    st.sampled_from([(1, 2), (2, 1), (1, 0), (0, 1), (1, 4), (4, 1)]),
    st.lists(st.integers(2, 4), unique=True),
    st.booleans(),
)
def test_what_is_in_conntrack_when_port_security_is_taken_off_passes(
    view: HostView, packet: Packet, way: tuple[int, int], open_ports: list[int], is_stateful: bool
) -> None:
    """What passed before still does where Open vSwitch has brought up to date only what it does behind conntrack: with
    other secured ports in the network, and with none there any more."""
    group = SecurityGroup(GROUP_IDS[0], stateful=is_stateful, rules=ALL)
    of_all = {
        key: replace(
            port,
            security=None
            if port.ofport in open_ports
            else PortSecurity(((ALL_PAIRS[0], port.mac_address), (ALL_PAIRS[1], port.mac_address)), (group.id,)),
        )
        for key, port in view.ports.items()
    }
    elsewhere = LocalPort("8", OTHER.id, mac_of(8), "tap8", 8, security=PortSecurity((), ()))
    before = replace(
        view,
        networks=view.networks.set(OTHER.id, LocalNetwork(OTHER, VLAN + 1)),
        ports=Map({**of_all, "8": elsewhere}),
        security_groups=Map({group.id: group}),
    )
    after = replace(before, ports=before.ports.set("1", replace(of_all["1"], security=None)))
    sender, receiver = (before.ports.get(str(number)) for number in way)
    source, destination = (ELSEWHERE if one is None else one.mac_address for one in (sender, receiver))
    if source == destination:
        return
    in_port, vlan = (PATCH_TUN, VLAN) if sender is None else (sender.ofport, None)
    frame = frame_of(packet, in_port, source, destination, vlan)
    old, new = (compiled(one).flows("br-int").values() for one in (before, after))
    allowed = {copy.port for copy in sent(old, frame, Connections())}
    assert allowed, "the rules accept everything"
    connections = Connections()
    reached = {copy.port for copy in sent(old, frame, connections, behind=new)}
    assert allowed <= reached or None in reached, "None: NORMAL"
    event(f"looked up: {connections.lookups}, {'NORMAL' if None in reached else 'DELIVERY'}")


def _answers(
    view: HostView, connections: Connections, packet: Packet, asker: LocalPort | None, destination: str
) -> None:
    """The answer to a packet passes where its connection is tracked, and where rules accept it."""
    answerer = next((port for port in view.ports.values() if port.mac_address == destination), None)
    if (asker is None and answerer is None) or asker == answerer:
        return
    answer, is_known = reply_to(packet), bool(connections.commits)

    def passes(port: LocalPort | None, direction: Direction) -> bool:
        if port is not None and port.security is not None and is_tracked(view, port.security) and is_known:
            return True
        return passing(view, port, direction, answer) is not Acceptance.REFUSED

    source = destination if answerer is None else answerer.mac_address
    target = ELSEWHERE if asker is None else asker.mac_address
    in_port, vlan = (PATCH_TUN, VLAN) if answerer is None else (answerer.ofport, None)
    flows = compiled(view).flows("br-int").values()
    copies = sent(flows, frame_of(answer, in_port, source, target, vlan), connections)
    reached = passes(answerer, Direction.EGRESS) and passes(asker, Direction.INGRESS)
    to = (PATCH_TUN, VLAN) if asker is None else (asker.ofport, None)
    assert (to in {(copy.port, copy.vlan) for copy in copies}) is reached
