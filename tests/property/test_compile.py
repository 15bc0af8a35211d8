"""What a host should have depends on its state alone, never on how it came to it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from hypothesis import event, given
from hypothesis import strategies as st
from immutables import Map

from apps import APPLICATIONS
from apps.framework.app import Unit, UnitKind
from apps.framework.compiler import Compiler, FlowChanges
from apps.framework.flow import Flow, FlowKey
from apps.framework.host_view import HostView, ViewChange
from apps.framework.pipeline import Pipeline
from tests.support.openflow.views import (
    BRIDGES,
    GROUP_IDS,
    IPS,
    MACS,
    NETWORK_IDS,
    PHYSICAL_BRIDGES,
    Edit,
    compiled,
    edited,
    edits,
    views,
)
from topology.model import NetworkType
from topology.security_groups import Direction

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_STEPS = st.lists(st.lists(edits(), min_size=1, max_size=6), max_size=8)


def _tables(compiler: Compiler) -> dict[str, dict[FlowKey, Flow]]:
    return {name: dict(compiler.flows(name)) for name in BRIDGES}


def _owners(compiler: Compiler) -> dict[str, dict[FlowKey, Unit | None]]:
    return {name: {key: compiler.owner(name, key) for key in compiler.flows(name)} for name in BRIDGES}


def _apply(tables: dict[str, dict[FlowKey, Flow]], changes: Mapping[str, FlowChanges]) -> None:
    """What the sender of each bridge does with changes; every one of them must really be one."""
    for name, change in changes.items():
        assert change
        for key, flow in change.items():
            assert tables[name].get(key) != flow
            if flow is None:
                del tables[name][key]
            else:
                assert flow.key == key
                tables[name][key] = flow


@given(views(modes=True), _STEPS)
def test_incremental_equals_full(view: HostView, steps: list[list[Edit]]) -> None:
    """After any sequence of changes the flows, their owners and what is refused are those of a fresh compiler, and the
    changes that were handed out lead there; whether several changes of the view come at once or one by one."""
    at_once, one_by_one = Compiler(), Compiler()
    told: dict[str, dict[FlowKey, Flow]] = {name: {} for name in BRIDGES}
    told_singly: dict[str, dict[FlowKey, Flow]] = {name: {} for name in BRIDGES}
    first = ViewChange.between(HostView(), view)
    _apply(told, at_once.update(first))
    _apply(told_singly, one_by_one.update(first))
    for step in steps:
        old = view
        for edit in step:
            change = edit(view)
            _apply(told_singly, one_by_one.update(change))
            view = change.new
        _apply(told, at_once.update(ViewChange.between(old, view)))
        full = compiled(view)
        assert told == told_singly == _tables(at_once) == _tables(one_by_one) == _tables(full)
        assert _owners(at_once) == _owners(one_by_one) == _owners(full)
        assert at_once.problems == one_by_one.problems == full.problems
    event("with contradictions" if at_once.problems else "without contradictions")


@given(views(modes=True), st.lists(edits(), max_size=10))
def test_evolve_equals_between(view: HostView, changes: list[Edit]) -> None:
    """A change says in what two views differ, however it was come by; and the view is as if it was made at once."""
    other = edited(view, changes)
    again = view.evolve(
        networks=_replaced(view.networks, other.networks),
        ports=_replaced(view.ports, other.ports),
        dead=_replaced(view.dead, other.dead),
        physical=_replaced(view.physical, other.physical),
        peers=_replaced(view.peers, other.peers),
        remote_ports=_replaced(view.remote_ports, other.remote_ports),
        security_groups=_replaced(view.security_groups, other.security_groups),
        address_groups=_replaced(view.address_groups, other.address_groups),
        group_members=_replaced(view.group_members, other.group_members),
        patch_tun=other.patch_tun,
        patch_int=other.patch_int,
        bridges=dict(other.bridges),
        options=other.options,
        tunnels=other.tunnels,
    )
    assert again == ViewChange.between(view, other)
    assert again.is_empty == (view == other)
    anew = replace(again.new)
    assert anew == again.new
    assert {key: set(again.new.ports_of(key)) for key in NETWORK_IDS} == {
        key: {port.port_id for port in anew.ports.values() if port.network_id == key} for key in NETWORK_IDS
    }
    assert {name: set(again.new.networks_of(name)) for name in PHYSICAL_BRIDGES} == {
        name: {key for key, local in anew.networks.items() if local.network.physical_network == name}
        for name in PHYSICAL_BRIDGES
    }
    assert {key: set(again.new.hosts_of(key)) for key in NETWORK_IDS} == {
        key: {host for port in anew.remote_ports.values() if port.network_id == key for host in port.hosts}
        for key in NETWORK_IDS
    }
    for key in NETWORK_IDS:
        ports = [port for port in (*anew.ports.values(), *anew.remote_ports.values()) if port.network_id == key]
        for address in (*MACS, *IPS):
            having = {
                p.port_id for p in ports if address in (p.mac_address, *p.allowed_macs, *(ip for ip, _ in p.addresses))
            }
            assert again.new.ports_with(key, address) == having
    for group_id in GROUP_IDS:
        securities = {port.port_id: port.security for port in anew.ports.values() if port.security is not None}
        having = {port_id for port_id, security in securities.items() if group_id in security.group_ids}
        assert set(again.new.ports_in_group(group_id)) == having
        assert set(again.new.members_of(group_id)) == {each for each in anew.group_members if each[0] == group_id}
        for direction in Direction:
            assert set(again.new.groups_naming(group_id, direction)) == {
                group.id
                for group in anew.security_groups.values()
                for rule in group.rules
                if group_id in (rule.remote_group_id, rule.remote_address_group_id) and rule.direction is direction
            }
    assert {key: set(again.new.secured_ports_of(key)) for key in NETWORK_IDS} == {
        key: {port.port_id for port in anew.ports.values() if port.network_id == key and port.security is not None}
        for key in NETWORK_IDS
    }
    assert again.new.is_secured == any(port.security is not None for port in anew.ports.values())
    assert {ip: set(again.new.memberships_of(ip)) for ip in IPS} == {
        ip: {each for each in anew.group_members if each[1] == ip} for ip in IPS
    }
    for key in set(view.ports) & set(other.ports) - again.ports:
        assert again.new.ports[key] is view.ports[key]


def _replaced(old: Mapping[_Key, _Value], new: Mapping[_Key, _Value]) -> dict[_Key, _Value | None]:
    return {**dict.fromkeys(old), **new}


@given(views(modes=True), st.lists(edits(), min_size=1, max_size=10))
def test_change_and_revert(view: HostView, changes: list[Edit]) -> None:
    """Going somewhere and back leaves the same flows, and the way back undoes exactly what the way there did."""
    compiler = compiled(view)
    before, other = _tables(compiler), edited(view, changes)
    there = compiler.update(ViewChange.between(view, other))
    back = compiler.update(ViewChange.between(other, view))
    assert _tables(compiler) == before
    assert {name: change.keys() for name, change in there.items()} == {
        name: change.keys() for name, change in back.items()
    }


@given(views(modes=True), views(modes=True))
def test_a_change_from_another_view(view: HostView, other: HostView) -> None:
    """A change that does not begin where the compiler is leads to the flows of its new view all the same."""
    compiler = compiled(view)
    compiler.update(ViewChange(HostView(), other))
    assert _tables(compiler) == _tables(compiled(other))


def _maps(view: HostView) -> dict[str, Map[Any, Any]]:
    """By name of the argument of a view."""
    names = (
        *("networks", "ports", "dead", "physical", "options", "peers", "remote_ports"),
        *("security_groups", "address_groups", "group_members"),
    )
    return {name: getattr(view, name) for name in names}


@given(views(modes=True))
def test_the_same_again_changes_nothing(view: HostView) -> None:
    """An equal view, made of other objects, means no change."""
    compiler = compiled(view)
    mappings = {name: Map(dict(mapping)) for name, mapping in _maps(view).items()}
    again = HostView(
        dict(view.bridges), view.patch_int, tunnels=replace(view.tunnels), patch_tun=view.patch_tun, **mappings
    )
    assert compiler.update(ViewChange.between(HostView(), again)) == {}


@given(views(modes=True), st.randoms(use_true_random=False))
def test_order_of_objects_does_not_matter(view: HostView, shuffler: random.Random) -> None:
    """Which of two contradicting units is refused does not depend on the order in which a view lists them."""

    def shuffled(mapping: Mapping[_Key, _Value]) -> Map[_Key, _Value]:
        keys: list[Any] = sorted(mapping)
        shuffler.shuffle(keys)
        return Map((key, mapping[key]) for key in keys)

    mappings = {name: shuffled(mapping) for name, mapping in _maps(view).items()}
    other = HostView(shuffled(view.bridges), view.patch_int, tunnels=view.tunnels, patch_tun=view.patch_tun, **mappings)
    one, two = compiled(view), compiled(other)
    assert (_tables(one), one.problems) == (_tables(two), two.problems)


@given(views(modes=True))
def test_every_flow_is_allowed_and_none_contradicts_another(view: HostView) -> None:
    """The pipeline allows each flow, and no two flows of a bridge could match one frame and do different things."""
    compiler, pipeline = compiled(view), Pipeline(APPLICATIONS)
    for name, role in BRIDGES.items():
        flows = list(compiler.flows(name).values())
        for index, flow in enumerate(flows):
            owner = compiler.owner(name, flow.key)
            assert owner is not None
            assert pipeline.violation(role, flow, owner.app) is None
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


@given(views(modes=True))
def test_a_unit_is_served_whole_or_refused_with_a_reason(view: HostView) -> None:
    """Each object has all of its flows or none; one that has none says why; one that contradicts nobody is served."""
    compiler = compiled(view)
    problems = {unit.subject: reason for unit, reason in compiler.problems.items()}
    for app in APPLICATIONS:
        for unit in app.units(view):
            placed = set(compiler.compile(unit, view))
            standing = {(name, flow) for name, flow in placed if compiler.owner(name, flow.key) == unit}
            assert compiler.reason(*unit.subject) == problems.get(unit.subject)
            if unit.subject in problems:
                assert not standing
                assert not compiler.keys(*unit.subject)
                assert problems[unit.subject]
            else:
                assert standing == placed
                keys = compiler.keys(*unit.subject)
                assert all(flow.key in keys[name] for name, flow in placed)
    assert len(problems) == len(compiler.problems)
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
    stranded = sum(port.network_id in losers for port in [*view.ports.values(), *view.remote_ports.values()])
    macs = [(port.network_id, port.mac_address) for port in view.ports.values() if port.network_id not in losers]
    ofports = [dead.ofport for dead in view.dead.values()]
    return len(losers) + stranded + len(macs) - len(set(macs)) + len(ofports) - len(set(ofports))
