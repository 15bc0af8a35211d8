"""What the status tells of security groups: whose a flow is, rules that are quarantined, ports and bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.framework.app import Unit, UnitKind
from apps.framework.compiler import Compiler
from apps.framework.flow import Field, Flow
from apps.framework.host_view import HostView, PortSecurity, ViewChange
from apps.framework.pipeline_page import secured_example
from apps.port_delivery import MOST_STEPS
from controller.cli.status_tables import status
from controller.openflow.tables.refusals import Refusal
from controller.status import security_status
from controller.status.security_status import RulePlaces, bounds, port_security_told, quarantined_rules
from topology.security_groups import AddressGroup, Direction, Ethertype, SecurityGroup, SecurityGroupRule

FULL = "OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL"
WEB = "6d1f3c52-8a0e-4f0b-9c6d-2b7a51e0d301"


def named() -> HostView:
    """The example of the pipeline page, its first group being called web, with a rule that no flow can say."""
    view = secured_example()
    group = view.security_groups[WEB]
    unsound = SecurityGroupRule("gre", Direction.INGRESS, Ethertype.IPV4, 47, 1, 2)
    return view.evolve(security_groups={WEB: replace(group, name="web", rules=(*group.rules, unsound))}).new


def compiled(view: HostView) -> Compiler:
    compiler = Compiler()
    compiler.update(ViewChange.between(HostView(), view))
    return compiler


def flows_of(compiler: Compiler, table: int) -> list[Flow]:
    return [flow for flow in compiler.flows("br-int").values() if flow.table == table]


def test_whose_a_flow_is() -> None:
    """A rule with its words, a member, a group; of a flow that several rules come to the group alone."""
    compiler = compiled(named())
    places = RulePlaces()

    def owners(table: int) -> set[str]:
        flows = flows_of(compiler, table)
        units = [(flow, compiler.owner("br-int", flow.key)) for flow in flows]
        return {places.owner(compiler.view, unit, flow.key) for flow, unit in units if unit is not None}

    of_web = f"of security group {WEB} (web)"
    assert f"rule ingress {of_web} (ingress IPv4 tcp 22-25 from anywhere)" in owners(56)
    assert f"security group {WEB} (web)" in owners(54)
    assert f"member 10.0.0.9 {of_web}" in owners(55)
    assert "address group 8f315e74-ac20-4b2d-9e8f-4d9c7302f503" in owners(55)
    assert all(owner.startswith("port ") for owner in owners(53))


def test_rules_that_are_quarantined() -> None:
    """One that no flow can say; one of which a flow was refused; those of a direction for which the group is not asked;
    and no other."""
    view = named()
    compiler = compiled(view)
    (bad,) = compiler.problems

    def found(*refused: Flow) -> dict[str, tuple[str, bool]]:
        refusals = [Refusal(flow, FULL, 1, 0.0) for flow in refused]
        rules = quarantined_rules(view, compiler.problems, refusals)
        return {one.rule.id: (one.reason, one.is_refused) for one in rules if one.group.id == WEB}

    unsound = {"gre": (compiler.problems[bad], False)}
    assert found() == unsound
    ssh = next(flow for flow in flows_of(compiler, 56) if Field.TCP_DST in {term.field for term in flow.match.terms})
    assert found(ssh) == unsound | {"ingress": (FULL, True)}
    members = flows_of(compiler, 55)
    assert found(*members, *flows_of(compiler, 53), *flows_of(compiler, 40)) == unsound
    asked = [flow for flow in flows_of(compiler, 54) if flow.cookie == ssh.cookie]
    assert found(*asked).keys() == {"gre", "ingress", "ingress group", "addresses"}


def test_a_group_that_is_left_out_has_all_rules_quarantined() -> None:
    view = named()
    problems = {Unit(UnitKind.SECURITY_GROUP, WEB, "security groups"): "its rules name 501 groups: 500 at most"}
    assert {one.rule for one in quarantined_rules(view, problems, ())} == set(view.security_groups[WEB].rules)


def test_groups_of_a_port() -> None:
    """With their names, numbers of rules and what is quarantined; nothing of another device or an unsecured port."""
    view = named()
    port = next(port for port in view.ports.values() if port.security and WEB in port.security.group_ids)
    rules = quarantined_rules(view, compiled(view).problems, ())
    told = port_security_told(view, port.port_id, port.device, rules)
    group = {"id": WEB, "name": "web", "rules": 7}
    assert told == {"groups": [group], "rules": 7, "quarantined": ["gre"]}
    assert port_security_told(view, port.port_id, "another", rules) is None
    unsecured = next(port for port in view.ports.values() if port.security is None)
    assert port_security_told(view, unsecured.port_id, unsecured.device, rules) is None
    shown = {"id": port.port_id, "device": port.device, "ofport": 5, "network_id": "n", "vlan": 1, "status": "ACTIVE"}
    state = {
        "host": "h1",
        "in_sync": False,
        "topology": {"connection": "unix:/t", "connected": True},
        "ovsdb": {"connected": True},
        "drift": {what: {"times": 0} for what in ("tags", "rows")},
        "problems": [],
        "bridges": {},
        "ports": [{**shown, "reason": None, "security": told}],
        "tunnels": [],
    }
    assert "web (7 rules, 1 QUARANTINED)" in status(state)
    assert status({**state, "ports": [{**shown, "reason": None, "security": None}]}).count("Security groups") == 0


def test_what_is_more_than_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    view = named()
    assert list(bounds(view)) == []
    assert list(bounds(HostView())) == []
    monkeypatch.setattr(security_status, "MOST_RULES", 6)
    monkeypatch.setattr(security_status, "MOST_MEMBERS", 1)
    office = AddressGroup("8f315e74-ac20-4b2d-9e8f-4d9c7302f503", "office", ("192.0.2.0/24", "198.51.100.0/24"))
    port = next(port for port in view.ports.values() if port.security and WEB in port.security.group_ids)
    assert set(bounds(view.evolve(address_groups={office.id: office}).new)) == {
        f"port {port.port_id}: 7 rules of 1 security groups: 6 are meant at most",
        f"security group {WEB} (web): 2 members that rules name: 1 are meant at most",
        f"address group {office.id} (office): 2 addresses: 1 are meant at most",
    }


def test_ports_whose_rules_are_not_asked_of_multicast() -> None:
    """Of more sets of groups than one flow can name; each is named, up to twenty."""
    view = named()
    port = next(port for port in view.ports.values() if port.security is not None)
    number = MOST_STEPS // 6 + 30
    groups = {f"{WEB[:-4]}{index:04x}": SecurityGroup(f"{WEB[:-4]}{index:04x}") for index in range(number)}
    ports = {
        f"{port.port_id[:-4]}{index:04x}": replace(
            port,
            port_id=f"{port.port_id[:-4]}{index:04x}",
            mac_address=f"fa:16:3e:00:{index >> 8:02x}:{index & 255:02x}",
            device=f"tap{index}",
            ofport=1000 + index,
            security=PortSecurity((), (group_id,)),
        )
        for index, group_id in enumerate(groups)
    }
    (line,) = bounds(view.evolve(security_groups=groups, ports=ports).new)
    assert line.startswith(f"network {port.network_id}: its ports here have too many different sets of security groups")
    assert " and " in line.rsplit(", ", 1)[1] and " more" in line
