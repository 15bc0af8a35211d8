"""Reading what ``ofproto/trace`` and ``dpif/show`` of Open vSwitch 3.1 have written, and what is written like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.trace.trace_text import FlowLookup, FrameTrace, SwitchPort, read_ports, read_trace

FLOOD = """\
Flow: in_port=2,vlan_tci=0x0000,dl_src=fa:16:3e:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88b5

bridge("br-int")
----------------
 0. priority 1, cookie 0x7b1d010000000000
    NORMAL
     -> no learned MAC for destination, flooding

bridge("br-tun")
----------------
 0. in_port=1,dl_vlan=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00, priority 5, cookie 0x7b1d020000000001
    pop_vlan
    set_field:0x2->tun_id
    output:2

Final flow: unchanged
Megaflow: recirc_id=0,eth,in_port=2,dl_src=fa:16:3e:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88b5
Datapath actions: push_vlan(vid=1,pcp=0),1,pop_vlan,202,4
"""
TAGGED = """\
Flow: in_port=2,dl_vlan=9,dl_vlan_pcp=0,vlan_tci1=0x0000,dl_src=fa:16:3e:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff

bridge("br-int")
----------------
 0. priority 1, cookie 0x7b1d010000000000
    NORMAL
     >>>> dropping VLAN 9 tagged packet received on port tapa configured as VLAN 1 access port <<<<
     >> disallowed VLAN VID for this input port, dropping

Final flow: unchanged
Megaflow: recirc_id=0,eth,in_port=2,dl_vlan=9,dl_src=fa:16:3e:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x0000
Datapath actions: drop
"""
RESUBMITTED = """\
Flow: tun_id=0x2,in_port=2,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=fa:16:3e:00:00:01,dl_type=0x0000

bridge("br-tun")
----------------
 0. tun_src=192.0.2.2,in_port=2, priority 11
    resubmit:0
 0. priority 1
    drop

Final flow: unchanged
Megaflow: recirc_id=0,eth,in_port=2,dl_type=0x0000
Datapath actions: drop
"""
NESTED = """\
Flow: in_port=4,vlan_tci=0x0000,dl_src=fa:16:3e:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88b5

bridge("br-int")
----------------
 0. priority 1, cookie 0x7b1d010000000000
    NORMAL
     -> no learned MAC for destination, flooding

    bridge("br-ex")
    ---------------
         0. in_port=2, priority 2, cookie 0x7b1d038f23783fe8
            drop

bridge("br-tun")
----------------
 0. in_port=1,dl_vlan=1, priority 5, cookie 0x7b1d041bacdc926c
    set_field:192.0.2.4->tun_dst
    output:4
     -> output to native tunnel

    bridge("br-phy")
    ----------------
         0. priority 0
            NORMAL
             -> forwarding to learned port
    set_field:192.0.2.2->tun_dst
    output:4
     -> tunneling to 192.0.2.2 via br-phy

bridge("br-phy")
----------------
 0. priority 0
    NORMAL
     -> forwarding to learned port

Final flow: unchanged
Megaflow: recirc_id=0,eth,in_port=4,dl_src=fa:16:3e:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88b5
Datapath actions: 1,2
"""
NO_MATCH = """\
Flow: in_port=2,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,dl_type=0x0000

bridge("br-int")
----------------
 0. No match.
    drop

Final flow: unchanged
Megaflow: recirc_id=0,eth,in_port=2,dl_type=0x0000
Datapath actions: drop
"""
PORTS = """\
system@ovs-system: hit:0 missed:0
  br-int:
    br-int 65534/1: (dummy-internal)
    patch-tun 1/none: (patch: peer=patch-int)
    tapa 2/3: (system)
  br-tun:
    gre-c0000202 2/202: (gre: key=flow, remote_ip=192.0.2.2)
