"""What callers see and may change, on a topology in memory: the table, and that only what is theirs is looked at."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pytest

from topology.model import Network, NetworkType, Port, Subnet
from topology.rules.access.access import Access, shown
from topology.rules.access.policy import ADMIN, RULES, Caller, Target, allowed, caller
from topology.rules.attributes.attributes import RESOURCES, UNSET
from topology.rules.index import Selection
from topology.rules.request_errors import BadRequest, Forbidden, NotFound
from topology.rules.state import ResourceState
from topology.rules.views import View

MEMBER, READER, OTHER = (
    caller("m", "ours", ["member"]),
    caller("r", "ours", ["Reader"]),
    caller("o", "other", ["member"]),
)
NOBODY, SERVICE = caller("n", "", ["member"]), caller("nova", "service", ["service"])
OURS, THEIRS, SHARED, EXTERNAL, DOCUMENT = (f"00000000-0000-4000-8000-00000000000{at}" for at in range(5))
SUBNET = "10000000-0000-4000-8000-00000000000{}"
PORT = "20000000-0000-4000-8000-00000000000{}"


class Watched(ResourceState):
    """Tells how many views were handed out."""

    looked_at = 0

    def walk(self, kind: str, wanted: Selection, reach: Sequence[Collection[str]] | None = None) -> Iterator[View]:
        for view in super().walk(kind, wanted, reach):
            self.looked_at += 1
            yield view


@pytest.fixture
def state() -> Watched:
    """A network with a subnet and two ports, one of each project, for each of five kinds of networks."""
    state = Watched()
    kept: dict[str, dict[str, Any]] = {
        OURS: {"project_id": "ours"},
        THEIRS: {"project_id": "other"},
        SHARED: {"project_id": "other", "shared": True},
        EXTERNAL: {"project_id": "other", "router:external": True},
        DOCUMENT: {},
    }
    for at, (network, attributes) in enumerate(kept.items()):
        subnet = Subnet(SUBNET.format(at), f"10.0.{at}.0/24")
        state.put_network(
            Network(network, NetworkType.GRE, at + 1, subnets=(subnet,)), attributes, {subnet.id: attributes}
        )
        for number, project in ((at, "ours"), (at + 5, "other")):
            mac = f"fa:16:3e:00:00:0{number}"
            state.put_port(Port(PORT.format(number), network, mac), {"project_id": project})
    return state


def listed(access: Access, kind: str, **wanted: list[object]) -> set[int]:
    """Last digits of the ids."""
    return {int(view["id"][-1]) for view in access.walk(kind, Selection(wanted))}


@pytest.mark.parametrize(
    ("who", "networks", "subnets", "ports"),
    [
        (MEMBER, {0, 2, 3}, {0, 2, 3}, {0, 1, 2, 3, 4, 5}),
        (READER, {0, 2, 3}, {0, 2, 3}, {0, 1, 2, 3, 4, 5}),
        (OTHER, {1, 2, 3}, {1, 2, 3}, {1, 2, 3, 5, 6, 7, 8, 9}),
        (NOBODY, {2, 3}, {2, 3}, set()),
        (SERVICE, set(range(5)), set(range(5)), set(range(10))),
        (ADMIN, set(range(5)), set(range(5)), set(range(10))),
    ],
)
def test_lists_have_what_can_be_shown(
    state: Watched, who: Caller, networks: set[int], subnets: set[int], ports: set[int]
) -> None:
    access = Access(who, state)
    for kind, seen in (("network", networks), ("subnet", subnets), ("port", ports)):
        assert listed(access, kind) == seen
        for view in list(state.walk(kind, Selection())):
            if int(view["id"][-1]) in seen:
                assert access.show(kind, view["id"])["id"] == view["id"]
                continue
            assert listed(access, kind, id=[view["id"]]) == set()
            with pytest.raises(NotFound, match=f"{view['id']} could not be found"):
                access.show(kind, view["id"])


def test_a_member_lists_without_a_look_at_what_is_of_others(state: Watched) -> None:
    """Also where an index that is given knows many."""
    for number in range(300):
        mac = f"fa:16:3e:01:{number // 256:02x}:{number % 256:02x}"
        port = Port(f"30000000-0000-4000-8000-{number:012}", THEIRS, mac, name="many")
        state.put_port(port, {"project_id": "other"})
    access = Access(MEMBER, state)
    for wanted in ({}, {"network_id": [THEIRS]}, {"name": ["many"]}, {"status": ["DOWN"]}):
        state.looked_at = 0
        assert len(list(access.walk("port", Selection(wanted)))) <= state.looked_at <= 6


def test_attributes_that_are_not_shown_cannot_be_asked_for(state: Watched) -> None:
    """Neither by a value nor by its absence."""
    network = Access(MEMBER, state).show("network", OURS)
    assert not [name for name in network if name.startswith("provider:")]
    assert {name for name in Access(MEMBER, state).show("port", PORT.format(0)) if ":" in name} == {"binding:vnic_type"}
    assert "binding:host_id" in Access(SERVICE, state).show("port", PORT.format(0))
    assert "provider:segmentation_id" not in Access(SERVICE, state).show("network", OURS)
    state.put_port(Port(PORT.format(0), OURS, "fa:16:3e:00:00:00", requested_host="h1"), {"project_id": "ours"})
    everything = listed(Access(MEMBER, state), "port")
    for host in ("h1", "", "nobody"):
        assert listed(Access(MEMBER, state), "port", **{"binding:host_id": [host]}) == everything
    assert shown(ADMIN, "network", network) is network


def wanted(kind: str, **values: Any) -> dict[str, Any]:
    return RESOURCES[kind].read_create(values)


@pytest.mark.parametrize("device_owner", ["compute:nova", "network:dhcp"])
def test_the_owner_of_a_network_may_pose_as_a_device_of_it(state: Watched, device_owner: str) -> None:
    own = wanted("port", network_id=OURS, device_owner=device_owner)
    assert Access(MEMBER, state).owned("port", own)["project_id"] == "ours"
    shared = wanted("port", network_id=SHARED, device_owner=device_owner)
    if device_owner.startswith("network:"):
        with pytest.raises(Forbidden, match=r"^rule:create_port:device_owner is disallowed by policy$"):
            Access(MEMBER, state).owned("port", shared)
    else:
        Access(MEMBER, state).owned("port", shared)


def test_what_is_made_belongs_to_the_project_of_who_makes_it(state: Watched) -> None:
    access = Access(MEMBER, state)
    assert access.owned("network", wanted("network"))["project_id"] == "ours"
    assert access.owned("network", wanted("network", tenant_id="ours"))["project_id"] == "ours"
    with pytest.raises(BadRequest, match="Specifying 'project_id' or 'tenant_id' other than the authenticated project"):
        access.owned("network", wanted("network", project_id="other"))
    boss = Access(caller("boss", "hq", ["admin"]), state)
    assert boss.owned("network", wanted("network"))["project_id"] == "hq"
    assert boss.owned("network", wanted("network", project_id="other"))["project_id"] == "other"
    assert Access(ADMIN, state).owned("network", wanted("network"))["project_id"] == ""


def test_every_policy_is_asked_by_something(state: Watched) -> None:
    """No name in the table is one that nothing checks: a typing error would allow what it should forbid."""
    for name in RULES:
        action, _, rest = name.partition("_")
        kind, _, attribute = rest.partition(":")
        assert action in ("create", "get", "update", "delete") or name in ("add_addresses", "remove_addresses")
        if kind not in RESOURCES:  # agents and quotas, whose rules the database asks for by name
            continue
        known = RESOURCES[kind].attributes
        assert not attribute or attribute in known or attribute.partition(":")[0] in known, name
        if attribute and action == "create":
            assert known[attribute if attribute in known else attribute.partition(":")[0]].default in (
                UNSET, None, "", False, [], {},
            )  # fmt: skip


def test_an_administrator_may_do_all_and_a_reader_change_nothing() -> None:
    own = Target("ours", "ours")
    for name in RULES:
        assert allowed(name, ADMIN)
        if not name.startswith("get_"):
            assert not allowed(name, READER, own), name
