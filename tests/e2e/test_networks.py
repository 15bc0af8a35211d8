"""Networks of every type at once on three hosts: what reaches whom, and how it looks on the wire.

All networks have the same addresses. Segmentation ids of VLAN networks are those of tunnels and of local VLANs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from controller.config.host_options import FLOW_BASED
from tests.support.lab.frames import BROADCAST, MULTICAST, Capture, Frame, quiet
from tests.support.lab.lab import MIXED, Lab
from tests.support.lab.traffic import iperf, transfer
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

TUNNELS = ("gre", "vxlan", "geneve")
NETWORKS: dict[str, tuple[str, int | None]] = {
    "gre": ("gre", 100),
    "vxlan": ("vxlan", 101),
    "geneve": ("geneve", 102),
    "gre-2": ("gre", 1),
    "vxlan-2": ("vxlan", 2),
    "geneve-2": ("geneve", 3),
    "vlan": ("vlan", 100),
    "vlan-2": ("vlan", 1),
    "flat": ("flat", None),
    "local": ("local", None),
}
"""Name → type and segmentation id."""

ACROSS_HOSTS = [name for name in NETWORKS if name != "local"]
HOSTS = (1, 2, 3)
MTU = 8900
"""Bytes of jumbo frames that fit the underlay with every encapsulation."""


@pytest.fixture(
    scope="module",
    params=[(4, None), (6, None), pytest.param((6, FLOW_BASED)), pytest.param((4, MIXED))],
    ids=lambda param: f"ipv{param[0]} {param[1] or ''}".strip(),
)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Three controlled hosts with every type of network, and a VM of each network on each host.

    Host 1 has two of each network.
    """
    with Lab(ip_version=request.param[0], tunnel_mode=request.param[1]) as lab:
        for number in HOSTS:
            lab.add_host(f"h{number}")
        for name, (kind, segment) in NETWORKS.items():
            network = lab.add_network(name, kind, segment)
            for number in HOSTS:
                lab.add_vm(f"{name}.{number}", network, f"10.0.0.{number}/24", f"fd00::{number}/64", mtu=MTU)
            lab.add_vm(f"{name}.1b", network, "10.0.0.11/24", "fd00::11/64", mtu=MTU)
        lab.start_topology()
        lab.apply()
        lab.start_controllers(options={"agent": {"tunnel_types": ",".join(TUNNELS)}})
        for vm in lab.vms.values():
            vm.plug(lab.hosts[f"h{vm.name.rpartition('.')[2][0]}"])
        lab.wait_wired()
        yield lab


def members(lab: Lab, name: str) -> list[Vm]:
    """The VMs of a network, those of host 1 first and last."""
    return [vm for vm in lab.vms.values() if vm.network.name == name]


def expected_receivers(lab: Lab, sender: Vm) -> set[str]:
    """Who gets a broadcast: all others of the network; of a local network, those of the host."""
    others = [vm for vm in members(lab, sender.network.name) if vm is not sender]
    return {vm.name for vm in others if sender.network.name != "local" or vm.host is sender.host}


@pytest.fixture
def captures(lab: Lab) -> Iterator[dict[str, Capture]]:
    """A capture at every VM."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(vm.capture()) for name, vm in lab.vms.items()}


def receivers(captures: dict[str, Capture], frame: Frame) -> dict[str, int]:
    """VM → how often it got a frame, for those that did."""
    return {name: copies for name, capture in captures.items() if (copies := capture.copies(frame))}


@pytest.mark.parametrize("name", ACROSS_HOSTS)
def test_vms_of_all_hosts_reach_each_other(lab: Lab, name: str) -> None:
    """ARP and ND first, then IPv4 and IPv6, the smallest and the largest that fit; nothing twice."""
    first, *others = members(lab, name)
    for other in others:
        first.wait_reaches(other)
        assert first.ping(other).complete
        assert other.ping(first, version=6).complete
        assert first.ping(other, size=MTU - 28).complete, "a jumbo frame"
        assert first.ping(other, size=0).complete, "a small frame"
        assert first.neighbour(other.nic.address()) == other.nic.mac, "another network answered"


@pytest.mark.parametrize("destination", [BROADCAST, MULTICAST, "33:33:00:01:02:03"])
def test_floods_arrive_once_at_each_member_and_nowhere_else(
    lab: Lab, captures: dict[str, Capture], destination: str
) -> None:
    """From every VM of every network: no loop, no duplicate, nothing back, and nothing in any other network."""
    sent = {vm.name: vm.frame(destination) for vm in lab.vms.values()}
    for name, frame in sent.items():
        lab.vms[name].send(frame)
    expected = {name: dict.fromkeys(expected_receivers(lab, lab.vms[name]), 1) for name in sent}

    def got() -> dict[str, dict[str, int]]:
        return {name: receivers(captures, frame) for name, frame in sent.items()}

    quiet(list(captures.values()), lambda: got() == expected)
    assert got() == expected


def test_unicast_arrives_once_at_its_receiver_and_nowhere_else(lab: Lab, captures: dict[str, Capture]) -> None:
    sent = {
        (sender.name, receiver): sender.frame(lab.vms[receiver])
        for sender in lab.vms.values()
        for receiver in expected_receivers(lab, sender)
    }
    for name in NETWORKS:  # every bridge on the way has seen every address
        for one in members(lab, name):
            for other in expected_receivers(lab, one):
                one.send(one.frame(lab.vms[other]))
    quiet(list(captures.values()))
    for (name, _), frame in sent.items():
        lab.vms[name].send(frame)
    expected = {(sender, receiver): {receiver: 1} for sender, receiver in sent}

    def got() -> dict[tuple[str, str], dict[str, int]]:
        return {pair: receivers(captures, frame) for pair, frame in sent.items()}

    quiet(list(captures.values()), lambda: got() == expected)
    assert got() == expected


@pytest.mark.parametrize("name", [*TUNNELS, "vlan", "flat"])
@pytest.mark.parametrize("version", [4, 6])
def test_tcp_both_ways(lab: Lab, name: str, version: int) -> None:
    first, second, *_ = members(lab, name)
    transfer(first, second, 2, version)
    transfer(second, first, 2, version)


@pytest.mark.parametrize("name", [*TUNNELS, "vlan", "flat"])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("reverse", [False, True], ids=["there", "back"])
def test_iperf3(lab: Lab, name: str, version: int, reverse: bool) -> None:
    """What is in the sender's buffer when iperf3 has sent all is not counted, hence the half."""
    first, second, *_ = members(lab, name)
    assert iperf(first, second, 16, version, reverse=reverse) > 8 * 1024 * 1024