"""


def lookup(
    bridge: str, match: str, priority: int | None, cookie: int, *actions: str, remarks: tuple[str, ...] = ()
) -> FlowLookup:
    return FlowLookup(bridge, 0, match, priority, cookie, actions, remarks)


@pytest.mark.parametrize(
    ("text", "lookups", "outputs"),
    [
        (
            FLOOD,
            (
                lookup(
                    "br-int", "", 1, 0x7B1D010000000000, "NORMAL", remarks=("no learned MAC for destination, flooding",)
                ),
                lookup(
                    "br-tun",
                    "in_port=1,dl_vlan=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
                    5,
                    0x7B1D020000000001,
                    "pop_vlan",
                    "set_field:0x2->tun_id",
                    "output:2",
                ),
            ),
            ("push_vlan(vid=1,pcp=0),1,pop_vlan,202,4",),
        ),
        (
            TAGGED,
            (
                lookup(
                    *("br-int", "", 1, 0x7B1D010000000000, "NORMAL"),
                    remarks=(
                        "dropping VLAN 9 tagged packet received on port tapa configured as VLAN 1 access port",
                        "disallowed VLAN VID for this input port, dropping",
                    ),
                ),
            ),
            ("drop",),
        ),
        (
            RESUBMITTED,
            (lookup("br-tun", "tun_src=192.0.2.2,in_port=2", 11, 0, "resubmit:0"), lookup("br-tun", "", 1, 0, "drop")),
            ("drop",),
        ),
        (
            NESTED,
            (
                lookup(
                    *("br-int", "", 1, 0x7B1D010000000000, "NORMAL"),
                    remarks=("no learned MAC for destination, flooding",),
                ),
                lookup("br-ex", "in_port=2", 2, 0x7B1D038F23783FE8, "drop"),
                lookup(
                    *("br-tun", "in_port=1,dl_vlan=1", 5, 0x7B1D041BACDC926C),
                    *("set_field:192.0.2.4->tun_dst", "output:4", "set_field:192.0.2.2->tun_dst", "output:4"),
                    remarks=("output to native tunnel", "tunneling to 192.0.2.2 via br-phy"),
                ),
                lookup("br-phy", "", 0, 0, "NORMAL", remarks=("forwarding to learned port",)),
                lookup("br-phy", "", 0, 0, "NORMAL", remarks=("forwarding to learned port",)),
            ),
            ("1,2",),
        ),
        (NO_MATCH, (lookup("br-int", "", None, 0, "drop", remarks=("No match.",)),), ("drop",)),
        ("", (), ()),
    ],
    ids=["flood", "tagged", "resubmitted", "nested", "no match", "nothing"],
)
def test_what_a_trace_says(text: str, lookups: tuple[FlowLookup, ...], outputs: tuple[str, ...]) -> None:
    traced = read_trace(text)
    assert (traced.lookups, traced.outputs) == (lookups, outputs)
    assert traced.frame == text.partition("\n")[0].removeprefix("Flow: ")
    assert [one.drops for one in traced.lookups] == [one.actions == ("drop",) for one in lookups]


def test_ports() -> None:
    assert list(read_ports(PORTS)) == [
        SwitchPort("br-int", "br-int", 65534, 1, "dummy-internal"),
        SwitchPort("br-int", "patch-tun", 1, None, "patch"),
        SwitchPort("br-int", "tapa", 2, 3, "system"),
        SwitchPort("br-tun", "gre-c0000202", 2, 202, "gre"),
    ]


WORDS = st.text("abcdefghij_0123456789", min_size=1, max_size=8)
LOOKUPS = st.builds(
    FlowLookup,
    WORDS,
    st.integers(0, 60),
    st.lists(WORDS.map(lambda word: f"dl_dst={word}"), max_size=3).map(",".join),
    st.integers(0, 65535),
    st.integers(0, 2**64 - 1),
    st.lists(WORDS, max_size=4).map(tuple),
    st.lists(WORDS, max_size=3).map(tuple),
)


def _written(traced: FrameTrace, marks: list[str]) -> str:
    """As Open vSwitch writes it."""
    lines = [f"Flow: {traced.frame}"]
    for number, one in enumerate(traced.lookups):
        match = f"{one.match}, " if one.match else ""
        cookie = f", cookie {one.cookie:#x}" if one.cookie else ""
        lines += ["", f'bridge("{one.bridge}")', "---", f"{one.table:2d}. {match}priority {one.priority}{cookie}"]
        lines += [f"    {action}" for action in one.actions]
        for remark in one.remarks:
            mark = marks[number % len(marks)]
            lines.append(f"     {mark} {remark}" + (" <<<<" if mark == ">>>>" else ""))
    return "\n".join([*lines, "", "Final flow: unchanged", *(f"Datapath actions: {one}" for one in traced.outputs)])


@given(
    st.builds(FrameTrace, WORDS, st.lists(LOOKUPS, max_size=5).map(tuple), st.lists(WORDS, max_size=2).map(tuple)),
    st.lists(st.sampled_from(["->", ">>", ">>>>"]), min_size=1, max_size=3),
)
def test_what_is_written_is_read(traced: FrameTrace, marks: list[str]) -> None:
    assert read_trace(_written(traced, marks)) == traced


@given(st.text(max_size=300))
def test_no_text_is_too_strange(text: str) -> None:
    """Of another release, or of nobody: nothing is raised."""
    read_trace(text)
    list(read_ports(text))
