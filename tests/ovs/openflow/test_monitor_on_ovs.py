"""A real Open vSwitch tells of every change that others make, in messages that we take, and says when it cannot."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from apps.framework.flow import Flow, FlowKey, Normal, match
from apps.framework.render import render
from controller.openflow.wire import bundles, flow_messages, flow_monitor, messages
from tests.support.host.ovs import OvsHost
from tests.support.openflow.openflow import barrier_request
from tests.support.openflow.openflow_connection import Connection
from tests.support.repeating import repeated
from tests.support.waiting import wait_until

FLOWS = [
    Flow(1, match(), (), 5),
    Flow(3, match(tun_id=2, dl_dst="fa:16:3e:02:dd:79"), (Normal(),), 0x7B1D << 48),
    Flow(4, match(in_port=1, dl_vlan=4094), (Normal(),), 2**64 - 1, table=3),
    Flow(65535, match(in_port=ofp.OFPP_LOCAL, untagged=True), (), 0, table=253),
]
EVENTS = {ofp.ONFFME_ADDED: "ADDED", ofp.ONFFME_MODIFIED: "MODIFIED", ofp.ONFFME_DELETED: "DELETED"}
BUFFER = 4096  # bytes; the kernel gives twice as much


@pytest.fixture
def watcher(ovs: OvsHost) -> Iterator[Connection]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        ovs.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure", "protocols=OpenFlow13")
        target = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        ovs.vsctl("set-controller", "br0", target)
        accepted, _ = server.accept()
        with accepted:
            yield Connection(accepted)


def begin(watcher: Connection) -> None:
    """Have the bridge monitored."""
    watcher.send(flow_monitor.flow_monitor_request(7))
    first = watcher.next()
    assert (first[1], messages.xid_of(first)) == (ofp.OFPT_MULTIPART_REPLY, 7)
    assert flow_monitor.decode_flow_updates(first) == ()


def test_the_request_says_what_it_means(ovs: OvsHost) -> None:
    """Open vSwitch reads it as: all tables, any match, all kinds of change, neither actions nor our own in full."""
    printed = ovs.ofctl("ofp-print", flow_monitor.flow_monitor_request(7).hex()).split()
    assert printed == ["ONFST_FLOW_MONITOR", "request", "(OF1.3)", "(xid=0x7):", "id=1", "flags=add,delete,modify"]


def test_every_change_by_others_is_told(ovs: OvsHost, watcher: Connection) -> None:
    """Each flow that ovs-ofctl adds, changes and deletes is told with its key and cookie, in this order."""
    begin(watcher)
    expected: list[tuple[str, FlowKey, int]] = []
    for flow in FLOWS:
        where = render(flow, cookie=False).rsplit(" actions=", 1)[0]
        ovs.ofctl("add-flow", "br0", f"cookie={flow.cookie},{where},actions=drop")
        ovs.ofctl("--strict", "mod-flows", "br0", f"{where},actions=normal,flood")
        ovs.ofctl("--strict", "del-flows", "br0", where)
        expected += [(event, flow.key, flow.cookie) for event in ("ADDED", "MODIFIED", "DELETED")]
    told: list[tuple[str, FlowKey | None, int]] = []
    while len(told) < len(expected):
        told += [(EVENTS[one.event], one.key, one.cookie) for one in flow_monitor.decode_flow_updates(watcher.next())]
    assert told == expected


def test_our_own_changes_are_told_without_detail(watcher: Connection) -> None:
    """A bundle of many flow-mods comes back as one short entry with the xid of the first."""
    begin(watcher)
    flows = [Flow(1, match(in_port=number), (Normal(),), 1) for number in range(1, 301)]
    mods = [flow_messages.flow_mod(ofp.OFPFC_ADD, flow, 100 + n) for n, flow in enumerate(flows)]
    watcher.send(bundles.bundle(5, mods, open_xid=2, commit_xid=3) + barrier_request(4))
    told = []
    while (message := watcher.next())[1] != ofp.OFPT_BARRIER_REPLY:
        if message[1] == ofp.OFPT_MULTIPART_REPLY:
            told.append(message)
    (only,) = told
    assert only[24:] == bytes.fromhex("0008000300000064")
    assert flow_monitor.decode_flow_updates(only) == ()


def alive(watcher: Connection) -> AbstractContextManager[None]:
    """Who does not read does not answer either, and the switch would end the connection after some seconds; Open
    vSwitch 3.1 does so whatever inactivity_probe is. Until it hears something."""
    reply = messages.encoded(parser.OFPEchoReply(messages.OpenFlow13, b""), 0)
    return repeated(lambda: watcher.send(reply), 0.5)


def test_a_switch_that_cannot_tell_all_says_so(ovs: OvsHost, watcher: Connection) -> None:
    """While nobody reads, events are dropped: the switch says that it pauses, and then that it goes on."""
    begin(watcher)
    file = ovs.directory / "flows.txt"
    file.write_text("".join(f"priority={n},arp,arp_tpa=192.0.2.1,actions=drop\n" for n in range(1, 20001)))

    def paused() -> bool:
        ovs.ofctl("--bundle", "add-flows", "br0", str(file))
        ovs.ofctl("del-flows", "br0")
        return int(ovs.appctl("coverage/read-counter", "ofmonitor_pause")) > 0

    with alive(watcher):
        wait_until(paused, 60, "the monitor pauses")
    states: list[int] = []
    while not states or states[-1] != ofp.ONFT_FLOW_MONITOR_RESUMED:
        message = watcher.next()
        if message[1] == ofp.OFPT_EXPERIMENTER:
            assert flow_monitor.is_monitor_state(message)
            states.append(messages.parsed(message).exp_type)
    assert states[:2] == [ofp.ONFT_FLOW_MONITOR_PAUSED, ofp.ONFT_FLOW_MONITOR_RESUMED]
