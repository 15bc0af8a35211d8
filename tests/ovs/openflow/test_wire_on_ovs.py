"""A real Open vSwitch takes our bytes, gives the same flows back, and prints them as we do."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from apps.framework.flow import (
    CT_INVALID,
    CT_NEW,
    CT_TRACKED,
    LATER_FRAGMENT,
    VLAN_PRESENT,
    XXREGS,
    Action,
    Field,
    Flow,
    LoadBits,
    Match,
    ModVlanVid,
    Move,
    Normal,
    Output,
    OutputRegister,
    PopVlan,
    Resubmit,
    SetField,
    SetTunDst,
    SetTunnel,
    SetXxreg,
    StripVlan,
    Term,
    TrackConnection,
    match,
)
from apps.framework.render import render_table
from controller.openflow.wire import bundles, flow_messages, foreign_flows, messages
from tests.support.host.ovs import OvsHost
from tests.support.openflow.openflow import barrier_request, message_bytes
from tests.support.openflow.openflow_connection import Connection

COOKIE = 0x7462000000000001
MAC = "fa:16:3e:02:dd:79"

IPV6 = (Term(Field.ETH_TYPE, 0x86DD),)
IPV4 = (Term(Field.ETH_TYPE, 0x0800),)
TCP = (*IPV4, Term(Field.NW_PROTO, 6))
ICMPV6 = (*IPV6, Term(Field.NW_PROTO, 58))


def solicitation(kind: int = 135) -> tuple[Term, ...]:
    """What a message of neighbour discovery is known by (RFC 4861 §4.3)."""
    return *ICMPV6, Term(Field.ICMPV6_TYPE, kind), Term(Field.ICMPV6_CODE, 0)


SOLICITATION = Match((Term(Field.IN_PORT, 3), Term(Field.VLAN_VID, VLAN_PRESENT | 7), *solicitation()))
ADVERTISEMENT = Match((Term(Field.ND_TLL, 0xFA163E02DD79), Term(Field.ND_OPTIONS_TYPE, 2), *solicitation(136)))

MATCHES = [
    Match(),
    match(in_port=1),
    match(in_port=1, dl_vlan=1),
    match(in_port=1, dl_vlan=4094),
    match(in_port=ofp.OFPP_LOCAL),
    match(in_port=1, untagged=True),
    match(tun_id=2, dl_dst=MAC),
    match(tun_id=2**32, dl_dst=MAC),
    match(tun_id=2, multicast=True),
    match(dl_dst=MAC),
    match(tun_id=0),
    Match((Term(Field.TUN_ID, 0x10, 0xF0),)),
    Match((Term(Field.TUN_ID, 0, 0xF0),)),
    Match((Term(Field.ETH_SRC, 0xFA163E02DD79),)),
    Match((Term(Field.ETH_SRC, 0xFA163E000000, 0xFFFFFF000000), Term(Field.ETH_DST, 0x3))),
    Match((Term(Field.VLAN_VID, VLAN_PRESENT, VLAN_PRESENT),)),
    Match((Term(Field.VLAN_VID, VLAN_PRESENT | 0x10, VLAN_PRESENT | 0xFF0),)),
    Match((Term(Field.VLAN_VID, VLAN_PRESENT),)),
    Match((Term(Field.ETH_TYPE, 0x0800),)),
    Match((Term(Field.ETH_TYPE, 0x0806), Term(Field.IN_PORT, 3))),
    Match((Term(Field.ETH_TYPE, 0x86DD), Term(Field.VLAN_VID, VLAN_PRESENT | 7))),
    Match((Term(Field.ETH_TYPE, 0x88CC),)),
    Match((Term(Field.ETH_TYPE, 0x8847),)),
    Match((Term(Field.ETH_TYPE, 0x8848),)),
    Match((Term(Field.ETH_TYPE, 0x8035),)),
    Match((Term(Field.ETH_TYPE, 0x0042),)),
    match(in_port=4, dl_vlan=5, dl_dst=MAC, tun_id=6),
    match(in_port=4, tun_src="192.0.2.2"),
    match(tun_id=7, tun_src="2001:db8::2"),
    Match((Term(Field.TUN_SRC, 0xC0000200, 0xFFFFFF00), Term(Field.ETH_TYPE, 0x0806), Term(Field.ETH_DST, 0x3))),
    Match((Term(Field.TUN_IPV6_SRC, 0x20010DB8 << 96, 0xFFFFFFFF << 96),)),
    Match((Term(Field.TUN_IPV6_SRC, 0x1, 0x3),)),
    Match((Term(Field.IPV6_SRC, 0), Term(Field.IPV6_DST, 0xFE80 << 112, 0xFFC0 << 112), *IPV6)),
    Match((Term(Field.ETH_DST, 0x3), Term(Field.IPV6_SRC, 0x5), Term(Field.ICMPV6_TYPE, 128), *ICMPV6)),
    Match(
        (Term(Field.ND_TARGET, 0x5), Term(Field.ND_OPTIONS_TYPE, 1), Term(Field.TUN_SRC, 0xC0000202), *solicitation())
    ),
    Match((*solicitation(), Term(Field.ND_TARGET, 0xFD << 120, 0xFF << 120), Term(Field.ND_RESERVED, 0x60000000))),
    SOLICITATION,
    ADVERTISEMENT,
    Match((*IPV4, Term(Field.CT_STATE, CT_TRACKED | CT_NEW, CT_TRACKED | CT_NEW | CT_INVALID), Term(Field.IN_PORT, 3))),
    Match((Term(Field.CT_STATE, 0, CT_TRACKED), *IPV6, Term(Field.REG10, 7), Term(Field.REG8, 2, 6))),
    Match((*map(Term, XXREGS[0], (1, 0, 0xFFFFFFFF, 5)), *IPV4, Term(Field.NW_SRC, 10 << 24, 255 << 24))),
    Match(
        (*map(Term, XXREGS[0], (1, 0, 0xFFFFFFFF, 6)), *TCP, Term(Field.TCP_DST, 0x10, 0xFFF0), Term(Field.TCP_SRC, 7))
    ),
    Match((*IPV4, Term(Field.NW_PROTO, 17), Term(Field.UDP_SRC, 68), Term(Field.UDP_DST, 67), Term(Field.NW_SRC, 0))),
    Match((*IPV4, Term(Field.NW_PROTO, 132), Term(Field.SCTP_SRC, 68), Term(Field.SCTP_DST, 1, 1))),
    Match((*IPV4, Term(Field.NW_PROTO, 1), Term(Field.ICMPV4_TYPE, 8), Term(Field.ICMPV4_CODE, 0))),
    Match((*IPV4, Term(Field.NW_PROTO, 47), Term(Field.NW_DST, 0x0A000001), Term(Field.REG9, 1), Term(Field.REG11, 0))),
    Match((*TCP, Term(Field.NW_FRAG, LATER_FRAGMENT), Term(Field.NW_DST, 0x0A000001))),
    Match((*IPV6, Term(Field.NW_FRAG, LATER_FRAGMENT), Term(Field.NW_PROTO, 44))),
    Match((*IPV6, Term(Field.NW_PROTO, 6), Term(Field.TCP_DST, 80), Term(Field.IPV6_DST, 5))),
    Match((*IPV6, Term(Field.NW_PROTO, 17), Term(Field.UDP_SRC, 546), Term(Field.UDP_DST, 547))),
    Match((*IPV6, Term(Field.NW_PROTO, 132), Term(Field.SCTP_DST, 80))),
    Match((*solicitation(), Term(Field.ND_SLL, 0xFA163E02DD79), Term(Field.IN_PORT, 7), Term(Field.ETH_SRC, 5))),
    Match((Term(Field.ETH_TYPE, 0x8035), Term(Field.ARP_SHA, 5), Term(Field.ARP_THA, 5), Term(Field.IN_PORT, 7))),
    Match((Term(Field.VLAN_VID, 0, 0xFFF), Term(Field.IN_PORT, 7))),
]
ACTIONS: list[tuple[Action, ...]] = [
    (),
    (Normal(),),
    (Output(7),),
    (Output(ofp.OFPP_IN_PORT),),
    (Output(ofp.OFPP_LOCAL),),
    (Output(ofp.OFPP_CONTROLLER),),
    (Output(ofp.OFPP_FLOOD), Output(ofp.OFPP_ALL)),
    (ModVlanVid(0), Output(1)),
    (SetTunnel(2), Normal()),
    (SetTunnel(2**64 - 1), Output(1), Output(2)),
    (ModVlanVid(1), Normal()),
    (ModVlanVid(4094), Output(1)),
    (SetTunDst("192.0.2.2"), Output(1), SetTunDst("2001:db8::2"), Output(2), SetTunDst("::1"), Output(3)),
    (SetTunnel(3), Resubmit(5, 1)),
    (Move(Field.ETH_SRC, Field.ETH_DST), Normal()),
    (SetField(Field.ETH_SRC, 0xFA163E000001), Output(1)),
    (Resubmit(0), Resubmit(ofp.OFPP_LOCAL), Resubmit(ofp.OFPP_IN_PORT), Resubmit(ofp.OFPP_IN_PORT, 254), Normal()),
    (SetXxreg(0, 3 << 96 | 5), SetXxreg(1, 0), Resubmit(ofp.OFPP_IN_PORT, 5), StripVlan(), OutputRegister()),
    (
        LoadBits(1, 1, 1),
        LoadBits(2, 2, 0),
        LoadBits(0, 32, 2**32 - 1),
        SetField(Field.REG9, 7),
        SetField(Field.REG10, 0),
    ),
    (SetTunnel(0), ModVlanVid(10), Output(1), ModVlanVid(11), Output(2), Normal()),
]
ADVERTISED: tuple[Action, ...] = (
    Move(Field.IPV6_SRC, Field.IPV6_DST),
    Move(Field.ND_TARGET, Field.IPV6_SRC),
    SetField(Field.ND_RESERVED, 0x60000000),
    SetField(Field.ND_OPTIONS_TYPE, 2),
    SetField(Field.ICMPV6_TYPE, 136),
)
"""Only for a match that has what these need."""


@pytest.fixture
def connection(ovs: OvsHost) -> Iterator[Connection]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        ovs.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure", "protocols=OpenFlow13")
        ovs.vsctl("set-controller", "br0", f"tcp:127.0.0.1:{server.getsockname()[1]}")
        accepted, _ = server.accept()
        with accepted:
            yield Connection(accepted)


def every_shape() -> list[Flow]:
    """Every match with every list of actions, each pair at a priority and in a table of its own."""
    flows = [
        Flow(priority, wanted, actions, COOKIE + priority, table=priority % 3)
        for priority, (wanted, actions) in enumerate(itertools.product(MATCHES, ACTIONS))
    ]
    tagged = [Flow(priority=1, match=match(in_port=9, dl_vlan=1), actions=(PopVlan(), Normal()), cookie=COOKIE)]
    defaults = [Flow(0x8000, Match(), (Normal(),), cookie, table) for cookie, table in ((0, 0), (COOKIE, 2))]
    discovery = [
        Flow(2, SOLICITATION, (*ADVERTISED, Resubmit(ofp.OFPP_IN_PORT, 3)), COOKIE),
        *(
            Flow(4 + index, Match(IPV4), ct, COOKIE)
            for index, ct in enumerate(((TrackConnection(3),), (TrackConnection(), Output(1))))
        ),
        Flow(2, ADVERTISEMENT, (Move(Field.ETH_SRC, Field.ND_TLL), Output(ofp.OFPP_IN_PORT)), COOKIE),
    ]
    return flows + tagged + discovery + [Flow(0x8000, match(in_port=8), (), 0), *defaults]


def add(flows: list[Flow]) -> list[bytes]:
    return [flow_messages.flow_mod(ofp.OFPFC_ADD, flow, 100 + index) for index, flow in enumerate(flows)]


def test_every_shape_comes_back_and_is_printed_alike(ovs: OvsHost, connection: Connection) -> None:
    flows = every_shape()
    connection.apply(add(flows))
    assert {installed.flow for installed in connection.dump()} == set(flows)
    assert ovs.dump("br0", cookies=True) == render_table(flows, cookie=True).splitlines()


def test_modify_and_delete_strict(connection: Connection) -> None:
    flows = every_shape()
    connection.apply(add(flows))
    changed = [replace(flow, actions=(Output(3),)) for flow in flows[:20]]
    connection.apply(
        [flow_messages.flow_mod(ofp.OFPFC_MODIFY_STRICT, flow, 7) for flow in changed]
        + [flow_messages.flow_mod(ofp.OFPFC_DELETE_STRICT, flow, 8) for flow in flows[40:]]
    )
    assert {installed.flow for installed in connection.dump()} == {*changed, *flows[20:40]}


READABLE = [
    "priority=9,tcp,tp_dst=22,actions=drop",
    "priority=9,ip,nw_src=10.0.0.0/8,nw_dst=10.1.2.3,actions=resubmit(,1),resubmit(3,2)",
    "priority=9,arp,arp_op=1,actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],load:0x2->NXM_OF_ARP_OP[],IN_PORT",
    "priority=9,ipv6,ipv6_dst=fe80::/10,actions=FLOOD",
    "priority=9,reg1=5,ct_state=+trk+est,ip,actions=write_metadata:0x1/0xff,goto_table:2",
    "priority=9,udp,actions=dec_ttl,output:1",
    "cookie=0x77,table=3,priority=9,sctp,idle_timeout=77,hard_timeout=78,actions=NORMAL",
    "priority=9,in_port=2,actions=push_vlan:0x8100,set_field:4097->vlan_vid,output:1",
    "priority=9,in_port=3,actions=load:0x5->NXM_OF_VLAN_TCI[0..11],output:1",
    "priority=9,in_port=4,actions=controller:128",
    "priority=9,in_port=5,actions=set_queue:1,set_field:02:00:00:00:00:01->eth_src,write_actions(output:1)",
    "priority=9,icmp6,reg1=5,icmpv6_type=135,icmpv6_code=0,nd_target=fe80::1,nd_options_type=1,actions=output:1",
    "priority=9,metadata=5,dl_vlan=7,dl_vlan_pcp=3,actions=pop_vlan,output:1",
]
"""Flows that are not ours, and that we describe as ovs-ofctl takes them."""

OPAQUE = [
    "priority=9,ip,actions=ct(commit,zone=1,nat(src=10.0.0.1)),ct(table=1)",
    "priority=9,ipv6,actions=learn(table=1,NXM_OF_VLAN_TCI[0..11],output:NXM_OF_IN_PORT[])",
    "priority=9,tcp,tcp_flags=+syn-ack,actions=controller(userdata=01.02.03.04.05,max_len=100)",
    "priority=9,tcp,actions=controller(pause,userdata=01.02.03.04,meter_id=3,reason=action,id=7)",
    "priority=9,udp,actions=clone(set_field:1->reg2,clone(output:2),output:3),output:1",
    "priority=9,in_port=6,actions=note:00.01.02.03.04.05.06,bundle(eth_src,0,hrw,ofport,members:4,8)",
    "priority=9,actions=encap(nsh(md_type=1)),set_field:0x1234->nsh_spi,encap(ethernet),output:1",
    "priority=9,actions=check_pkt_larger(1000)->NXM_NX_REG0[0],sample(probability=1)",
    "priority=9,ip,actions=conjunction(1,1/2)",
]
"""Flows with actions for which there are no words."""


def errors_until_barrier(connection: Connection) -> list[tuple[int, str]]:
    """xid and name of each error."""
    replies = connection.until(ofp.OFPT_BARRIER_REPLY)
    errors = [messages.parsed(reply) for reply in replies if reply[1] == ofp.OFPT_ERROR]
    return [(error.xid, messages.describe_error(error)) for error in errors]


def shape(installed: flow_messages.InstalledFlow) -> tuple[object, ...]:
    """What a flow is, without what it has counted."""
    timeouts = installed.idle_timeout, installed.hard_timeout
    return installed.table, installed.cookie, timeouts, installed.raw_match, installed.raw_instructions


@pytest.mark.parametrize("text", READABLE + OPAQUE)
def test_foreign_flow_passes_framing_and_is_described_and_deleted(
    ovs: OvsHost, connection: Connection, text: str
) -> None:
    ovs.ofctl("add-flow", "br0", text)
    (installed,) = connection.dump()
    described = foreign_flows.describe_foreign(installed)
    connection.apply([flow_messages.delete_strict(installed.table, installed.priority, installed.raw_match, 9)])
    assert connection.dump() == []
    if text in OPAQUE:
        assert installed.flow is None
        assert "priority=9" in described
    else:
        ovs.ofctl("add-flow", "br0", described)
        assert list(map(shape, connection.dump())) == [shape(installed)]


def test_unreadable_flow_is_named_by_its_xid_and_the_rest_applied(connection: Connection) -> None:
    good = Flow(1, Match(), (Normal(),), COOKIE)
    bad = Flow(2, match(in_port=1), (Output(0xFF01_0000),), COOKIE)
    mods = [flow_messages.flow_mod(ofp.OFPFC_ADD, flow, xid) for xid, flow in ((70, good), (71, bad))]
    connection.send(bundles.bundle(5, mods, open_xid=2, commit_xid=3) + barrier_request(4))
    assert errors_until_barrier(connection) == [(71, "OFPET_BAD_ACTION/OFPBAC_BAD_OUT_PORT")]
    assert [installed.flow for installed in connection.dump()] == [good]


def test_flow_that_cannot_be_applied_is_named_by_its_xid_and_nothing_applied(
    ovs: OvsHost, connection: Connection
) -> None:
    full = ("--id=@full", "create", "Flow_Table", "flow_limit=2", "overflow_policy=refuse")
    ovs.vsctl("--", *full, "--", "set", "bridge", "br0", "flow_tables:1=@full")
    flows = [Flow(priority, Match(), (Normal(),), COOKIE, table=1) for priority in (1, 2, 3)]
    connection.send(bundles.bundle(5, add(flows), open_xid=2, commit_xid=3) + barrier_request(4))
    assert errors_until_barrier(connection) == [
        (102, "OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL"),
        (3, "ONFERR_ET_FAILED"),
    ]
    assert connection.dump() == []


def test_ports_and_features(ovs: OvsHost, connection: Connection) -> None:
    ovs.vsctl("add-port", "br0", "p1", "--", "set", "interface", "p1", "ofport_request=7")
    status = messages.parsed(connection.until(ofp.OFPT_PORT_STATUS)[-1])
    port = messages.PortDesc.of(status.desc)
    assert (status.reason, port.name, port.port_no) == (ofp.OFPPR_ADD, "p1", 7)
    assert ovs.row("Interface", "p1")["mac_in_use"] == status.desc.hw_addr

    config = parser.OFPSetConfig(messages.OpenFlow13, ofp.OFPC_FRAG_NORMAL, 128)
    ports_request = parser.OFPPortDescStatsRequest(messages.OpenFlow13)
    connection.send(messages.encoded(config, 1) + messages.encoded(ports_request, 2))
    reply = messages.parsed(connection.until(ofp.OFPT_MULTIPART_REPLY)[-1])
    ports = map(messages.PortDesc.of, reply.body)
    assert {port.name: port.port_no for port in ports} == {"br0": ofp.OFPP_LOCAL, "p1": 7}
    assert not reply.flags & ofp.OFPMPF_REPLY_MORE

    connection.send(messages.encoded(parser.OFPFeaturesRequest(messages.OpenFlow13), 3))
    features = messages.parsed(connection.until(ofp.OFPT_FEATURES_REPLY)[-1])
    assert f"{features.datapath_id:016x}" == ovs.row("Bridge", "br0")["datapath_id"]
    assert features.auxiliary_id == 0

    connection.send(message_bytes(ofp.OFPT_ECHO_REQUEST, b"are you there", 4))
    assert connection.next()[8:] == b"are you there"
