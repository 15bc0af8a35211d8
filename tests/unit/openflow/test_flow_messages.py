"""Flows that are nearly ours are not ours."""

from __future__ import annotations

from typing import Any

import pytest
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from apps.framework.flow import Flow, Normal, match
from controller.openflow.wire import flow_messages
from controller.openflow.wire.flow_messages import decode_oxm
from tests.support.openflow.openflow import flow_entry, flow_stats_reply, osken_instructions, osken_match, validate

NORMAL = parser.OFPActionOutput(ofp.OFPP_NORMAL, 0)
MATCH = match(tun_id=2, dl_dst="fa:16:3e:02:dd:79")


def load(first: int, bits: int, value: int, field: str = "vlan_tci") -> Any:
    return parser.NXActionRegLoad(ofs_nbits=first << 6 | bits - 1, dst=field, value=value)


def apply(*actions: Any) -> Any:
    return parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions)


def installed(osken: Any, instructions: list[Any], **numbers: int) -> flow_messages.InstalledFlow:
    message = flow_stats_reply([flow_entry(osken, instructions, **numbers)])
    validate(message)
    (flow,) = flow_messages.decode_flow_stats_reply(message)
    return flow


@pytest.mark.parametrize(
    "instructions",
    [
        [apply(load(0, 12, 5), NORMAL)],
        [apply(load(0, 12, 5), NORMAL, load(12, 1, 1))],
        [apply(load(12, 1, 1), load(0, 12, 5))],
        [apply(load(0, 12, 5), load(12, 1, 0))],
        [apply(load(0, 11, 5), load(12, 1, 1))],
        [apply(load(0, 12, 5, "reg0"), load(12, 1, 1, "reg0"))],
        [apply(load(0, 16, 1))],
        [apply(parser.NXActionOutputReg(31, "reg9", 128))],
        [apply(parser.NXActionOutputReg(31, "reg8", 0xFFFF))],
        [apply(parser.NXActionCT(0, "reg10", 15, 0xFF, 0, []))],
        [apply(parser.NXActionCT(1, "reg10", 15, 21, 0, []))],
        [apply(parser.NXActionCT(3, "reg10", 15, 0xFF, 0, []))],
        [apply(parser.NXActionCT(1, "reg10", 15, 0xFF, 21, []))],
        [apply(parser.NXActionCT(1, "reg9", 15, 0xFF, 0, []))],
        [apply(parser.NXActionCT(1, "", 7, 0xFF, 0, []))],
        [apply(parser.NXActionCT(1, "reg10", 15, 0xFF, 0, [parser.OFPActionSetField(ct_mark=1)]))],
        [apply(parser.OFPActionSetField(vlan_vid=4097), NORMAL)],
        [apply(parser.OFPActionOutput(ofp.OFPP_CONTROLLER, 128))],
        [apply(NORMAL), parser.OFPInstructionGotoTable(1)],
        [apply(NORMAL), apply(NORMAL)],
        [parser.OFPInstructionActions(ofp.OFPIT_WRITE_ACTIONS, [NORMAL])],
    ],
)
def test_other_actions_are_foreign_under_the_same_key(instructions: list[Any]) -> None:
    flow = installed(osken_match(MATCH), instructions, priority=3, table_id=1, cookie=9)
    assert flow.flow is None
    assert flow.key == Flow(3, MATCH, (Normal(),), 0, table=1).key
    assert (flow.priority, flow.table, flow.cookie) == (3, 1, 9)


@pytest.mark.parametrize(
    "fields",
    [
        {"ip_dscp": 6},
        {"tunnel_id": 2, "metadata": 1},
        {"eth_dst": ("00:00:00:00:00:00", "00:00:00:00:00:00")},
    ],
)
def test_other_matches_are_foreign(fields: dict[str, Any]) -> None:
    flow = installed(parser.OFPMatch(**fields), osken_instructions((Normal(),)), priority=3)
    assert flow.flow is None
    assert flow.match is None
    assert flow.key is None


def test_value_outside_its_mask_is_foreign() -> None:
    header, value, mask = "8000070c", "000000000001", "010000000000"  # dl_dst, which os-ken would put right
    assert decode_oxm(bytes.fromhex(header + value + mask)) is None
    assert decode_oxm(bytes.fromhex(header + mask + mask)) == match(multicast=True)


def test_full_mask_is_no_mask() -> None:
    osken = parser.OFPMatch(tunnel_id=(2, 2**64 - 1), eth_dst="fa:16:3e:02:dd:79")
    assert installed(osken, [], priority=3).flow == Flow(3, MATCH, (), 0)
