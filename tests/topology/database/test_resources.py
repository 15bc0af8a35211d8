"""Requests that lose a race: another writer commits exactly between the reading and the writing of each."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer
from tests.topology.racer import Racer
from topology.rules.access.policy import ADMIN, caller
from topology.rules.index import Selection
from topology.rules.request_errors import BadRequest, InUse, NotFound, Stale

MAC = "fa:16:3e:00:00:01"


@pytest.fixture
def network(racer: Racer) -> str:
    made = str(racer.create("network")["id"])
    wait_until(lambda: racer.first.select(ADMIN, "network", Selection({"id": [made]}), list), 10, "both have it")
    return made


@pytest.fixture
def subnet(racer: Racer, network: str) -> str:
    made = str(racer.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4)["id"])
    wait_until(lambda: racer.first.select(ADMIN, "subnet", Selection({"id": [made]}), list), 10, "both have it")
    return made


def test_a_subnet_that_has_a_port_by_then_is_not_deleted(racer: Racer, network: str, subnet: str) -> None:
    racer.meanwhile(lambda: racer.create("port", network_id=network))
    with pytest.raises(InUse, match="IP allocation"):
        racer.first.delete(ADMIN, "subnet", subnet)
    assert racer.second.show(ADMIN, "subnet", subnet)


def test_a_port_gets_no_address_of_a_subnet_that_is_gone_by_then(
    racer: Racer, network: str, subnet: str, server: OvsdbServer
) -> None:
    racer.meanwhile(lambda: racer.second.delete(ADMIN, "subnet", subnet))
    with pytest.raises(BadRequest, match="invalid subnet"):
        racer.create_first("port", network_id=network, fixed_ips=[{"subnet_id": subnet}])
    assert server.rows("Subnet", "id") == server.rows("IpAllocation", "ip_address") == []


def test_a_port_gets_an_address_of_the_cidr_that_its_subnet_has_by_then(
    racer: Racer, network: str, subnet: str, server: OvsdbServer
) -> None:
    """A document may give a subnet another CIDR: the pools that it had before are void then."""
    moved = {"cidr": "10.0.9.0/24", "gateway_ip": "10.0.9.1"}
    racer.meanwhile(lambda: server.write({"op": "update", "table": "Subnet", "where": [], "row": moved}))
    made = racer.create_first("port", network_id=network)
    assert [fixed_ip["ip_address"] for fixed_ip in made["fixed_ips"]] == ["10.0.9.2"]
    assert racer.first.show(ADMIN, "subnet", subnet)["allocation_pools"] == [{"start": "10.0.9.2", "end": "10.0.9.254"}]


def test_a_port_does_not_get_the_address_that_is_the_gateways_by_then(
    racer: Racer, network: str, subnet: str, server: OvsdbServer
) -> None:
    moved = {"gateway_ip": "10.0.0.2"}
    racer.meanwhile(lambda: server.write({"op": "update", "table": "Subnet", "where": [], "row": moved}))
    made = racer.create_first("port", network_id=network)
    assert [fixed_ip["ip_address"] for fixed_ip in made["fixed_ips"]] == ["10.0.0.3"]


def test_a_network_that_has_a_port_by_then_is_not_deleted(racer: Racer, network: str) -> None:
    racer.meanwhile(lambda: racer.create("port", network_id=network))
    with pytest.raises(InUse, match="ports still in use"):
        racer.first.delete(ADMIN, "network", network)


def test_a_port_of_others_is_not_made_on_a_network_that_is_shared_no_more_by_then(
    racer: Racer, network: str, server: OvsdbServer
) -> None:
    racer.second.update(ADMIN, "network", network, {"shared": True})
    wait_until(lambda: racer.first.show(ADMIN, "network", network)["shared"], 10, "both know")
    racer.meanwhile(lambda: racer.second.update(ADMIN, "network", network, {"shared": False}))
    with pytest.raises(NotFound):
        racer.create_first("port", caller("ann", "demo", ["member"]), network_id=network)
    assert server.rows("Port", "id") == []


def test_a_network_on_which_others_have_a_port_by_then_stays_shared(racer: Racer, network: str) -> None:
    """Another of its own is no reason."""
    racer.second.update(ADMIN, "network", network, {"shared": True})
    wait_until(lambda: racer.first.show(ADMIN, "network", network)["shared"], 10, "both know")
    racer.meanwhile(lambda: racer.create("port", network_id=network, project_id="demo"))
    with pytest.raises(InUse, match="Multiple tenants are using it"):
        racer.first.update(ADMIN, "network", network, {"shared": False})
    [port] = racer.second.select(ADMIN, "port", Selection(), list)
    racer.second.delete(ADMIN, "port", port["id"])
    racer.meanwhile(lambda: racer.create("port", network_id=network))
    wait_until(lambda: not racer.first.select(ADMIN, "port", Selection(), list), 10, "both know")
    assert not racer.first.update(ADMIN, "network", network, {"shared": False})["shared"]


def test_a_port_is_not_made_on_a_network_that_is_gone_by_then(racer: Racer, network: str, server: OvsdbServer) -> None:
    racer.meanwhile(lambda: racer.second.delete(ADMIN, "network", network))
    with pytest.raises(NotFound):
        racer.create_first("port", network_id=network)
    assert server.rows("Port", "id") == []


def test_subnets_that_come_at_once_do_not_overlap(racer: Racer, network: str) -> None:
    racer.meanwhile(lambda: racer.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4))
    with pytest.raises(BadRequest, match="overlaps"):
        racer.create_first("subnet", network_id=network, cidr="10.0.0.128/25", ip_version=4)


def test_what_was_given_out_meanwhile_is_given_to_nobody_else(racer: Racer, network: str, subnet: str) -> None:
    """Each is worked out anew: the next address, the next segmentation id."""
    others: list[dict[str, Any]] = []
    racer.meanwhile(lambda: others.append(racer.create("port", network_id=network)))
    mine = racer.create_first("port", network_id=network)
    assert [port["fixed_ips"][0]["ip_address"] for port in (*others, mine)] == ["10.0.0.2", "10.0.0.3"]
    racer.meanwhile(lambda: others.append(racer.create("network")))
    mine = racer.create_first("network")
    assert [one["provider:segmentation_id"] for one in (others[1], mine)] == [2, 3]


def test_what_was_taken_meanwhile_is_refused(racer: Racer, network: str, subnet: str) -> None:
    racer.meanwhile(lambda: racer.create("port", network_id=network, mac_address=MAC))
    with pytest.raises(InUse, match=f"{MAC} is in use"):
        racer.create_first("port", network_id=network, mac_address=MAC)
    wanted = [{"ip_address": "10.0.0.9"}]
    racer.meanwhile(lambda: racer.create("port", network_id=network, fixed_ips=wanted))
    with pytest.raises(InUse, match=r"10\.0\.0\.9 already allocated"):
        racer.create_first("port", network_id=network, fixed_ips=wanted)


def test_changes_of_other_attributes_meanwhile_stay(racer: Racer, network: str) -> None:
    racer.meanwhile(lambda: racer.second.update(ADMIN, "network", network, {"description": "theirs"}))
    changed = racer.first.update(ADMIN, "network", network, {"name": "mine"})
    assert (changed["name"], changed["description"], changed["revision_number"]) == ("mine", "theirs", 3)


def test_the_revision_is_that_of_the_moment_of_writing(racer: Racer, network: str) -> None:
    racer.meanwhile(lambda: racer.second.update(ADMIN, "network", network, {"description": "theirs"}))
    with pytest.raises(Stale):
        racer.first.update(ADMIN, "network", network, {"name": "mine"}, if_match=1)
    assert racer.second.show(ADMIN, "network", network)["name"] == ""
