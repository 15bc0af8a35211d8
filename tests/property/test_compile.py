"""What a host should have depends on its state alone, never on how it came to it."""

from __future__ import annotations

import random
from collections.abc import Mapping

from hypothesis import event, given
from hypothesis import strategies as st

from apps.framework.compiler import Change, Compiler, Unit, UnitKind, compile_unit, units_of
from apps.framework.flow import Flow, FlowKey
from apps.framework.host_view import HostView
from apps.framework.pipeline import violation
from tests.support.openflow.views import BRIDGES, Edit, edited, edits, views
from topology.model import NetworkType

_STEPS = st.lists(st.lists(edits(), min_size=1, max_size=6), max_size=8)


def _tables(compiler: Compiler) -> dict[str, dict[FlowKey, Flow]]:
    return {name: dict(compiler.flows(name)) for name in BRIDGES}


def _owners(compiler: Compiler) -> dict[str, dict[FlowKey, Unit | None]]:
    return {name: {key: compiler.owner(name, key) for key in compiler.flows(name)} for name in BRIDGES}


def _compiled(view: HostView) -> Compiler:
    compiler = Compiler()
    compiler.update(view)
    return compiler


def _apply(tables: dict[str, dict[FlowKey, Flow]], changes: Mapping[str, Change]) -> None:
    """What the sender of each bridge does with changes; every one of them must really be one."""
    for name, change in changes.items():
        assert change.flows
        for key, flow in change.flows.items():
            assert tables[name].get(key) != flow
            if flow is None:
                del tables[name][key]
            else:
                assert flow.key == key
                tables[name][key] = flow


@given(views(), _STEPS)
def test_incremental_equals_full(view: HostView, steps: list[list[Edit]]) -> None:
    """After any sequence of changes the flows, their owners and what is refused are those of a fresh compiler, and the
    changes that were handed out lead there."""
    compiler = Compiler()
    told: dict[str, dict[FlowKey, Flow]] = {name: {} for name in BRIDGES}
    _apply(told, compiler.update(view))
    for step in steps:
        view = edited(view, step)
        _apply(told, compiler.update(view))
        full = _compiled(view)
        assert told == _tables(compiler) == _tables(full)
        assert _owners(compiler) == _owners(full)
        assert compiler.problems == full.problems
    event("with contradictions" if compiler.problems else "without contradictions")


@given(views(), st.lists(edits(), min_size=1, max_size=10))
def test_change_and_revert(view: HostView, changes: list[Edit]) -> None:
    """Going somewhere and back leaves the same flows, and the way back undoes exactly what the way there did."""
    compiler = _compiled(view)
    before = _tables(compiler)
    there = compiler.update(edited(view, changes))
    back = compiler.update(view)
    assert _tables(compiler) == before
    assert {name: change.flows.keys() for name, change in there.items()} == {
        name: change.flows.keys() for name, change in back.items()
    }


@given(views())
def test_the_same_again_changes_nothing(view: HostView) -> None:
    """An equal view, made of other objects, means no change."""
    compiler = _compiled(view)
    mappings = (dict(mapping) for mapping in (view.networks, view.ports, view.dead, view.physical))
    again = HostView(dict(view.bridges), view.patch_int, *mappings)
    assert compiler.update(again) == {}


@given(views(), st.randoms(use_true_random=False))
def test_order_of_objects_does_not_matter(view: HostView, shuffler: random.Random) -> None:
    """Which of two contradicting units is refused does not depend on the order in which a view lists them."""

    def shuffled(mapping: Mapping[str, object]) -> dict[str, object]:
        keys = sorted(mapping)
        shuffler.shuffle(keys)
        return {key: mapping[key] for key in keys}

    mappings = (shuffled(mapping) for mapping in (view.networks, view.ports, view.dead, view.physical))
    other = HostView(shuffled(view.bridges), view.patch_int, *mappings)
    one, two = _compiled(view), _compiled(other)
    assert (_tables(one), one.problems) == (_tables(two), two.problems)


@given(views())
def test_every_flow_is_allowed_and_none_contradicts_another(view: HostView) -> None:
    """The pipeline allows each flow, and no two flows of a bridge could match one frame and do different things."""
    compiler = _compiled(view)
    for name, role in BRIDGES.items():
        flows = list(compiler.flows(name).values())
        for index, flow in enumerate(flows):
            assert violation(role, flow) is None
            for other in flows[:index]:
                assert not (_overlap(flow, other) and flow.actions != other.actions), (flow, other)


def _overlap(one: Flow, other: Flow) -> bool:
    if (one.table, one.priority) != (other.table, other.priority):
        return False
    others = {term.field: term for term in other.match.terms}
    return not any(
        (term.value ^ others[term.field].value) & term.effective_mask & others[term.field].effective_mask
        for term in one.match.terms
        if term.field in others
    )


@given(views())
def test_a_unit_is_served_whole_or_refused_with_a_reason(view: HostView) -> None:
    """Each unit has all of its flows or none; one that has none says why; one that contradicts nobody is served."""
    compiler = _compiled(view)
    for unit in units_of(view):
        placed = compile_unit(unit, view)
        standing = {(name, flow) for name, flow in placed if compiler.owner(name, flow.key) == unit}
        if unit in compiler.problems:
            assert not standing
            assert compiler.problems[unit]
        else:
            assert standing == placed
    assert all(unit.kind is not UnitKind.BASE for unit in compiler.problems)
    assert len(compiler.problems) <= _contradictions(view)


def _contradictions(view: HostView) -> int:
    """How many units at most have to step back: all but one of each segment, MAC of a tunnel and ofport."""
    segments: dict[tuple[str | None, int | None], list[str]] = {}
    for network_id, local in view.networks.items():
        network = local.network
        if network.network_type is not NetworkType.LOCAL:
            segments.setdefault((network.physical_network, network.segmentation_id), []).append(network_id)
    losers = {network_id for ids in segments.values() for network_id in sorted(ids)[1:]}
    stranded = sum(port.network_id in losers for port in view.ports.values())
    macs = [(port.network_id, port.mac_address) for port in view.ports.values() if port.network_id not in losers]
    ofports = [dead.ofport for dead in view.dead.values()]
    return len(losers) + stranded + len(macs) - len(set(macs)) + len(ofports) - len(set(ofports))
