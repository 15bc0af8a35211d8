"""What is shared no more, and used at that moment; and default rules that two make at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.topology.racer import Racer
from topology.rules.access.policy import ADMIN, caller
from topology.rules.request_errors import InUse, NotFound

ANN, BEN = caller("ann", "demo", ["member"]), caller("ben", "other", ["member"])


def both_know(racer: Racer, kind: str, object_id: str) -> None:
    """Both have followed."""
    for database in (racer.first, racer.second):
        wait_until(lambda database=database: database.read(lambda state: state.find(kind, object_id)), 60, kind)


def shared(racer: Racer, kind: str) -> tuple[str, str]:
    """Ids of something of Ann's, and of the policy that shares it with Ben."""
    owner = {"project_id": "demo"}
    object_id = racer.create(kind, **owner)["id"]
    policy = racer.create(
        "rbac_policy", object_type=kind, object_id=object_id, action="access_as_shared", target_tenant="other", **owner
    )["id"]
    both_know(racer, "rbac_policy", policy)
    return object_id, policy


@pytest.fixture
def network(racer: Racer) -> str:
    """Ben's, whose ports are secured."""
    made = str(racer.create("network", project_id="other", port_security_enabled=True)["id"])
    both_know(racer, "network", made)
    return made


def test_a_group_that_is_shared_no_more_by_then_is_given_to_no_port(racer: Racer, network: str) -> None:
    group, policy = shared(racer, "security_group")
    racer.meanwhile(lambda: racer.second.delete(ANN, "rbac_policy", policy))
    with pytest.raises(NotFound, match=f"Security group {group} does not exist"):
        racer.create_first("port", BEN, network_id=network, security_groups=[group])
    port = racer.create_first("port", BEN, network_id=network, security_groups=[])["id"]
    values = {"object_type": "security_group", "object_id": group, "action": "access_as_shared"}
    again = racer.create("rbac_policy", **values, target_tenant="*")["id"]
    both_know(racer, "rbac_policy", again)
    for database in (racer.first, racer.second):
        wait_until(lambda database=database: database.read(lambda state: port in state.ports), 60, "both know the port")
    racer.meanwhile(lambda: racer.second.delete(ADMIN, "rbac_policy", again))
    with pytest.raises(NotFound):
        racer.first.update(BEN, "port", port, {"security_groups": [group]})


def test_a_group_that_others_have_by_then_stays_shared(racer: Racer, network: str) -> None:
    group, policy = shared(racer, "security_group")
    made: list[Any] = []
    racer.meanwhile(lambda: made.append(racer.create("port", network_id=network, security_groups=[group],
                                                     project_id="other")))  # fmt: skip
    with pytest.raises(InUse, match="other objects depend on it"):
        racer.first.delete(ANN, "rbac_policy", policy)
    racer.second.delete(BEN, "port", made[0]["id"])
    wait_until(lambda: racer.first.read(lambda state: not state.ports), 60, "it is gone")
    racer.first.delete(ANN, "rbac_policy", policy)


def test_addresses_that_are_shared_no_more_by_then_are_named_by_no_rule(racer: Racer) -> None:
    addresses, policy = shared(racer, "address_group")
    own = racer.create("security_group", project_id="other")["id"]
    both_know(racer, "security_group", own)
    rule = {"security_group_id": own, "direction": "ingress", "remote_address_group_id": addresses}
    racer.meanwhile(lambda: racer.second.delete(ANN, "rbac_policy", policy))
    with pytest.raises(NotFound, match="Address group"):
        racer.create_first("security_group_rule", BEN, **rule)
    addresses, policy = shared(racer, "address_group")
    rule["remote_address_group_id"] = addresses
    racer.meanwhile(lambda: racer.create("security_group_rule", **rule))
    with pytest.raises(InUse, match="other objects depend on it"):
        racer.first.delete(ANN, "rbac_policy", policy)


def test_one_default_rule_is_not_made_twice(racer: Racer, network: str) -> None:
    """Nor in a topology that was changed before, whose revision is counted without a look at it."""
    assert network
    rule = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
    racer.meanwhile(lambda: racer.create("default_security_group_rule", **rule))
    with pytest.raises(InUse, match="already exists"):
        racer.create_first("default_security_group_rule", **rule)
    assert racer.first.read(lambda state: len(state.default_rules)) == 5
