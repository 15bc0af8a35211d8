"""Tunnels of both modes: the mode changes while traffic flows, and who is no host of the topology gets nothing in."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from controller.config.host_options import FLOW_BASED, PORT_PER_PEER
from tests.support.lab.fault_lab import undisturbed
from tests.support.lab.fault_report import FaultReport
from tests.support.lab.frames import BROADCAST, Capture, Frame, quiet, send
from tests.support.lab.host import UNDERLAY_BRIDGE, LabHost
from tests.support.lab.lab import MIXED, Lab
from tests.support.lab.probe import Probe, full_mesh
from tests.support.lab.tunnel_packets import NOBODY, encapsulated
from tests.support.waiting import wait_until

KEYS = {"gre": 7, "vxlan": 8, "geneve": 9}
"""Network, which is named as its type → tunnel id."""


@pytest.fixture(scope="module", params=[4, 6], ids=["ipv4", "ipv6"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Three hosts with a VM of each network: flow-based, with a port for each peer, and flow-based."""
    with Lab(ip_version=request.param, tunnel_mode=MIXED) as lab:
        networks = [lab.add_network(kind, kind, key) for kind, key in KEYS.items()]
        for number in (1, 2, 3):
            lab.add_host(f"h{number}")
            for network in networks:
                lab.add_vm(f"{network.name}{number}", network, f"10.0.0.{number}/24")
        lab.start_topology()
        lab.apply()
        lab.start_controllers(options={"agent": {"tunnel_types": ",".join(KEYS)}})
        for vm in lab.vms.values():
            vm.plug(lab.hosts[f"h{vm.name[-1]}"])
        lab.wait_wired()
        for one in lab.vms.values():
            for other in lab.vms.values():
                if one is not other and one.network is other.network:
                    one.wait_reaches(other)
        yield lab


def tunnel_ports(host: LabHost) -> set[str]:
    return set(host.ovs.vsctl("list-ports", "br-tun").split()) - {"patch-int"}


def packet(lab: Lab, source: str, target: LabHost, kind: str, inner: Frame) -> Frame:
    """A packet of the underlay with a frame of the network in it."""
    ethertype, payload = encapsulated(kind, source, target.tunnel_ip(), KEYS[kind], inner)
    # Whose MAC address Open vSwitch learns from the packet; of its own it would learn that it is out there.
    owners = (host for host in lab.hosts.values() if host.tunnel_ip() == source and host is not target)
    owner = next(owners, None)
    return Frame(mac(target), mac(owner) if owner else "02:00:00:00:00:66", payload, ethertype)


def mac(host: LabHost) -> str:
    """The MAC address that a host has on the underlay."""
    found: str = json.loads(host.namespace.run("ip", "-json", "link", "show", UNDERLAY_BRIDGE))[0]["address"]
    return found


def gets(lab: Lab, number: int, kind: str, *sources: str, arriving: int = 0) -> list[int]:
    """How often the VM of a network on a host gets what is sent to that host from each of some addresses.

    :param arriving: from so many of them, the first ones, it must
    """
    vm, target = lab.vms[f"{kind}{number}"], lab.hosts[f"h{number}"]
    sender = next(other for other in lab.vms.values() if other.network is vm.network and other is not vm)
    frames = [sender.frame(BROADCAST) for _ in sources]
    packets = [packet(lab, source, target, kind, inner) for source, inner in zip(sources, frames, strict=True)]
    with Capture(vm.namespace, "eth0") as capture:
        for each in packets:
            send(lab.fabric, f"u-{target.name}", each)
        quiet([capture], lambda: all(map(capture.copies, frames[:arriving])))
        return [capture.copies(inner) for inner in frames]


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("number", [1, 2], ids=[FLOW_BASED, PORT_PER_PEER])
def test_what_no_host_has_sent_is_dropped(lab: Lab, number: int, kind: str) -> None:
    """And what somebody sends with the address of a host is not: no tunnel can tell the two."""
    sources = lab.hosts["h3"].tunnel_ip(), NOBODY[lab.ip_version], lab.hosts[f"h{number}"].tunnel_ip()
    assert gets(lab, number, kind, *sources, arriving=1) == [1, 0, 0]


def test_no_frame_is_lost_when_the_mode_changes(lab: Lab, fault_report: FaultReport) -> None:
    """There and back, on a host whose peers have either mode."""
    host, controller = lab.hosts["h2"], lab.controllers["h2"]
    before = tunnel_ports(host)
    assert len(before) == 2 * len(KEYS)
    streams = full_mesh([lab.vms[f"gre{number}"] for number in (1, 2, 3)])
    for mode, ports in ((FLOW_BASED, {f"{kind}-flow" for kind in KEYS}), (PORT_PER_PEER, before)):
        with Probe(lab, streams) as probe:
            probe.wait_sent(200)
            controller.restart_with("agent", tunnel_mode=mode)
            controller.wait_in_sync()
            wait_until(lambda: tunnel_ports(host) == ports, 20, lambda: f"{ports}, not {tunnel_ports(host)}")  # noqa: B023
            probe.wait_sent(300)
            result = probe.stop()
        undisturbed(result)
        fault_report.add(f"[agent] tunnel_mode = {mode}, over IPv{lab.ip_version}", result)


@pytest.mark.parametrize("number", [1, 2], ids=[FLOW_BASED, PORT_PER_PEER])
def test_a_port_of_an_operator_takes_part(lab: Lab, number: int) -> None:
    """A patch to a bridge of their own gets what is flooded, with the local VLAN, which tells networks apart there."""
    host = lab.hosts[f"h{number}"]
    host.ovs.add_bridge("br-own")
    host.namespace.ip("link set br-own up")
    patches = [("br-tun", "own", "own-peer"), ("br-own", "own-peer", "own")]
    commands = [
        ("--", "add-port", bridge, name, "--", "set", "Interface", name, "type=patch", f"options:peer={peer}")
        for bridge, name, peer in patches
    ]
    host.ovs.vsctl(*(word for command in commands for word in command))
    ofport = host.ovs.ofport("own")
    wait_until(lambda: f"output:{ofport}" in "".join(host.ovs.dump("br-tun")), 20, "the port is in the flow for all")
    sent = {vm.name: vm.frame(BROADCAST) for vm in lab.vms.values() if vm.host is host}
    with Capture(host.namespace, "br-own") as capture:
        for name, frame in sent.items():
            lab.vms[name].send(frame)
        wait_until(lambda: all(map(capture.copies, sent.values())), 20, "it gets them")
        quiet([capture])
        heard = capture.received()
    tags = {name: [one.tags for one in heard if one.payload == frame.payload] for name, frame in sent.items()}
    assert tags == {name: [(host.ovs.tag(lab.vms[name].nic.device),)] for name in sent}
    host.ovs.vsctl("del-br", "br-own", "--", "del-port", "br-tun", "own")


def test_a_deleted_host_is_a_host_no_more(lab: Lab) -> None:
    """At once, though it goes on sending."""
    address = lab.hosts["h3"].tunnel_ip()
    lab.controllers["h3"].stop()
    lab.tunbridge("host", "delete", "h3")
    for number in (1, 2):
        for kind in KEYS:
            wait_until(lambda: gets(lab, number, kind, address) == [0], 20, "it is let in no more")  # noqa: B023
    vm1, vm2 = lab.vms["gre1"], lab.vms["gre2"]
    assert vm1.ping(vm2).complete
    flows = lab.hosts["h1"].ovs.dump("br-tun")
    assert not [flow for flow in flows if address in flow]
