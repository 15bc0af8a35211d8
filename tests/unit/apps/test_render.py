"""Flows as ovs-ofctl prints them: the cases of the reference and the odd ones, as text.

That Open vSwitch itself prints the same is held by the tests that run it.
"""

from __future__ import annotations

import pytest

from apps.framework.flow import Field, Flow, Match, ModVlanVid, Normal, Output, PopVlan, SetTunnel, Term, match
from apps.framework.render import render, render_match, render_table

MULTICAST = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"
LOAD_1 = "load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12]"


@pytest.mark.parametrize(
    ("flow", "text"),
    [
        (Flow(1, Match(), (), 0), "priority=1 actions=drop"),
        (Flow(1, Match(), (Normal(),), 0), "priority=1 actions=NORMAL"),
        (
            Flow(4, match(in_port=1, dl_vlan=1), (SetTunnel(2), Normal()), 0),
            "priority=4,in_port=1,dl_vlan=1 actions=set_field:0x2->tun_id,NORMAL",
        ),
        (
            Flow(3, match(tun_id=2, multicast=True), (ModVlanVid(1), Output(1)), 0),
            f"priority=3,tun_id=0x2,{MULTICAST} actions={LOAD_1},output:1",
        ),
        (
            Flow(3, match(tun_id=2, dl_dst="fa:16:3e:02:dd:79"), (ModVlanVid(1), Normal()), 0),
            f"priority=3,tun_id=0x2,dl_dst=fa:16:3e:02:dd:79 actions={LOAD_1},NORMAL",
        ),
        (
            Flow(3, match(in_port=2, untagged=True), (PopVlan(), Normal()), 0xAB),
            "cookie=0xab, priority=3,in_port=2,vlan_tci=0x0000/0x1fff actions=pop_vlan,NORMAL",
        ),
        (Flow(0x8000, Match(), (), 0), "actions=drop"),
        (Flow(0x8000, Match(), (), 1, table=2), "cookie=0x1, table=2, actions=drop"),
        (Flow(0x8000, match(in_port=1), (), 0, table=2), "table=2, in_port=1 actions=drop"),
        (Flow(5, match(tun_id=0), (SetTunnel(0),), 0), "priority=5,tun_id=0 actions=set_field:0->tun_id"),
        (Flow(5, match(in_port=0xFFFFFFFE), (Output(0xFFFFFFFD),), 0), "priority=5,in_port=LOCAL actions=CONTROLLER:0"),
    ],
)
def test_flow(flow: Flow, text: str) -> None:
    assert render(flow) == text


def test_cookie_may_be_left_out() -> None:
    assert render(Flow(1, Match(), (), 7), cookie=False) == "priority=1 actions=drop"


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (Term(Field.ETH_TYPE, 0x0800), "ip"),
        (Term(Field.ETH_TYPE, 0x0806), "arp"),
        (Term(Field.ETH_TYPE, 0x86DD), "ipv6"),
        (Term(Field.ETH_TYPE, 0x0042), "dl_type=0x0042"),
        (Term(Field.TUN_ID, 0x10, 0xF0), "tun_id=0x10/0xf0"),
        (Term(Field.TUN_ID, 0, 0xF0), "tun_id=0/0xf0"),
        (Term(Field.VLAN_VID, 0x1000, 0x1000), "vlan_tci=0x1000/0x1000"),
    ],
)
def test_term(term: Term, text: str) -> None:
    assert render_match(Match((term,))) == text


@pytest.mark.parametrize(("ethertype", "text"), [(0x0806, "arp,in_port=7"), (0x88CC, "in_port=7,dl_type=0x88cc")])
def test_an_ethertype_with_a_name_comes_first_and_one_without_last(ethertype: int, text: str) -> None:
    """As ovs-ofctl prints them."""
    assert render_match(Match((Term(Field.IN_PORT, 7), Term(Field.ETH_TYPE, ethertype)))) == text


def test_table_is_in_one_order_whatever_the_order_of_the_flows() -> None:
    flows = [
        Flow(1, Match(), (), 0),
        Flow(3, match(in_port=2), (Normal(),), 1),
        Flow(3, match(in_port=1), (Normal(),), 2),
        Flow(9, Match(), (), 0, table=1),
    ]
    text = (
        "priority=3,in_port=1 actions=NORMAL\n"
        "priority=3,in_port=2 actions=NORMAL\n"
        "priority=1 actions=drop\n"
        "table=1, priority=9 actions=drop\n"
    )
    assert render_table(flows) == render_table(reversed(flows)) == text
