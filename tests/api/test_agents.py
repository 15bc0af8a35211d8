"""Agents: hosts are shown, described and removed; what was said of one stays with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.http.api_process import ApiProcess
from tests.support.http.openstack import Openstack
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer
from topology.database.topology_database import TopologyDatabase
from topology.model import Host

ID, OTHER, NOBODY = (f"00000000-0000-4000-8000-00000000001{number}" for number in (1, 2, 3))


@pytest.fixture(scope="module")
def registry(database: OvsdbServer) -> Iterator[TopologyDatabase]:
    """What host controllers register themselves with."""
    hosts = TopologyDatabase(database.connection)
    hosts.start(lambda _: None)
    try:
        wait_until(lambda: hosts.connected, 10, "it is connected")
        yield hosts
    finally:
        hosts.stop()


def version(api: ApiProcess) -> str | None:
    answer = api.request("GET", f"/v2.0/agents/{ID}")
    return answer.json["agent"]["configurations"]["version"] if answer.status == 200 else None


def shown(api: ApiProcess, *attributes: str) -> tuple[Any, ...]:
    agent = api.get(f"/agents/{ID}")["agent"]
    return tuple(agent[name] for name in attributes)


def test_what_is_said_stays_when_the_host_registers_again(api: ApiProcess, registry: TopologyDatabase) -> None:
    """Until the host is deleted."""
    registry.delete_host("h1")
    registry.register(Host("h1", ("192.0.2.1",), instance=ID, version="1"))
    wait_until(lambda: version(api) == "1", 10, "it is known")
    assert shown(api, "description", "admin_state_up") == ("", True)
    answer = api.request("PUT", f"/v2.0/agents/{ID}", {"agent": {"description": "rack 1"}})
    assert (answer.status, answer.json["agent"]["description"]) == (200, "rack 1")
    answer = api.request("PUT", f"/v2.0/agents/{ID}", {"agent": {"admin_state_up": "False"}})
    assert (answer.json["agent"]["description"], answer.json["agent"]["admin_state_up"]) == ("rack 1", False)
    assert [one["id"] for one in api.get("/agents?admin_state_up=false&description=rack+1")["agents"]] == [ID]
    registry.register(Host("h1", ("192.0.2.9",), instance=ID, version="2"))
    registry.heartbeat("h1")
    wait_until(lambda: version(api) == "2", 10, "it is registered again")
    assert shown(api, "description", "admin_state_up", "alive") == ("rack 1", False, True)
    assert api.request("DELETE", f"/v2.0/agents/{ID}").status == 204
    registry.register(Host("h1", ("192.0.2.1",), instance=ID))
    wait_until(lambda: version(api) == "", 10, "it is another one")
    assert shown(api, "description", "admin_state_up") == ("", True)


@pytest.mark.parametrize(
    ("agent_id", "values", "status", "message"),
    [
        (ID, {"host": "h2"}, 400, "Attribute 'host' not allowed in PUT"),
        (ID, {"alive": True}, 400, "Attribute 'alive' not allowed in PUT"),
        (ID, {"ha_state": "active"}, 400, "Unrecognized attribute(s) 'ha_state'"),
        (ID, {"admin_state_up": 7}, 400, "Invalid input for admin_state_up. Reason: 7 is not a valid boolean value."),
        (ID, {"description": 1}, 400, "Invalid input for description. Reason: 1 is not a valid string."),
        (NOBODY, {"description": ""}, 404, f"Agent {NOBODY} could not be found."),
    ],
)  # fmt: skip
def test_what_cannot_be_said(
    api: ApiProcess, registry: TopologyDatabase, agent_id: str, values: Any, status: int, message: str
) -> None:
    registry.register(Host("h1", instance=ID))
    wait_until(lambda: api.request("GET", f"/v2.0/agents/{ID}").status == 200, 10, "it is known")
    answer = api.request("PUT", f"/v2.0/agents/{agent_id}", {"agent": values})
    assert (answer.status, answer.message) == (status, message)
    assert shown(api, "description", "admin_state_up", "host") == ("", True, "h1")


def test_the_commands(api: ApiProcess, registry: TopologyDatabase) -> None:
    """``openstack network agent``: what is not there says so, and changes nothing."""
    registry.register(Host("h2", instance=OTHER))
    wait_until(lambda: api.request("GET", f"/v2.0/agents/{OTHER}").status == 200, 10, "it is known")
    api.create("network", name="commands")
    [listed, before, described, filtered], errors = Openstack(api.url).script(
        "network agent list -f json --agent-type open-vswitch --host h2",
        f"network agent show -f json {OTHER}",
        f"network agent set {OTHER} --description spare --disable",
        f"network agent show -f json {OTHER}",
        f"network agent add router --l3 {OTHER} r1",
        "network agent list --network commands",
        f"network agent set {NOBODY} --enable",
        "network agent list -f json --agent-type dhcp",
        f"network agent delete {OTHER}",
        f"network agent delete {OTHER}",
    )
    assert [(one["ID"], one["Agent Type"], one["State"]) for one in listed] == [(OTHER, "Open vSwitch agent", True)]
    assert (before["description"], before["admin_state_up"]) == ("", True)
    assert (described["description"], described["admin_state_up"]) == ("spare", False)
    assert filtered == []
    for said in (" no /v2.0/routers here", "/dhcp-agents here", f"{NOBODY} could not be found", f"{OTHER} could not"):
        assert said in errors, errors
    assert len(errors.splitlines()) == 5, "nothing else went wrong"
