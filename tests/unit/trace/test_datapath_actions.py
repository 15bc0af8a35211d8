"""Reading what a datapath does: every copy has the tags and the tunnel that it has at that moment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.trace.datapath_actions import DatapathOutput, Encapsulation, read_outputs, split_actions

GRE = (
    "tnl_push(tnl_port(9),header(size=42,type=3,eth(dst=aa:bb:cc:00:00:02,src=aa:bb:cc:00:00:01,dl_type=0x0800),"
    "ipv4(src=192.0.2.1,dst=192.0.2.2,proto=47,tos=0,ttl=64,frag=0x4000),gre((flags=0x2000,proto=0x6558),key=0x7)),"
    "out_port(3))"
)
VXLAN6 = (
    "tnl_push(tnl_port(8),header(size=70,type=4,eth(dst=aa:bb:cc:00:00:02,src=aa:bb:cc:00:00:01,dl_type=0x86dd),"
    "ipv6(src=2001:db8::1,dst=2001:db8::2,label=0,proto=17,tclass=0x0,hlimit=64),udp(src=0,dst=4789,csum=0xffff),"
    "vxlan(flags=0x8000000,vni=0x8)),out_port(3))"
)
GRE6 = (
    "tnl_push(tnl_port(9),header(size=62,type=109,eth(dst=aa:bb:cc:00:00:02,src=aa:bb:cc:00:00:01,dl_type=0x86dd),"
    "ipv6(src=2001:db8::1,dst=2001:db8::2,label=0,proto=47,tclass=0x0,hlimit=64),gre((flags=0x2000,proto=0x6558),"
    "key=0x7)),out_port(3))"
)


@pytest.mark.parametrize(
    ("actions", "outputs"),
    [
        ("drop", []),
        ("", []),
        ("5", [DatapathOutput(5)]),
        ("push_vlan(vid=1,pcp=0),2,pop_vlan,3", [DatapathOutput(2, (1,)), DatapathOutput(3)]),
        ("push_vlan(tpid=0x88a8,vid=5,pcp=1),2", [DatapathOutput(2, (5,))]),
        (
            "set(tunnel(tun_id=0x7,src=192.0.2.1,dst=192.0.2.2,ttl=64,tp_dst=4789,flags(df|key))),4,"
            "set(tunnel(tun_id=0x7,dst=192.0.2.3,ttl=64,flags(df|key))),4",
            [
                DatapathOutput(4, (), Encapsulation("192.0.2.2", 7)),
                DatapathOutput(4, (), Encapsulation("192.0.2.3", 7)),
            ],
        ),
        (
            "set(tunnel(tun_id=0x7,ipv6_src=2001:db8::1,ipv6_dst=2001:db8::2,ttl=64,flags(df|key))),4",
            [DatapathOutput(4, (), Encapsulation("2001:db8::2", 7))],
        ),
        (f"clone({GRE},3),6", [DatapathOutput(3, (), Encapsulation("192.0.2.2", 7, "gre", 42)), DatapathOutput(6)]),
        (f"{GRE6},3", [DatapathOutput(3, (), Encapsulation("2001:db8::2", 7, "gre", 62))]),
        (f"{VXLAN6},3", [DatapathOutput(3, (), Encapsulation("2001:db8::2", 8, "vxlan", 70))]),
        (
            f"push_vlan(vid=1,pcp=0),clone({GRE},3),pop_vlan,2",
            [DatapathOutput(3, (1,), Encapsulation("192.0.2.2", 7, "gre", 42)), DatapathOutput(2)],
        ),
        (
            "set(eth(src=aa:bb:cc:00:00:01,dst=aa:bb:cc:00:00:02)),7",
            [DatapathOutput(7, destination="aa:bb:cc:00:00:02")],
        ),
        ("set(eth(dst=aa:bb:cc:00:00:02/ff:ff:ff:ff:ff:ff)),7", [DatapathOutput(7, destination="aa:bb:cc:00:00:02")]),
        ("userspace(pid=0,slow_path(action)),7", [DatapathOutput(7)]),
    ],
)
def test_what_leaves(actions: str, outputs: list[DatapathOutput]) -> None:
    assert list(read_outputs(actions)) == outputs


def test_tags_that_the_frame_comes_with_stay_until_they_are_taken_off() -> None:
    assert read_outputs("2,pop_vlan,3", (9, 8)) == (DatapathOutput(2, (9, 8)), DatapathOutput(3, (8,)))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("out"), st.integers(1, 60000)),
        st.tuples(st.just("push"), st.integers(1, 4094)),
        st.tuples(st.just("pop"), st.just(0)),
        st.tuples(st.just("tunnel"), st.integers(1, 2**24 - 1)),
    ),
    max_size=20,
)


@given(STEPS)
def test_any_order_of_actions(steps: list[tuple[str, int]]) -> None:
    """What is written as a datapath writes it is read as what it does."""
    words, expected, tags, tunnel = [], [], (), None
    for kind, number in steps:
        if kind == "out":
            words.append(str(number))
            expected.append(DatapathOutput(number, tags, tunnel))
        elif kind == "push":
            words.append(f"push_vlan(vid={number},pcp=0)")
            tags = (number, *tags)
        elif kind == "pop":
            words.append("pop_vlan")
            tags = tags[1:]
        else:
            words.append(f"set(tunnel(tun_id={number:#x},dst=192.0.2.9,ttl=64,flags(df|key)))")
            tunnel = Encapsulation("192.0.2.9", number)
    assert list(read_outputs(",".join(words))) == expected
    assert list(split_actions(",".join(words))) == words
    assert [one.port for one in read_outputs(f"clone({','.join(words)}),77")] == [*(one.port for one in expected), 77]


@given(st.text(max_size=200))
def test_no_text_is_too_strange(text: str) -> None:
    """Of another release, or of nobody: nothing is raised."""
    read_outputs(text)
