"""What os-ken applications of other people may send is judged by its bytes, and answers are told apart from ours."""

from __future__ import annotations

from typing import Any

import pytest
from os_ken.controller import ofp_event
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from apps.framework.app import App, Placed, Unit
from apps.framework.cookie import OTHERS_MASK, is_of_others, is_ours, others_cookie
from apps.framework.host_view import HostView
from apps.framework.pipeline import Band, BridgeRole, Pipeline
from controller.openflow.wire.app_messages import (
    APPS_MAX,
    app_of,
    app_xid,
    check_for_apps,
    event_class,
    is_for_apps,
    refusal,
)
from controller.openflow.wire.messages import HEADER, OpenFlow13, encoded
from topology.errors import FramingError

OWN = others_cookie("a.module")


def mod(**values: Any) -> bytes:
    values = {"cookie": OWN, "priority": 50000, **values}
    return encoded(parser.OFPFlowMod(OpenFlow13, **values), app_xid(1, 1))


def test_marks_are_apart() -> None:
    assert is_of_others(OWN)
    assert not is_ours(OWN)
    assert others_cookie("another.module") != OWN


@pytest.mark.parametrize(
    "message",
    [
        mod(),
        mod(priority=59999),
        mod(table_id=200, priority=0),
        mod(table_id=249, priority=65535, cookie=OWN | 0xFFFFFFFF),
        mod(command=ofp.OFPFC_DELETE, cookie_mask=OTHERS_MASK),
        mod(command=ofp.OFPFC_DELETE, cookie_mask=(1 << 64) - 1, table_id=ofp.OFPTT_ALL, priority=1),
        mod(command=ofp.OFPFC_MODIFY_STRICT, cookie_mask=OTHERS_MASK),
    ],
)
def test_its_own_flows(message: bytes) -> None:
    assert refusal(message, OWN) is None


@pytest.mark.parametrize(
    "message",
    [
        mod(priority=49999),
        mod(priority=60000),
        mod(table_id=199),
        mod(table_id=250),
        mod(table_id=1),
        mod(cookie=OWN ^ 1 << 32),
        mod(cookie=0),
        mod(command=ofp.OFPFC_MODIFY),
        mod(command=ofp.OFPFC_DELETE_STRICT, cookie_mask=OTHERS_MASK - (1 << 63)),
        mod(command=ofp.OFPFC_DELETE, cookie_mask=OTHERS_MASK, cookie=0),
        mod()[:-8],
        b"\x05" + mod()[1:],
        HEADER.pack(4, ofp.OFPT_FLOW_MOD, 8, 1),
        HEADER.pack(4, ofp.OFPT_MULTIPART_REQUEST, 8, 1),
        HEADER.pack(4, 77, 8, 1),
        b"",
    ],
)
def test_what_is_not(message: bytes) -> None:
    assert refusal(message, OWN)


@pytest.mark.parametrize(("table", "priority"), [(0, 50000), (0, 59999), (0, 60003), (200, 1), (249, 7)])
def test_no_band_is_where_their_flows_are(table: int, priority: int) -> None:
    class Intruder(App):
        name = "intruder"
        number = 201
        bands = (Band("INTRUDED", BridgeRole.TUNNEL, priority, frozenset(), frozenset(), "", table=table),)

        def flows(self, unit: Unit, view: HostView) -> tuple[Placed, ...]:
            return ()

    with pytest.raises(
        ValueError, match=f"band INTRUDED is at priority {priority} of table {table}, where no band may be"
    ):
        Pipeline((Intruder(),))


@pytest.mark.parametrize("number", [0, 1, APPS_MAX - 1])
def test_transaction_ids_say_whose_they_are(number: int) -> None:
    for counter in (0, 1, (1 << 24) - 1, 1 << 24):
        assert app_of(app_xid(number, counter)) == number
    assert app_of(0x7FFFFFFF) is None


def test_answers_of_theirs_are_no_answers_of_ours() -> None:
    barrier = HEADER.pack(4, ofp.OFPT_BARRIER_REPLY, 8, app_xid(3, 9))
    assert is_for_apps(barrier)
    assert event_class(barrier) is ofp_event.EventOFPBarrierReply
    assert not is_for_apps(HEADER.pack(4, ofp.OFPT_BARRIER_REPLY, 8, 9))
    assert not is_for_apps(HEADER.pack(4, ofp.OFPT_HELLO, 8, app_xid(3, 9)))


def test_lengths_of_their_answers_are_checked() -> None:
    def reply(kind: int, size: int) -> bytes:
        head = HEADER.pack(4, ofp.OFPT_MULTIPART_REPLY, 16 + size, app_xid(0, 1))
        return head + kind.to_bytes(2, "big") + bytes(6 + size)

    check_for_apps(reply(ofp.OFPMP_PORT_STATS, 224))
    for kind, size in ((ofp.OFPMP_PORT_STATS, 113), (ofp.OFPMP_TABLE, 8), (ofp.OFPMP_FLOW, 4)):
        with pytest.raises(FramingError):
            check_for_apps(reply(kind, size))
    assert event_class(reply(ofp.OFPMP_GROUP_DESC, 8)) is None
