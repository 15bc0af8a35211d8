"""The flow monitor in bytes that Open vSwitch 3.1.0 has sent."""

from __future__ import annotations

from apps.framework.flow import FlowKey, match
from controller.openflow.wire import codec
from controller.openflow.wire.framing import validate

BEGUN = bytes.fromhex("0413001800000007ffff0000000000004f4e46000000074e")
OWN = bytes.fromhex("0413002000000000ffff0000000000004f4e46000000074e0008000300000064")
FOREIGN = bytes.fromhex(
    "0413004800000000ffff0000000000004f4e46000000074e"
    "0030000000000032003c00000012000000000000000000050001001280000a02080680002e0401020304000000000000"
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


def updates(message: bytes) -> list[codec.FlowUpdate]:
    validate(message)
    return list(codec.decode_flow_updates(message))


def test_the_reply_and_our_own_changes_are_empty() -> None:
    """What begins the monitor, and what our own flow-mods cause, tells of no change by others."""
    assert updates(BEGUN) == updates(OWN) == []


def test_changes_by_others() -> None:
    """Event, cookie and key of each flow; a match that is none of ours has no key."""
    added, changed, deleted = (codec.FlowUpdateEvent[name] for name in ("ADDED", "MODIFIED", "DELETED"))
    assert updates(FOREIGN) == [codec.FlowUpdate(added, 0, 50, 5, None)]
    assert updates(FOREIGN)[0].key is None
    assert updates(CHANGED) == [codec.FlowUpdate(changed, 0, 1, MARK, match(in_port=1))]
    assert updates(DELETED) == [codec.FlowUpdate(deleted, 0, n, MARK, match(in_port=n)) for n in (2, 3)]
    assert updates(DELETED)[1].key == FlowKey(0, 3, match(in_port=3))


def test_pause_and_resumption() -> None:
    """What the switch says when it drops events, and when it goes on; a bundle's reply is neither."""
    paused, resumed = (bytes.fromhex(f"04040010000000004f4e4600{kind:08x}") for kind in (1871, 1872))
    for message in (paused, resumed):
        validate(message)
    states = codec.monitor_state(paused), codec.monitor_state(resumed)
    assert states == (codec.MonitorState.PAUSED, codec.MonitorState.RESUMED)
    bundle = bytes.fromhex("04040018000000034f4e4600000008fc0000000500050000")
    validate(bundle)
    assert codec.monitor_state(bundle) is None
