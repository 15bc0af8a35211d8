"""Flow-mods that a real switch refuses cost the others few bundles, and a full table costs two."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import pytest
from os_ken.ofproto import ofproto_v1_3 as ofp

from apps.framework.flow import Flow, Match, Normal, Output, match
from controller.openflow.channel.request import BundleOutcome
from controller.openflow.tables.commit import Applied, FlowMod, apply
from controller.openflow.wire.flow_messages import flow_mod
from controller.openflow.wire.messages import TABLE_FULL
from tests.support.host.ovs import OvsHost
from tests.support.openflow.openflow_connection import Connection

BAD_PORT = Output(0xFF01_0000)
BAD = "OFPET_BAD_ACTION/OFPBAC_BAD_OUT_PORT"
LIMIT = 4


class Bridge:
    """A connection with a real bridge, in which the first three tables have room for so many flows; counts bundles."""

    def __init__(self, connection: Connection) -> None:
        self.bundles: list[int] = []
        self._connection = connection

    def commit(self, makes: Iterable[Callable[[int], bytes]]) -> BundleOutcome:
        made = list(makes)
        self.bundles.append(len(made))
        return self._connection.commit(made)

    def add(self, flows: Iterable[Flow], present: Iterable[Flow] = ()) -> Applied:
        """Add flows, of which some are ``present`` already."""
        keys = {flow.key for flow in present}
        return apply(
            self.commit,
            [
                FlowMod(partial(flow_mod, ofp.OFPFC_ADD, flow), None if flow.key in keys else flow.table)
                for flow in flows
            ],
        )

    def installed(self) -> set[Flow | None]:
        return {installed.flow for installed in self._connection.dump()}


@pytest.fixture
def bridge(ovs: OvsHost) -> Iterator[Bridge]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        ovs.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure", "protocols=OpenFlow13")
        for number in range(3):
            row = ("create", "Flow_Table", f"flow_limit={LIMIT}", "overflow_policy=refuse")
            ovs.vsctl("--", "--id=@table", *row, "--", "set", "bridge", "br0", f"flow_tables:{number}=@table")
        ours = ("set-controller", "br0", f"tcp:127.0.0.1:{server.getsockname()[1]}")
        ovs.vsctl(*ours, "--", "set", "controller", "br0", "connection_mode=out-of-band")  # no hidden flows
        accepted, _ = server.accept()
        with accepted:
            yield Bridge(Connection(accepted))


def flow(number: int, table: int = 0, *, bad: bool = False) -> Flow:
    return Flow(number + 1, match(in_port=1), (BAD_PORT if bad else Normal(),), 1, table)


def test_nothing_is_sent_for_nothing(bridge: Bridge) -> None:
    """No bundle is made of no flow-mods."""
    assert bridge.add([]) == Applied()
    assert bridge.bundles == []


def test_what_cannot_be_read_costs_nothing(bridge: Bridge) -> None:
    """Flow-mods that the switch leaves out of their bundle are named, and nothing is sent again."""
    flows = [flow(number, table=9, bad=number in (3, 5)) for number in range(8)]
    assert bridge.add(flows) == Applied({3: BAD, 5: BAD}, bundles=1, sent=8)
    assert bridge.installed() == {flow for number, flow in enumerate(flows) if number not in (3, 5)}


def test_a_full_table_costs_two_bundles(bridge: Bridge) -> None:
    """What stands behind the first flow that does not fit is not sent again."""
    flows = [flow(number, bad=number in (1, 60)) for number in range(100)]
    done = bridge.add(flows)
    assert bridge.bundles == [100, LIMIT]
    assert (done.bundles, done.sent) == (2, 100 + LIMIT)
    assert bridge.installed() == {flows[number] for number in (0, 2, 3, 4)}
    assert done.refused == {1: BAD, 60: BAD} | {n: TABLE_FULL for n in range(5, 100) if n != 60}


def test_a_full_table_does_not_concern_what_takes_no_place_there(bridge: Bridge) -> None:
    """Flows of other tables and replacements are applied, and each table that is full is found."""
    present = [Flow(900 + number, Match(), (Normal(),), 1, number) for number in range(3)]
    bridge.add(present)
    bridge.bundles.clear()
    replaced = [Flow(old.priority, old.match, (), 2, old.table) for old in present]
    flows = [*(flow(number, table=(0, 1, 2, 9)[number % 4]) for number in range(80)), *replaced]
    done = bridge.add(flows, present)
    assert len(bridge.bundles) <= 4
    assert set(done.refused.values()) == {TABLE_FULL}
    left = {flow for position, flow in enumerate(flows) if position not in done.refused}
    assert bridge.installed() == left
    assert left >= set(replaced) | {flow for flow in flows if flow.table == 9}
    assert [sum(flow.table == table for flow in left) for table in range(3)] == [LIMIT] * 3
