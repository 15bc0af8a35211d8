"""The hosts, as callers of the Network API may see and change them."""

from __future__ import annotations

import pytest

from tests.topology.racer import Racer
from topology.model import Host, HostInfo
from topology.rules.access.policy import ADMIN, caller
from topology.rules.agent_views import AgentInfo
from topology.rules.request_errors import Forbidden, NotFound


def test_they_are_for_administrators(racer: Racer) -> None:
    """Others do not see them, and cannot do anything to one that they have heard of."""
    agent, member = AgentInfo(HostInfo(Host("h1"))), caller("u", "p", ["manager"])
    assert racer.first.agents(member) == []
    with pytest.raises(Forbidden, match=r"^rule:update_agent is disallowed by policy$"):
        racer.first.update_agent(member, agent, {"description": "mine"})
    with pytest.raises(Forbidden, match=r"^rule:delete_agent is disallowed by policy$"):
        racer.first.delete_host(member, "h1")


def test_one_that_is_gone_is_not_described(racer: Racer) -> None:
    with pytest.raises(NotFound, match="could not be found"):
        racer.first.update_agent(ADMIN, AgentInfo(HostInfo(Host("h1"))), {"description": "late"})