# On the wire


def headers(lab: Lab, kind: str, segment: int) -> re.Pattern[bytes]:
    """What is between the underlay's Ethernet header and the VM's untagged frame (RFC 2890, 7348, 8926)."""
    outer_ip = rb"\x08\x00\x45.{7}.%s.{10}" if lab.ip_version == 4 else rb"\x86\xdd\x60.{5}%s.{33}"
    vni = segment.to_bytes(3, "big")
    protocol, inner = {
        "gre": (rb"\x2f", rb"\x20\x00\x65\x58" + re.escape(segment.to_bytes(4, "big"))),
        "vxlan": (rb"\x11", rb"..\x12\xb5.{4}\x08\x00{3}" + re.escape(vni) + rb"\x00"),
        "geneve": (rb"\x11", rb"..\x17\xc1.{4}\x00\x00\x65\x58" + re.escape(vni) + rb"\x00"),
    }[kind]
    return re.compile(rb".{12}" + outer_ip % protocol + inner, re.DOTALL)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.startswith(TUNNELS)])
def test_tunnels_carry_the_segmentation_id(lab: Lab, name: str) -> None:
    """A broadcast leaves its host once for each other host, in the encapsulation of its network."""
    sender = members(lab, name)[0]
    assert sender.host is not None
    kind, segment = NETWORKS[name]
    assert segment is not None
    frame = sender.frame(BROADCAST)
    with lab.capture_underlay(sender.host) as underlay, lab.capture_trunk(sender.host) as trunk:
        sender.send(frame)

        def packets() -> list[bytes]:
            return [seen.data for seen in underlay.seen() if frame.payload in seen.data and not seen.outgoing]

        quiet([underlay, trunk], lambda: len(packets()) >= len(HOSTS) - 1)
        assert not any(frame.payload in seen.data for seen in trunk.seen()), "it is on the physical network too"
        assert len(packets()) == len(HOSTS) - 1
        pattern = headers(lab, kind, segment)
        assert all(pattern.match(packet) for packet in packets()), [packet[:80].hex() for packet in packets()]


@pytest.mark.parametrize(("name", "tags"), [("vlan", (100,)), ("vlan-2", (1,)), ("flat", ())])
def test_physical_networks_carry_the_segmentation_id(lab: Lab, name: str, tags: tuple[int, ...]) -> None:
    """On the trunk, once and with exactly these tags, and in no tunnel; the answer comes back the same way."""
    sender, receiver, *_ = members(lab, name)
    assert sender.host is not None
    frame, answer = sender.frame(BROADCAST), receiver.frame(sender)
    with lab.capture_underlay(sender.host) as underlay, lab.capture_trunk(sender.host) as trunk:
        sender.send(frame)
        wait_until(lambda: trunk.copies(frame), 5, "the frame is on the trunk")
        receiver.send(answer)
        quiet([underlay, trunk], lambda: any(answer.payload in seen.data for seen in trunk.seen()))
        on_trunk = {
            outgoing: [seen.frame.tags for seen in trunk.seen() if seen.outgoing == outgoing and sent in seen.data]
            for outgoing, sent in ((False, frame.payload), (True, answer.payload))
        }
        assert not any(frame.payload in seen.data for seen in underlay.seen()), "it is in a tunnel too"
    assert on_trunk == {False: [tags], True: [tags]}


def test_a_local_network_stays_on_its_host(lab: Lab) -> None:
    sender, *_ = members(lab, "local")
    assert sender.host is not None
    frame = sender.frame(BROADCAST)
    neighbour = lab.vms["local.1b"].capture()
    with neighbour, lab.capture_underlay(sender.host) as underlay, lab.capture_trunk(sender.host) as trunk:
        sender.send(frame)
        wait_until(lambda: neighbour.copies(frame), 5, "the other VM on the host gets it")
        quiet([underlay, trunk])
        assert not any(frame.payload in seen.data for seen in (*underlay.seen(), *trunk.seen()))
