"""``/v2.0/agents``: the hosts of the topology (extension ``agent``).

They register themselves; what can be done is to delete one that is gone for good.
"""

from __future__ import annotations

import time

import falcon

from controller.api.identity import caller_of
from controller.api.requests import answer_list, fields_of
from topology.liveness import HostInfo
from topology.ovsdb.resources import ResourceDatabase
from topology.resources.agents import AGENT, agent_id, agent_view
from topology.resources.caller import Caller
from topology.resources.errors import NotFound
from topology.resources.schemas import kinds
from topology.resources.views import View

_KINDS = kinds(AGENT)


class Agents:
    """All agents.

    :param agent_down_time: seconds of silence after which a host is down
    """

    def __init__(self, database: ResourceDatabase, agent_down_time: float) -> None:
        self._database = database
        self._agent_down_time = agent_down_time

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """List them."""
        now = time.time()
        views = [agent_view(info, now, self._agent_down_time) for info in self._database.hosts(caller_of(request))]
        answer_list(request, response, "agents", _KINDS, lambda _: views)


class Agent:
    """One agent; see :class:`Agents`."""

    def __init__(self, database: ResourceDatabase, agent_down_time: float) -> None:
        self._database = database
        self._agent_down_time = agent_down_time

    def on_get(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        """Show it."""
        view: View = agent_view(self._find(caller_of(request), object_id), time.time(), self._agent_down_time)
        response.media = {"agent": fields_of(request, view)}

    def on_delete(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        """Remove the host; see ``tunbridge host delete``."""
        caller = caller_of(request)
        self._database.delete_host(caller, self._find(caller, object_id).host.name)
        response.status = falcon.HTTP_204

    def _find(self, caller: Caller, object_id: str) -> HostInfo:
        for info in self._database.hosts(caller):
            if agent_id(info) == object_id:
                return info
        raise NotFound("AgentNotFound", f"Agent {object_id} could not be found.")
