"""Bridges that nobody controlled become ours, and keep what an operator or another agent had told them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.openflow.flow_monitor import watch
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

PROTOCOLS = "protocols=OpenFlow10,OpenFlow13,OpenFlow14"
"""As we want them: when they change, Open vSwitch ends all connections, those of the tests among them."""
GROUP = "group_id=7,type=select,bucket=weight:10,actions=output:1,bucket=weight:20,actions=set_field:9->reg1,output:2"
METER = "meter=3,kbps,burst,stats,bands=type=drop,rate=1000,burst_size=100"
FLOWS = (
    "cookie=0xf1,priority=100,dl_type=0x88cc,actions=drop",
    "cookie=0xf2,priority=3,in_port=1,dl_vlan=666,idle_timeout=3600,hard_timeout=7200,importance=17,actions=normal",
    "cookie=0xffffffffffffffff,priority=65535,send_flow_rem,no_packet_counts,ip,nw_dst=192.0.2.0/24,actions=meter:3,group:7",
    "cookie=0,priority=0,table=253,actions=controller(max_len=77,id=5),write_metadata:0x12/0xff",
    "table=2,tun_id=0x5/0xf,actions=set_field:1->reg0,move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],resubmit(,3)",
    "table=3,tcp,tp_src=1/0xfff0,actions=ct(commit,zone=5,nat(src=10.0.0.1-10.0.0.9),exec(set_field:1->ct_mark))",
    "table=3,priority=1,arp,reg5=0x1,actions=learn(table=20,hard_timeout=300,NXM_OF_VLAN_TCI[0..11],output:NXM_OF_IN_PORT[])",
    "table=4,conj_id=8,ip,actions=goto_table:5",
    "table=4,priority=9,ip,nw_src=10.0.0.1,actions=conjunction(8,1/2)",
    "table=5,ipv6,ipv6_src=2001:db8::/32,actions=clear_actions,write_actions(set_field:10:00:00:00:00:01->eth_src,output:2)",
)
"""Of every sort that Open vSwitch knows: timeouts, flags, importance, tables, Nicira's and OpenFlow's actions."""


def told(ovs: OvsHost, bridge: str) -> dict[str, list[str]]:
    """All that a bridge was told, in words of ovs-ofctl."""
    flows = ovs.ofctl("-O", "OpenFlow14", "--no-stats", "--no-names", "dump-flows", bridge)
    listings = {"flows": flows, "groups": ovs.ofctl("dump-groups", bridge), "meters": ovs.ofctl("dump-meters", bridge)}
    return {
        name: sorted(line.strip() for line in text.splitlines() if line.strip() and " reply" not in line)
        for name, text in listings.items()
    }


def add_foreign(ovs: OvsHost, bridge: str) -> None:
    """Tell a bridge all of the above."""
    ovs.ofctl("add-meter", bridge, METER)
    ovs.ofctl("add-group", bridge, GROUP)
    for flow in FLOWS:
        ovs.ofctl("-O", "OpenFlow14", "add-flow", bridge, flow)


@pytest.mark.parametrize("protocols", ["", "OpenFlow10,OpenFlow14", "OpenFlow10"])
def test_a_physical_bridge_keeps_all_that_is_not_ours(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge], protocols: str
) -> None:
    """Flows of any shape, groups, meters and the flow that Open vSwitch itself made come back byte for byte."""
    ovs.vsctl("add-br", "br-ex", "--", "add-port", "br-ex", "eth1", "--", "add-port", "br-ex", "eth2")
    add_foreign(ovs, "br-ex")
    before = told(ovs, "br-ex")
    assert (len(before["flows"]), len(before["groups"]), len(before["meters"])) == (len(FLOWS) + 1, 1, 2)
    if protocols:
        ovs.vsctl("set", "Bridge", "br-ex", f"protocols={protocols}")
    controller = tunbridge(options={"ovs": {"bridge_mappings": "physnet1:br-ex"}})
    controller.wait_in_sync()
    controller.wait_log("bridge br-ex: put back 11 flows, 1 groups, 1 meters")
    assert ovs.row("Bridge", "br-ex")["fail_mode"] == "secure"
    if "OpenFlow14" in protocols or not protocols:
        after = told(ovs, "br-ex")
    else:  # only 1.4 tells of the importance
        ovs.vsctl("set", "Bridge", "br-ex", "protocols=OpenFlow10,OpenFlow13,OpenFlow14")
        after = told(ovs, "br-ex")
        before["flows"] = sorted(flow.replace("importance=17, ", "") for flow in before["flows"])
    ours = [line for line in after["flows"] if line not in before["flows"]]
    assert {name: [line for line in after[name] if line not in ours] for name in after} == before
    assert len(ours) == 2
    assert controller.flows("br-ex", "diff") == []


def test_a_bridge_that_is_secure_loses_nothing_for_a_moment(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """Where no fail mode has to change, Open vSwitch removes nothing, and the switch tells of our flows alone."""
    ovs.vsctl("add-br", "br-ex", "--", "set", "Bridge", "br-ex", "fail_mode=secure", PROTOCOLS)
    add_foreign(ovs, "br-ex")
    with watch(ovs, "br-ex") as events:
        tunbridge(options={"ovs": {"bridge_mappings": "physnet1:br-ex"}}).wait_in_sync()
        assert {event.kind for event in events.events()} == {"ADDED"}
        assert len(events.events()) == 2


@pytest.mark.parametrize("fail_mode", ["secure", "standalone"])
def test_flows_of_another_agent_go_after_ours_are_in(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge], fail_mode: str
) -> None:
    """br-int and br-tun of an agent that works with ovs-ofctl alone are taken over without a gap, too."""
    for bridge in ("br-int", "br-tun"):
        ovs.vsctl("add-br", bridge, "--", "set", "Bridge", bridge, f"fail_mode={fail_mode}", PROTOCOLS)
        ovs.ofctl("add-flow", bridge, "cookie=0xf1,priority=1,actions=normal")
        ovs.ofctl("add-flow", bridge, "cookie=0xf2,priority=3,tun_id=9,actions=normal")
    with watch(ovs, "br-tun") as on_tun:
        controller = tunbridge()
        controller.wait_in_sync()
        wait_until(lambda: len(ovs.dump("br-tun")) == 1, 10, lambda: str(ovs.dump("br-tun")))
        events = [(event.kind, event.cookie if event.cookie < 0x100 else None) for event in on_tun.events()]
    if fail_mode == "standalone":
        foreign = [("ADDED", 0xF2), ("ADDED", 0xF1), ("ADDED", 0)]
        assert sorted(events[:3]) == [("DELETED", 0), ("DELETED", 0xF1), ("DELETED", 0xF2)]
        assert events[3:6] == foreign
        events = [event for event in events[6:] if event != ("DELETED", 0)]
    assert events == [("ADDED", None), ("DELETED", 0xF2)]


def test_another_controller_is_replaced_without_a_gap(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """The last primary controller never goes before ours has come: nothing is removed but what is foreign, and last.

    Ours is made one that Open vSwitch does not count later, beside a connection that stands: that removes nothing.
    """
    ovs.vsctl("add-br", "br-tun", "--", "set", "Bridge", "br-tun", "fail_mode=secure", PROTOCOLS)
    ovs.vsctl("set-controller", "br-tun", "tcp:127.0.0.1:1")
    ovs.ofctl("add-flow", "br-tun", "cookie=0xf1,priority=1,actions=normal")
    ovs.ofctl("add-flow", "br-tun", "cookie=0xf2,priority=3,tun_id=9,actions=normal")
    with watch(ovs, "br-tun") as on_tun:
        controller = tunbridge()
        controller.wait_in_sync()
        ours = str(ovs.row("Bridge", "br-tun")["controller"])
        wait_until(
            lambda: ovs.row("Controller", ours)["type"] == "service", 10, lambda: str(ovs.row("Controller", ours))
        )
        wait_until(lambda: len(ovs.dump("br-tun")) == 1, 10, lambda: str(ovs.dump("br-tun")))
        events = [(event.kind, event.cookie if event.cookie < 0x100 else None) for event in on_tun.events()]
    assert events == [("ADDED", None), ("DELETED", 0xF2)]
    assert ovs.vsctl("get-controller", "br-tun").split() == [f"tcp:127.0.0.1:{controller.of_port}"]


def test_without_a_unix_socket(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """Over a network the bridges' own sockets are out of reach: the log says what is lost, and the bridge is served."""
    ovs.vsctl("add-br", "br-ex")
    ovs.ofctl("add-flow", "br-ex", FLOWS[0])
    control = str(ovs.directory / "ovsdb-server.ctl")
    subprocess.run(
        ["ovs-appctl", f"--target={control}", "ovsdb-server/add-remote", "ptcp:0:127.0.0.1"], check=True, timeout=60
    )
    log = ovs.logs[0]
    wait_until(lambda: "listening on port" in log.read_text(), 10, lambda: log.read_text())
    port = log.read_text().split("listening on port ")[1].split()[0]
    options = {"bridge_mappings": "physnet1:br-ex", "ovsdb_connection": f"tcp:127.0.0.1:{port}"}
    controller = tunbridge(options={"ovs": options})
    controller.wait_in_sync()
    controller.wait_log(
        "bridge br-ex becomes secure, which removes its flows, and they cannot be put back: [ovs] ovsdb_connection is "
        "no unix socket"
    )
    assert [flow.split(" actions=")[0] for flow in ovs.dump("br-ex")] == ["priority=2,in_port=1", "priority=1"]
