"""What is done with each request before it is looked at."""

from __future__ import annotations

import ipaddress
import uuid

import falcon

from controller.network_api.http.wsgi_adapter import ROUTE

REQUEST_ID = "X-Openstack-Request-Id"


class RequestIds:
    """Each answer says of which request it is, and so does the log."""

    def process_request(self, _request: falcon.Request, response: falcon.Response) -> None:
        """Give it an id."""
        response.set_header(REQUEST_ID, f"req-{uuid.uuid4()}")


class Routes:
    """The server is told the route of each request, for what it counts."""

    def process_resource(
        self, request: falcon.Request, _response: falcon.Response, _resource: object, _params: dict[str, str]
    ) -> None:
        """Tell it."""
        request.env[ROUTE] = request.uri_template or ""


class LocalNames:
    """Serves clients that call this machine ``localhost`` or by an address.

    A page of any site can have its own name lead to 127.0.0.1 (DNS rebinding), and so have a browser on this machine
    talk to a server that trusts who is on this machine.
    """

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        """Refuse any other name.

        :raises falcon.HTTPForbidden: it has another
        :raises falcon.HTTPBadRequest: it cannot be read
        """
        try:
            host = request.host
        except ValueError:
            raise falcon.HTTPBadRequest(description="The header Host cannot be read") from None
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            if host.lower() != "localhost":
                raise falcon.HTTPForbidden(
                    description=f"{host} is not a name of this machine: use its address, or localhost"
                ) from None
