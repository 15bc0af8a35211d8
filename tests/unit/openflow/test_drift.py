"""What others have changed is told from what was there before, not from what is wanted."""

from __future__ import annotations

from apps.framework.flow import Flow, Normal, by_key, match
from controller.openflow.tables.reconcile import Drift, find_drift, split
from controller.openflow.wire.flow_messages import InstalledFlow, encode_instructions, encode_oxm
from controller.vswitch.device import Device
from controller.vswitch.row_drift import LayoutDrift, TagDrift
from controller.vswitch.tagging import Tagging

MARK = 0x7B1D << 48
ONE, TWO, THREE = (Flow(2, match(in_port=number), (), cookie=MARK) for number in (1, 2, 3))


def dumped(flow: Flow, *, known: bool = True) -> InstalledFlow:
    """A flow as a switch has it; not ``known``: with a timeout, which none of ours has."""
    raw = encode_oxm(flow.match), encode_instructions(flow.actions)
    numbers = (0, 0, 0, 0, 0 if known else 9, 0, 0)
    return InstalledFlow(flow if known else None, flow.match, flow.table, flow.priority, flow.cookie, *raw, *numbers)


def found(before: list[Flow], now: list[InstalledFlow], *, keep_foreign: bool = False) -> Drift:
    ours, foreign = split(now, by_key(before))
    return find_drift(by_key(before), ours, foreign, [] if keep_foreign else foreign)


def test_nothing() -> None:
    """A bridge that is as it was shows no drift, nor do foreign flows that may stay."""
    assert not found([ONE, TWO], [dumped(ONE), dumped(TWO)])
    assert not found([ONE], [dumped(ONE), dumped(Flow(9, match(), (), 0))], keep_foreign=True)


def test_deleted_changed_and_added() -> None:
    """Each flow is counted once, under what has happened to it."""
    changed = Flow(2, match(in_port=2), (Normal(),), cookie=MARK)
    foreign = Flow(9, match(), (), 0)
    drift = found([ONE, TWO], [dumped(changed), dumped(THREE), dumped(foreign)])
    assert drift == Drift((ONE,), ((TWO, changed),), (THREE, dumped(foreign)))
    assert (len(drift), str(drift)) == (4, "1 deleted, 1 changed, 2 added")
    mark = f"cookie={MARK:#x}, "
    assert list(drift.lines()) == [
        f"deleted: {mark}priority=2,in_port=1 actions=drop",
        f"changed: {mark}priority=2,in_port=2 actions=drop, now {mark}priority=2,in_port=2 actions=NORMAL",
        f"added: {mark}priority=2,in_port=3 actions=drop",
        "added: priority=9 actions=drop",
    ]


def test_a_foreign_flow_in_the_place_of_ours_is_one_change() -> None:
    """Whether it lacks our mark or has a shape that none of ours has, kept or not."""
    for other in (dumped(Flow(2, match(in_port=1), (), cookie=5)), dumped(ONE, known=False)):
        for keep_foreign in (True, False):
            drift = found([ONE], [other], keep_foreign=keep_foreign)
            assert drift == Drift(changed=((ONE, other),))


def test_tags() -> None:
    """A tag is drift when it was right and the same is still wanted, each time that it is found wrong anew."""
    wanted = Tagging(1, (("net_uuid", "n"), ("tag", "1")))
    right = {"net_uuid": "n", "tag": "1", "of": "others"}
    drift = TagDrift()

    def look(tag: int | None, other_config: dict[str, str], tagging: Tagging = wanted) -> int:
        drift.compare(Device("tap1", "bond1", tag=tag, other_config=other_config), tagging)
        return drift.record.times

    assert look(None, {}) == 0  # not written yet
    assert look(1, right) == 0
    assert look(7, right) == 1
    assert drift.record.last == "device tap1: tag is 7, not 1"
    assert look(7, right) == 1  # the same, told again
    assert look(1, right) == 1
    assert look(1, right, Tagging(2)) == 1  # wanted otherwise now
    assert look(2, {}, Tagging(2)) == 1
    assert look(2, {"net_uuid": "x"}, Tagging(2)) == 2
    assert drift.record.last == "device tap1: other_config:net_uuid is x, not unset"
    assert look(2, {}, Tagging(2)) == 2
    drift.forget("bond1")
    assert look(None, {}, Tagging(2)) == 2


def test_the_set_up_of_bridges() -> None:
    """What is changed is drift when the same was wanted of the same bridges before, and was in place."""
    drift = LayoutDrift()

    def look(wanted: object, bridges: set[str], *changes: str) -> tuple[bool, int]:
        drift.compare(wanted, bridges, changes)
        return drift.is_repair, drift.record.times

    assert look("a", {"br-int"}, "made") == (False, 0)
    assert look("a", {"br-int"}) == (False, 0)
    assert look("a", {"br-int"}, "patch made", "tag taken off") == (True, 1)
    assert drift.record.last == "patch made; tag taken off"
    assert look("b", {"br-int"}, "tunnel made") == (False, 1)
    assert look("b", {"br-int", "br-ex"}, "patch made") == (False, 1)
    assert look("b", {"br-ex"}, "br-int made") == (True, 2)
