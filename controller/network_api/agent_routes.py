"""``/v2.0/agents``: the hosts of the topology (extension ``agent``).

They register themselves; what can be done is to describe them, and to delete one that is gone for good.
"""

from __future__ import annotations

import time
from functools import partial

import falcon

from controller.network_api import operations
from controller.network_api.identity.identity import caller_of
from controller.network_api.pages import select
from controller.network_api.request_bodies import answer_list, body_of, fields_of, only
from controller.network_api.routes import ApiRoute, Operation
from topology.database.resource_database import ResourceDatabase
from topology.rules.access.policy import Caller
from topology.rules.agent_views import AGENT, AgentInfo, agent_not_found, agent_view
from topology.rules.attributes.schemas import kinds
from topology.rules.views import View

_KINDS = kinds(AGENT)


class AgentCollection:
    """All agents.

    :param agent_down_time: seconds of silence after which a host is down
    """

    def __init__(self, database: ResourceDatabase, agent_down_time: float) -> None:
        self._database = database
        self._agent_down_time = agent_down_time

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """List them."""
        now = time.time()
        views = [agent_view(one, now, self._agent_down_time) for one in self._database.agents(caller_of(request))]
        answer_list(request, response, "agents", _KINDS, partial(select, views))


class AgentObject:
    """One agent; see :class:`AgentCollection`."""

    def __init__(self, database: ResourceDatabase, agent_down_time: float) -> None:
        self._database = database
        self._agent_down_time = agent_down_time

    def on_get(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        """Show it."""
        view: View = agent_view(self._find(caller_of(request), object_id), time.time(), self._agent_down_time)
        response.media = {"agent": fields_of(request, view)}

    def on_put(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        """Describe it."""
        values = AGENT.read_update(only(body_of(request), "agent"))
        caller = caller_of(request)
        agent = self._database.update_agent(caller, self._find(caller, object_id), values)
        response.media = {"agent": agent_view(agent, time.time(), self._agent_down_time)}

    def on_delete(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        """Remove the host; see ``tunbridge host delete``."""
        caller = caller_of(request)
        self._database.delete_host(caller, self._find(caller, object_id).host.host.name)
        response.status = falcon.HTTP_204

    def _find(self, caller: Caller, object_id: str) -> AgentInfo:
        for agent in self._database.agents(caller):
            if agent.id == object_id:
                return agent
        raise agent_not_found(object_id)


def routes(database: ResourceDatabase, agent_down_time: float) -> list[ApiRoute]:
    """Their paths."""
    agent = {"agent": operations.reference("agent")}
    update = Operation(
        "update_agent",
        "Describe a host",
        {200: operations.record(agent)},
        (404, *operations.WRITES),
        body=operations.record({"agent": operations.reference("agent_update")}),
    )
    one = {
        "GET": operations.showing(AGENT),
        "PUT": update,
        "DELETE": Operation("delete_agent", "Remove a host", {204: None}, (404,)),
    }
    return [
        ApiRoute("/v2.0/agents", AgentCollection(database, agent_down_time), {"GET": operations.listing(AGENT)}),
        ApiRoute("/v2.0/agents/{object_id}", AgentObject(database, agent_down_time), one, operations.OBJECT_ID),
    ]
