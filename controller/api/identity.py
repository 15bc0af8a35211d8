"""Who sent a request: the one place where that is found out, before anything else looks at it."""

from __future__ import annotations

import falcon

from topology.resources.caller import ADMIN, Caller


class Everybody:
    """``auth_strategy = noauth``: whoever can connect is an administrator."""

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        """Say who it is."""
        request.context.caller = ADMIN


def caller_of(request: falcon.Request) -> Caller:
    """Who sent a request."""
    caller: Caller = request.context.caller
    return caller
