"""The flow monitor in bytes that Open vSwitch 3.1.0 has sent."""

from __future__ import annotations

from os_ken.ofproto import ofproto_v1_3 as ofp

from apps.framework.flow import Field, FlowKey, Match, Term, match
from controller.openflow.wire import flow_monitor
from tests.support.openflow.openflow import validate

BEGUN = bytes.fromhex("0413001800000007ffff0000000000004f4e46000000074e")
OWN = bytes.fromhex("0413002000000000ffff0000000000004f4e46000000074e0008000300000064")
FOREIGN = bytes.fromhex(
    "0413004800000000ffff0000000000004f4e46000000074e"
    "0030000000000032003c00000012000000000000000000050001001280000a0208008000180401020304000000000000"
)
CHANGED = bytes.fromhex(
    "0413004000000000ffff0000000000004f4e46000000074e"
    "002800020000000100000000000c00007b1d0000000000000001000c800000040000000100000000"
)
DELETED = bytes.fromhex(
    "0413006800000000ffff0000000000004f4e46000000074e"
    "002800010002000200000000000c00007b1d0000000000000001000c800000040000000200000000"
    "002800010002000300000000000c00007b1d0000000000000001000c800000040000000300000000"
)
MARK = 0x7B1D << 48


def updates(message: bytes) -> list[flow_monitor.FlowUpdate]:
    validate(message)
    return list(flow_monitor.decode_flow_updates(message))


def test_the_reply_and_our_own_changes_are_empty() -> None:
    """What begins the monitor, and what our own flow-mods cause, tells of no change by others."""
    assert updates(BEGUN) == updates(OWN) == []


def test_changes_by_others() -> None:
    """Event, cookie and key of each flow; a match that is none of ours has no key."""
    added, changed, deleted = (ofp.ONFFME_ADDED, ofp.ONFFME_MODIFIED, ofp.ONFFME_DELETED)
    nw_dst, mpls_label = bytes.fromhex("80001804"), bytes.fromhex("80004404")
    (other,) = updates(FOREIGN)
    assert other == flow_monitor.FlowUpdate(
        added, 0, 50, 5, Match((Term(Field.ETH_TYPE, 0x0800), Term(Field.NW_DST, 0x01020304)))
    )
    unknown = FOREIGN.replace(nw_dst, mpls_label)
    assert unknown != FOREIGN
    assert updates(unknown) == [flow_monitor.FlowUpdate(added, 0, 50, 5, None)]
    assert updates(unknown)[0].key is None
    assert updates(CHANGED) == [flow_monitor.FlowUpdate(changed, 0, 1, MARK, match(in_port=1))]
    assert updates(DELETED) == [flow_monitor.FlowUpdate(deleted, 0, n, MARK, match(in_port=n)) for n in (2, 3)]
    assert updates(DELETED)[1].key == FlowKey(0, 3, match(in_port=3))


def test_pause_and_resumption() -> None:
    """What the switch says when it drops events, and when it goes on; a bundle's reply is neither."""
    paused, resumed = (bytes.fromhex(f"04040010000000004f4e4600{kind:08x}") for kind in (1871, 1872))
    for message in (paused, resumed):
        validate(message)
    assert flow_monitor.is_monitor_state(paused)
    assert flow_monitor.is_monitor_state(resumed)
    bundle = bytes.fromhex("04040018000000034f4e4600000008fc0000000500050000")
    validate(bundle)
    assert not flow_monitor.is_monitor_state(bundle)
