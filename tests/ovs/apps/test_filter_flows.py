"""The flows of a host with secured ports on a real Open vSwitch: accepted, given back alike, and doing what is said."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from os_ken.ofproto import ofproto_v1_3 as ofp

from apps.framework.pipeline_page import secured_example
from apps.framework.render import render_table
from controller.openflow.wire import flow_messages
from tests.support.host.ovs import OvsHost
from tests.support.openflow.openflow_connection import Connection
from tests.support.openflow.views import compiled

VIEW = secured_example()
FLOWS = list(compiled(VIEW).flows("br-int").values())
GUEST, SERVER, GATEWAY, PATCH = 5, 2, 1, 4
MACS = {port.ofport: port.mac_address for port in VIEW.ports.values()}
OUTSIDE = "fa:16:3e:4d:5e:6f"


@pytest.fixture(scope="module")
def bridge() -> Iterator[OvsHost]:
    """A bridge with the flows, and ports of the numbers that these name."""
    with OvsHost() as ovs, socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        ovs.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure", "protocols=OpenFlow13")
        for number in (GUEST, SERVER, GATEWAY, PATCH):
            ovs.plug(f"p{number}", ofport_request=number, bridge="br0")
        ovs.vsctl("set-controller", "br0", f"tcp:127.0.0.1:{server.getsockname()[1]}")
        accepted, _ = server.accept()
        with accepted:
            connection = Connection(accepted)
            connection.apply([flow_messages.flow_mod(ofp.OFPFC_ADD, flow, xid) for xid, flow in enumerate(FLOWS, 9)])
            assert {installed.flow for installed in connection.dump()} == set(FLOWS)
            yield ovs


def test_they_are_printed_as_we_print_them(bridge: OvsHost) -> None:
    assert bridge.dump("br0", cookies=True) == render_table(FLOWS, cookie=True).splitlines()


def traced(ovs: OvsHost, flow: str, *states: str) -> list[str]:
    """The actions of each pass of a packet, its ports by their OpenFlow numbers.

    :param states: what conntrack says, look-up by look-up
    """
    text = ovs.appctl("ofproto/trace", "br0", flow, *(word for state in states for word in ("--ct-next", state)))
    ports = {
        number: name for name, number in re.findall(r"^\s+p(\d+) \d+/(\d+):", ovs.appctl("dpif/show"), re.MULTILINE)
    }
    return [
        re.sub(r"(?<![\w=.:])(\d+)(?![\w.:=])", lambda found: f"p{ports.get(found[1], found[1])}", actions)
        for actions in re.findall(r"^Datapath actions: (.*)$", text, re.MULTILINE)
    ]


def packet(in_port: int, source: str, destination: str, addresses: tuple[str, str], what: str = "tcp") -> str:
    tag = ",dl_vlan=1" if in_port == PATCH else ""
    ethernet = f"in_port={in_port}{tag},{what},dl_src={source},dl_dst={destination}"
    return f"{ethernet},nw_src={addresses[0]},nw_dst={addresses[1]}"


ASKED = packet(GUEST, MACS[GUEST], MACS[SERVER], ("10.0.0.5", "10.0.0.2"))
OUT = packet(GUEST, MACS[GUEST], OUTSIDE, ("10.0.0.5", "10.0.0.9"))
ARP = f"in_port={GUEST},arp,dl_src={MACS[GUEST]},dl_dst=ff:ff:ff:ff:ff:ff,arp_sha={MACS[GUEST]}"
INWARDS = packet(PATCH, OUTSIDE, MACS[GUEST], ("10.0.0.9", "10.0.0.5"))


@pytest.mark.parametrize(
    ("flow", "states", "last"),
    [
        (f"{ASKED},tp_dst=22", ["trk,new"], "ct(commit,zone=1),p2"),
        (f"{ASKED},tp_dst=25", ["trk,est"], "p2"),
        (f"{ASKED},tp_dst=26", ["trk,new"], "drop"),
        (f"{ASKED},tp_dst=26", ["trk,est"], "drop"),
        (f"{ASKED},tp_dst=22", ["trk,inv"], "drop"),
        (f"{OUT},tp_dst=80", ["trk,new"], "ct(commit,zone=1),push_vlan(vid=1,pcp=0),p4"),
        (f"{OUT},tp_dst=80", ["trk,est"], "push_vlan(vid=1,pcp=0),p4"),
        (OUT.replace("10.0.0.5", "10.0.0.6"), [], "drop"),
        (f"{INWARDS},tp_dst=80", ["trk,new"], "ct(commit,zone=1),p5"),
        (f"{INWARDS.replace('10.0.0.9', '192.0.2.7')},tp_dst=80", ["trk,new"], "ct(commit,zone=1),p5"),
        (f"{INWARDS.replace('10.0.0.9', '198.51.100.7')},tp_dst=80", ["trk,new"], "drop"),
        (f"{INWARDS.replace('10.0.0.9', '198.51.100.7')},tp_dst=80", ["trk,est,rpl"], "p5"),
        (f"{INWARDS.replace('10.0.0.9', '198.51.100.7')},tp_dst=80", ["trk,rel"], "p5"),
        (packet(GATEWAY, MACS[GATEWAY], MACS[GUEST], ("10.0.0.9", "10.0.0.5"), "icmp"), ["trk,new"],
         "ct(commit,zone=1),p5"),
        (packet(SERVER, MACS[SERVER], OUTSIDE, ("10.0.0.2", "10.0.0.9"), "udp"), [], "push_vlan(vid=1,pcp=0),p4"),
        (packet(SERVER, MACS[SERVER], MACS[GATEWAY], ("10.0.0.2", "10.0.0.9"), "udp"), [], "p1"),
        (f"{ARP},arp_spa=10.0.0.5", [], "p1,p2,push_vlan(vid=1,pcp=0),p4"),
        (f"{ARP},arp_spa=10.0.0.6", [], "drop"),
        ("in_port=77,tcp", [], "drop"),
    ],
)  # fmt: skip
def test_a_packet_goes_where_it_should(bridge: OvsHost, flow: str, states: list[str], last: str) -> None:
    """Its actions after the last look-up; each is looked up as often as conntrack is asked, which is once at most."""
    passes = traced(bridge, flow, *states)
    assert len(passes) == 1 + len(states)
    assert passes[-1] == last
