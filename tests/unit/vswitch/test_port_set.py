"""Which ports came to a bridge and which went, and what it costs to know it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ovs.db.data import Datum
from ovs.db.types import Type

from controller.vswitch.interface_rows import PortSet, RowTracker
from topology.ovsdb.replica import RowChanges

TYPE = Type.from_json({"key": {"type": "uuid"}, "min": 0, "max": "unlimited"})
PORTS = [uuid.UUID(int=number) for number in range(1, 9)]


class CountedDict(dict[Any, Any]):
    """A dict that counts the members which are gone through."""

    seen = 0

    def _counted(self, members: Iterator[Any]) -> Iterator[Any]:
        for member in members:
            self.seen += 1
            yield member

    def __iter__(self) -> Iterator[Any]:
        return self._counted(super().__iter__())

    def __reversed__(self) -> Iterator[Any]:
        return self._counted(super().__reversed__())


class BridgeRow:
    """A row of the IDL's, changed as the IDL does."""

    def __init__(self) -> None:
        self.members = CountedDict()
        self.datum = Datum(TYPE, self.members)
        self.row = SimpleNamespace(_data={"ports": self.datum})

    def toggle(self, *ports: uuid.UUID) -> None:
        """The effect of one message of the server: what is there goes, what is not comes."""
        self.datum = self.datum.diff(Datum.from_json(TYPE, ["set", [["uuid", str(port)] for port in ports]]))
        self.row._data["ports"] = self.datum

    def ports(self) -> set[uuid.UUID]:
        return {atom.value for atom in dict(self.datum.values)}


@given(st.lists(st.lists(st.lists(st.sampled_from(PORTS), min_size=1, unique=True), min_size=1, max_size=4)))
def test_after_each_run_of_the_idl_it_knows_what_the_bridge_has(runs: list[list[list[uuid.UUID]]]) -> None:
    bridge, ports = BridgeRow(), PortSet()
    for messages in runs:
        before = bridge.ports()
        for message in messages:
            bridge.toggle(*message)
        changed = ports.follow(bridge.row, before - bridge.ports())
        assert changed == before ^ bridge.ports()
        assert {port for port in PORTS if port in ports} == bridge.ports()


@given(st.lists(st.lists(st.sampled_from(PORTS), unique=True)))
def test_ports_may_go_to_another_bridge(messages: list[list[uuid.UUID]]) -> None:
    bridge, ports = BridgeRow(), PortSet()
    for message in messages:
        bridge.toggle(*message)
        ports.follow(bridge.row)
        assert {port for port in PORTS if port in ports} == bridge.ports()


def test_the_bridge_goes() -> None:
    bridge, ports = BridgeRow(), PortSet()
    bridge.toggle(*PORTS)
    ports.follow(bridge.row, ())
    assert ports.follow(None, PORTS) == set(PORTS)
    assert not any(port in ports for port in PORTS)


@pytest.mark.parametrize("others", [10, 1000])
def test_one_more_port_is_found_without_going_through_the_others(others: int) -> None:
    bridge, ports = BridgeRow(), PortSet()
    bridge.toggle(*(uuid.UUID(int=number) for number in range(100, 100 + others)))
    ports.follow(bridge.row, ())
    bridge.members.seen = 0
    bridge.toggle(PORTS[0])
    assert ports.follow(bridge.row, ()) == {PORTS[0]}
    bridge.toggle(PORTS[0])
    assert ports.follow(bridge.row, [PORTS[0]]) == {PORTS[0]}
    assert bridge.members.seen == 3  # the new one and the last of the others; without it the last of the others


def test_the_ports_of_br_int_are_not_made_a_list_of_rows() -> None:
    """Which the IDL would sort anew for each port that comes or goes."""

    class Row(SimpleNamespace):
        @property
        def ports(self) -> list[Any]:
            raise AssertionError("all ports of br-int are gone through")

    bridge, tracker, identity = BridgeRow(), RowTracker("br-int", frozenset({"patch-tun"})), uuid.UUID(int=99)
    row = Row(
        name="br-int", _data=bridge.row._data, datapath_id=["0000000000000001"], other_config={}, fail_mode=["secure"],
        protocols=["OpenFlow13"], controller=[], mcast_snooping_enable=False,
    )  # fmt: skip
    for _ in range(2):
        batch = tracker.convert(RowChanges(False, {"Bridge": {identity: row}}))
        bridge.toggle(PORTS[0])
        assert batch is None or batch.datapaths == {"br-int": 1}
