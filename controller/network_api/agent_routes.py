"""``/v2.0/agents``: the hosts of the topology (extension ``agent``).

They register themselves; what can be done is to describe them, and to delete one that is gone for good.
"""

from __future__ import annotations

import time
from functools import partial

import falcon

from controller.config.http_limits import HttpLimits
from controller.network_api import openapi
from controller.network_api.identity.identity import caller_of
from controller.network_api.lists import select
from controller.network_api.openapi import ApiRoute, Operation
from controller.network_api.request_bodies import answer_list, body_of, fields_of, only
from topology.database.resource_database import ResourceDatabase
from topology.rules.access.policy import Caller
from topology.rules.agent_views import AGENT, AgentInfo, agent_not_found, agent_view
from topology.rules.attributes.schemas import kinds
from topology.rules.views import View

_KINDS = kinds(AGENT)


class _Agents:
    def __init__(self, database: ResourceDatabase, agent_down_time: float, limits: HttpLimits) -> None:
        self._database = database
        self._limits = limits
        self._agent_down_time = agent_down_time

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        views = [self._view(agent) for agent in self._database.agents(caller_of(request))]
        answer_list(request, response, "agents", _KINDS, partial(select, views), self._limits)

    def on_get_one(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        view = self._view(self._find(caller_of(request), object_id))
        response.media = {"agent": fields_of(request, view, self._limits)}

    def on_put_one(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        values = AGENT.read_update(only(body_of(request), "agent"))
        caller = caller_of(request)
        response.media = {
            "agent": self._view(self._database.update_agent(caller, self._find(caller, object_id), values))
        }

    def on_delete_one(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        caller = caller_of(request)
        self._database.delete_host(caller, self._find(caller, object_id).host.host.name)
        response.status = falcon.HTTP_204

    def _view(self, agent: AgentInfo) -> View:
        return agent_view(agent, time.time(), self._agent_down_time)

    def _find(self, caller: Caller, object_id: str) -> AgentInfo:
        for agent in self._database.agents(caller):
            if agent.id == object_id:
                return agent
        raise agent_not_found(object_id)


def routes(database: ResourceDatabase, agent_down_time: float, limits: HttpLimits) -> list[ApiRoute]:
    """Their paths.

    :param agent_down_time: seconds of silence after which a host is down
    """
    agents = _Agents(database, agent_down_time, limits)
    update = Operation(
        "update_agent",
        "Describe a host",
        {200: openapi.record({"agent": openapi.reference("agent")})},
        (404, *openapi.WRITES),
        body=openapi.record({"agent": openapi.reference("agent_update")}),
    )
    one = {
        "GET": openapi.showing(AGENT),
        "PUT": update,
        "DELETE": Operation("delete_agent", "Remove a host", {204: None}, (404,)),
    }
    return [
        ApiRoute("/v2.0/agents", agents, {"GET": openapi.listing(AGENT)}),
        ApiRoute("/v2.0/agents/{object_id}", agents, one, openapi.OBJECT_ID, suffix="one"),
    ]
