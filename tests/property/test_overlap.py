"""Contradicting flows are found, whatever their shapes: the index against comparing every pair."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from apps.framework.flow import Action, Field, Flow, Match, Normal, Output, Term
from apps.framework.overlap import OverlapIndex

_MASKS = {Field.ETH_DST: (None, 1 << 40, 3), Field.IN_PORT: (None,), Field.TUN_ID: (None, 1), Field.VLAN_VID: (None,)}
_ACTIONS: tuple[tuple[Action, ...], ...] = ((), (Normal(),), (Output(1),))


@st.composite
def _terms(draw: st.DrawFn, field: Field) -> Term:
    mask = draw(st.sampled_from(_MASKS[field]))
    value = draw(st.sampled_from([0, 1, 2, 1 << 40, (1 << 40) + 1]) if field is Field.ETH_DST else st.integers(0, 2))
    return Term(field, value if mask is None else value & mask, mask)


def _matches() -> st.SearchStrategy[Match]:
    chosen = st.lists(st.sampled_from(list(_MASKS)), unique=True)
    return chosen.flatmap(lambda fields: st.tuples(*map(_terms, fields))).map(Match)


def _flows() -> st.SearchStrategy[Flow]:
    """Flows of few values, so that most of them meet others."""
    return st.builds(
        Flow,
        st.sampled_from([1, 1, 1, 2]),
        _matches(),
        st.sampled_from(_ACTIONS),
        st.integers(0, 1),
        st.sampled_from([0, 0, 0, 1]),
    )


def _contradict(one: Flow, other: Flow) -> bool:
    """OpenFlow 1.3 §6.4 by the letter: some frame matches both, and they stand at one table and priority."""
    if (one.table, one.priority) != (other.table, other.priority):
        return False
    if one.match == other.match:
        return True
    others = {term.field: term for term in other.match.terms}
    for term in one.match.terms:
        twin = others.get(term.field)
        if twin is not None and (term.value ^ twin.value) & term.effective_mask & twin.effective_mask:
            return False
    return one.actions != other.actions


def _contradicting(flow: Flow, present: Iterable[Flow]) -> set[Flow]:
    return {other for other in present if _contradict(flow, other)}


def _steps() -> st.SearchStrategy[list[Flow]]:
    """Few flows, again and again."""
    pools = st.lists(_flows(), min_size=2, max_size=10)
    return pools.flatmap(lambda pool: st.lists(st.sampled_from(pool), min_size=10, max_size=40))


@given(_steps())
def test_finds_exactly_what_comparing_every_pair_finds(steps: list[Flow]) -> None:
    """Whatever was added and removed before, ``find`` names a contradicting flow if and only if there is one."""
    index, present = OverlapIndex(), set[Flow]()
    for flow in steps:
        if flow in present:
            index.remove(flow)
            present.remove(flow)
            continue
        expected, found = _contradicting(flow, present), index.find(flow)
        assert found in expected if expected else found is None
        if found is None:
            index.add(flow)
            present.add(flow)


@given(_flows())
def test_a_removed_flow_stands_in_nobodys_way(flow: Flow) -> None:
    """After ``remove`` the place is free again."""
    index = OverlapIndex()
    index.add(flow)
    assert index.find(flow) == flow
    index.remove(flow)
    assert index.find(flow) is None
