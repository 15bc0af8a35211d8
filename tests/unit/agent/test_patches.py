"""A patch is joined when both its ends drop what is of no network here, and not before."""

from __future__ import annotations

from immutables import Map

from apps.framework.app import UnitKind
from apps.framework.flow import FlowKey
from apps.framework.host_view import HostView, PhysicalNetwork
from controller.agent.patches import PatchGate
from controller.openflow.tables.sender import Synced
from tests.support.openflow.views import BRIDGES, compiled

ENDS = {"physnet1": PhysicalNetwork("physnet1", "br-ex", 5, 2)}


def drops(ends: dict[str, PhysicalNetwork]) -> dict[str, dict[str, frozenset[FlowKey]]]:
    """What the compiler wants for these patches."""
    compiler = compiled(HostView(bridges=BRIDGES, physical=Map(ends)))
    return {name: compiler.keys(UnitKind.PHYSICAL_NETWORK, name) for name in ends}


def confirm(gate: PatchGate, bridge: str, generation: int, *refused: FlowKey) -> bool:
    return gate.confirmed(Synced(bridge, generation, dict.fromkeys(refused, "OFPFMFC_TABLE_FULL")))


def opened(generation: int = 3) -> PatchGate:
    """A patch whose ends both drop."""
    gate = PatchGate("br-int")
    gate.compiled(ENDS, drops(ENDS), generation)
    assert not confirm(gate, "br-int", generation)
    assert confirm(gate, "br-ex", generation)
    assert gate.open == {"physnet1"}
    return gate


def test_both_bridges_have_to_confirm() -> None:
    """In any order, and a confirmation counts that is at least as new as what is wanted."""
    gate = PatchGate("br-int")
    gate.compiled(ENDS, drops(ENDS), 3)
    assert not confirm(gate, "br-ex", 2)
    assert not confirm(gate, "br-ex", 4)
    assert not confirm(gate, "br-tun", 4)
    assert gate.open == set()
    assert confirm(gate, "br-int", 3)
    assert gate.open == {"physnet1"}
    assert not confirm(gate, "br-int", 5)  # it is no news


def test_without_port_numbers_nothing_can_be_dropped() -> None:
    """A bridge may have confirmed all there was, before its end of the patch was made."""
    gate = PatchGate("br-int")
    half = {"physnet1": PhysicalNetwork("physnet1", "br-ex", 5, None)}
    gate.compiled(half, drops(half), 3)
    confirm(gate, "br-int", 3)
    confirm(gate, "br-ex", 3)
    assert gate.open == set()


def test_a_refused_drop_flow_joins_nothing() -> None:
    """On either side; other refused flows do not matter."""
    (inner,), (outer,) = (drops(ENDS)["physnet1"][bridge] for bridge in ("br-int", "br-ex"))
    gate = PatchGate("br-int")
    gate.compiled(ENDS, drops(ENDS), 3)
    confirm(gate, "br-int", 3, inner)
    confirm(gate, "br-ex", 3, inner)  # a key of the other bridge
    assert gate.open == set()
    confirm(gate, "br-int", 4, outer)
    assert gate.open == {"physnet1"}


def test_a_new_port_number_is_a_new_end() -> None:
    gate = opened()
    gate.compiled(ENDS, drops(ENDS), 4)
    assert gate.open == {"physnet1"}
    moved = {"physnet1": PhysicalNetwork("physnet1", "br-ex", 5, 9)}
    gate.compiled(moved, drops(moved), 5)
    assert gate.open == set()
    confirm(gate, "br-ex", 5)
    assert confirm(gate, "br-int", 5)


def test_a_bridge_that_was_away_has_to_confirm_again() -> None:
    """It may be another one by now, without flows, and with the same port numbers."""
    for bridge in ("br-int", "br-ex"):
        gate = opened()
        gate.lost("br-tun", 3)
        assert gate.open == {"physnet1"}
        gate.lost(bridge, 3)
        assert gate.open == set()
        assert confirm(gate, bridge, 3)


def test_flows_that_are_left_out_join_nothing() -> None:
    """The compiler may have none for the physical network, though its patch has both ends."""
    gate = PatchGate("br-int")
    gate.compiled(ENDS, {"physnet1": {}}, 3)
    assert not confirm(gate, "br-int", 3)
    assert not confirm(gate, "br-ex", 3)
    gate.compiled(ENDS, drops(ENDS), 4)
    assert not confirm(gate, "br-int", 3)
    assert not confirm(gate, "br-ex", 3)
    assert gate.open == set()
    assert not confirm(gate, "br-int", 4)
    assert confirm(gate, "br-ex", 4)
