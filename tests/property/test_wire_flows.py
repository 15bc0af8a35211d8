"""Flows cross the wire unchanged, and as the very bytes that os-ken would send."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from apps.framework.flow import Flow
from controller.openflow.wire import bundles, flow_messages, messages
from controller.openflow.wire.flow_messages import encode_oxm
from controller.openflow.wire.framing import Framer
from tests.support.openflow.openflow import (
    Datapath,
    flow_entry,
    flow_stats_reply,
    flows,
    osken_flow_mod,
    osken_instructions,
    osken_match,
    osken_parsed,
    serialized,
    validate,
)

XIDS = st.integers(0, 2**32 - 1)
FLAGS = ofp.ONF_BF_ATOMIC | ofp.ONF_BF_ORDERED


@settings(deadline=None)
@given(flows(), st.sampled_from([ofp.OFPFC_ADD, ofp.OFPFC_MODIFY_STRICT]), XIDS)
def test_flow_mod_is_what_osken_sends(flow: Flow, command: int, xid: int) -> None:
    assert flow_messages.flow_mod(command, flow, xid) == serialized(osken_flow_mod(command, flow, xid))


@settings(deadline=None)
@given(flows(), XIDS)
def test_delete_is_what_osken_sends_for_the_key_alone(flow: Flow, xid: int) -> None:
    key_only = Flow(flow.priority, flow.match, (), cookie=0, table=flow.table)
    expected = serialized(osken_flow_mod(ofp.OFPFC_DELETE_STRICT, key_only, xid))
    assert flow_messages.flow_mod(ofp.OFPFC_DELETE_STRICT, flow, xid) == expected
    assert flow_messages.delete_strict(flow.table, flow.priority, encode_oxm(flow.match), xid) == expected


@settings(deadline=None)
@given(st.lists(flows(), max_size=8), XIDS, st.booleans())
def test_dump_gives_back_the_flows(wanted: list[Flow], xid: int, more: bool) -> None:
    entries = [
        flow_entry(
            osken_match(flow.match),
            osken_instructions(flow.actions),
            table_id=flow.table,
            priority=flow.priority,
            cookie=flow.cookie,
            duration_sec=5,
            duration_nsec=6,
            packet_count=7,
            byte_count=8,
        )
        for flow in wanted
    ]
    message = flow_stats_reply(entries, xid, int(more))
    assert list(Framer().feed(message)) == [message]
    validate(message)
    assert (messages.xid_of(message), messages.multipart_header(message)) == (xid, (ofp.OFPMP_FLOW, more))
    dumped = flow_messages.decode_flow_stats_reply(message)
    assert [installed.flow for installed in dumped] == wanted
    for installed, flow in zip(dumped, wanted, strict=True):
        assert installed.key == flow.key
        assert (installed.duration_sec, installed.duration_nsec) == (5, 6)
        assert (installed.n_packets, installed.n_bytes) == (7, 8)
        assert flow_messages.delete_strict(
            installed.table, installed.priority, installed.raw_match, xid
        ) == flow_messages.flow_mod(ofp.OFPFC_DELETE_STRICT, flow, xid)  # fmt: skip


@settings(deadline=None)
@given(flows())
def test_osken_reads_our_dump_as_we_do(flow: Flow) -> None:
    message = flow_stats_reply([flow_entry(osken_match(flow.match), osken_instructions(flow.actions), priority=3)])
    validate(message)
    (entry,) = osken_parsed(message).body
    (installed,) = flow_messages.decode_flow_stats_reply(message)
    assert list(entry.match.items()) == list(osken_match(flow.match).items())
    assert installed.flow is not None
    assert (installed.flow.match, installed.flow.actions) == (flow.match, flow.actions)
    assert entry.length == len(message) - 16


@settings(deadline=None)
@given(flows(), st.sampled_from(["idle_timeout", "hard_timeout", "flags"]), st.integers(1, 65535))
def test_flow_with_a_timeout_or_flags_is_foreign(flow: Flow, attribute: str, value: int) -> None:
    entry = flow_entry(osken_match(flow.match), osken_instructions(flow.actions), **{attribute: value})
    (installed,) = flow_messages.decode_flow_stats_reply(flow_stats_reply([entry]))
    assert installed.flow is None
    assert installed.match == flow.match
    assert getattr(installed, attribute) == value


@settings(deadline=None)
@given(st.lists(flows(), max_size=5), st.integers(0, 2**32 - 1), XIDS, XIDS)
def test_bundle_is_what_osken_sends(wanted: list[Flow], bundle_id: int, open_xid: int, commit_xid: int) -> None:
    def control(kind: int, xid: int) -> bytes:
        message = parser.ONFBundleCtrlMsg(Datapath, bundle_id, kind, FLAGS, [])
        message.set_xid(xid)
        return serialized(message)

    def add(flow: Flow, xid: int) -> bytes:
        inner = osken_flow_mod(ofp.OFPFC_ADD, flow, xid)
        message = parser.ONFBundleAddMsg(Datapath, bundle_id, FLAGS, inner, [])
        message.set_xid(xid)
        return serialized(message)

    ours = [flow_messages.flow_mod(ofp.OFPFC_ADD, flow, xid) for xid, flow in enumerate(wanted)]
    expected = [
        control(ofp.ONF_BCT_OPEN_REQUEST, open_xid),
        *(add(flow, xid) for xid, flow in enumerate(wanted)),
        control(ofp.ONF_BCT_COMMIT_REQUEST, commit_xid),
    ]
    assert bundles.bundle(bundle_id, ours, open_xid=open_xid, commit_xid=commit_xid) == b"".join(expected)
    discard = ofp.ONF_BCT_DISCARD_REQUEST
    assert bundles.bundle_control(discard, bundle_id, open_xid) == control(discard, open_xid)
