"""Tunnels of both modes: the mode changes while traffic flows, and who is no host of the topology gets nothing in."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import netaddr
import pytest

from controller.config.host_options import FLOW_BASED, PORT_PER_PEER
from tests.support.lab.frames import BROADCAST, Capture, Frame, quiet, send
from tests.support.lab.host import UNDERLAY_BRIDGE, LabHost
from tests.support.lab.lab import MIXED, Lab
from tests.support.lab.probe import Probe, full_mesh
from tests.support.waiting import wait_until

KEY = 7
GRE = 47
NOBODY = {4: "192.0.2.77", 6: "2001:db8::77"}


@pytest.fixture(scope="module", params=[4, pytest.param(6, marks=pytest.mark.long)], ids=["ipv4", "ipv6"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Three hosts with a VM each: flow-based, with a port for each peer, and flow-based."""
    with Lab(ip_version=request.param, tunnel_mode=MIXED) as lab:
        net = lab.add_network("net", "gre", KEY)
        for number in (1, 2, 3):
            lab.add_host(f"h{number}")
            lab.add_vm(f"vm{number}", net, f"10.0.0.{number}/24")
        lab.start_topology()
        lab.apply()
        lab.start_controllers()
        for number in (1, 2, 3):
            lab.vms[f"vm{number}"].plug(lab.hosts[f"h{number}"])
        lab.wait_wired()
        for one in lab.vms.values():
            for other in lab.vms.values():
                if one is not other:
                    one.wait_reaches(other)
        yield lab


def tunnel_ports(host: LabHost) -> set[str]:
    return set(host.ovs.vsctl("list-ports", "br-tun").split()) - {"patch-int"}


def packet(lab: Lab, source: str, target: LabHost, inner: Frame) -> Frame:
    """A packet of the underlay with a frame of the network in it."""
    ends = [netaddr.IPAddress(address).packed for address in (source, target.tunnel_ip(lab.ip_version))]
    payload = struct.pack("!HHI", 0x2000, 0x6558, KEY) + inner.encode()  # RFC 2890: with a key
    if lab.ip_version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, GRE, 0) + b"".join(ends)
        total = sum(struct.unpack("!10H", head))
        total = (total & 0xFFFF) + (total >> 16)
        head = head[:10] + struct.pack("!H", 0xFFFF & ~(total + (total >> 16))) + head[12:]
        ethertype = 0x0800
    else:
        head = struct.pack("!IHBB", 0x6000_0000, len(payload), GRE, 64) + b"".join(ends)
        ethertype = 0x86DD
    owners = (host for host in lab.hosts.values() if host.tunnel_ip(lab.ip_version) == source)
    owner = next(owners, None)  # whose MAC address Open vSwitch learns from the packet
    return Frame(mac(target), mac(owner) if owner else "02:00:00:00:00:66", head + payload, ethertype)


def mac(host: LabHost) -> str:
    """The MAC address that a host has on the underlay."""
    found: str = json.loads(host.namespace.run("ip", "-json", "link", "show", UNDERLAY_BRIDGE))[0]["address"]
    return found


def gets(lab: Lab, source: str, number: int, arriving: int = 0) -> int:
    """How often the VM of a host gets what is sent to that host from an address of the underlay.

    :param arriving: so often it must
    """
    vm, target = lab.vms[f"vm{number}"], lab.hosts[f"h{number}"]
    sender = next(other for other in lab.vms.values() if other is not vm)
    inner = sender.frame(BROADCAST)
    with Capture(vm.namespace, "eth0") as capture:
        send(lab.fabric, f"u-{target.name}", packet(lab, source, target, inner))
        quiet([capture], lambda: capture.copies(inner) >= arriving)
        return capture.copies(inner)


@pytest.mark.parametrize("number", [1, 2], ids=[FLOW_BASED, PORT_PER_PEER])
def test_what_no_host_has_sent_is_dropped(lab: Lab, number: int) -> None:
    """And what somebody sends with the address of a host is not: no tunnel can tell the two."""
    assert gets(lab, lab.hosts["h3"].tunnel_ip(lab.ip_version), number, 1) == 1
    assert gets(lab, NOBODY[lab.ip_version], number) == 0
    assert gets(lab, lab.hosts[f"h{number}"].tunnel_ip(lab.ip_version), number) == 0


def test_the_mode_changes_under_traffic(lab: Lab) -> None:
    """There and back, on a host whose peers have either mode: nothing comes twice, and what a busy machine loses in the
    moment in which ports come and go is few."""
    host, controller = lab.hosts["h2"], lab.controllers["h2"]
    before = tunnel_ports(host)
    assert len(before) == 2
    for mode, ports in ((FLOW_BASED, {"gre-flow"}), (PORT_PER_PEER, before)):
        with Probe(lab, full_mesh([*lab.vms.values()])) as probe:
            probe.wait_sent(200)
            controller.restart_with("agent", tunnel_mode=mode)
            controller.wait_in_sync()
            wait_until(lambda: tunnel_ports(host) == ports, 20, lambda: f"{ports}, not {tunnel_ports(host)}")  # noqa: B023
            probe.wait_sent(300)
            result = probe.stop()
        print(f"\nto {mode}: {result.lost} of {result.expected} lost, {result.duplicated} came twice")
        assert result.lost <= result.expected // 200 + sum(result.machine.values()), result.table()
        assert result.duplicated == 0, result.table()


def test_a_port_of_an_operator_takes_part(lab: Lab) -> None:
    """A patch to a bridge of their own, on a flow-based host, gets floods and brings frames in."""
    host, vm1 = lab.hosts["h1"], lab.vms["vm1"]
    host.ovs.add_bridge("br-own")
    patches = [("br-tun", "own", "own-peer"), ("br-own", "own-peer", "own")]
    commands = [
        ("--", "add-port", bridge, name, "--", "set", "Interface", name, "type=patch", f"options:peer={peer}")
        for bridge, name, peer in patches
    ]
    host.ovs.vsctl(*(word for command in commands for word in command))
    ofport = host.ovs.ofport("own")
    wait_until(lambda: f"output:{ofport}" in "".join(host.ovs.dump("br-tun")), 20, "the port is in the flow for all")
    host.ovs.vsctl("set", "Interface", "own-peer", "ofport_request=5")
    frame = vm1.frame(BROADCAST)

    def packets() -> int:
        return int(host.ovs.row("Interface", "own-peer")["statistics"].get("rx_packets", 0))  # type: ignore[attr-defined]

    vm1.send(frame)
    wait_until(packets, 20, "the operator's bridge gets what is flooded")
    host.ovs.vsctl("del-br", "br-own", "--", "del-port", "br-tun", "own")


def test_a_deleted_host_is_a_host_no_more(lab: Lab) -> None:
    """At once, though it goes on sending."""
    address = lab.hosts["h3"].tunnel_ip(lab.ip_version)
    lab.controllers["h3"].stop()
    lab.tunbridge("host", "delete", "h3")
    for number in (1, 2):
        wait_until(lambda: gets(lab, address, number) == 0, 20, "it is let in no more")  # noqa: B023
    vm1, vm2 = lab.vms["vm1"], lab.vms["vm2"]
    assert vm1.ping(vm2).complete
    flows = lab.hosts["h1"].ovs.dump("br-tun")
    assert not [flow for flow in flows if address in flow]
